"""MobileNetV4. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "MobileNetV4": "mobilenet_v4:MobileNetV4",
    "MobileNetV4ConvSmall": "constructors:MobileNetV4ConvSmall",
    "MobileNetV4ConvMedium": "constructors:MobileNetV4ConvMedium",
    "MobileNetV4ConvLarge": "constructors:MobileNetV4ConvLarge",
    "MobileNetV4HybridMedium": "constructors:MobileNetV4HybridMedium",
    "MobileNetV4HybridLarge": "constructors:MobileNetV4HybridLarge",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
