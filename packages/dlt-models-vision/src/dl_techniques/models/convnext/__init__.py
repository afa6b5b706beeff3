"""ConvNeXt, versions 1 and 2. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "ConvNeXtV1": "convnext_v1:ConvNeXtV1",
    "ConvNextV1Tiny": "constructors:ConvNextV1Tiny",
    "ConvNextV1Small": "constructors:ConvNextV1Small",
    "ConvNextV1Base": "constructors:ConvNextV1Base",
    "ConvNextV1Large": "constructors:ConvNextV1Large",
    "ConvNextV1XLarge": "constructors:ConvNextV1XLarge",
    "ConvNeXtV2": "convnext_v2:ConvNeXtV2",
    "ConvNextV2Atto": "constructors:ConvNextV2Atto",
    "ConvNextV2Femto": "constructors:ConvNextV2Femto",
    "ConvNextV2Pico": "constructors:ConvNextV2Pico",
    "ConvNextV2Nano": "constructors:ConvNextV2Nano",
    "ConvNextV2Tiny": "constructors:ConvNextV2Tiny",
    "ConvNextV2Base": "constructors:ConvNextV2Base",
    "ConvNextV2Large": "constructors:ConvNextV2Large",
    "ConvNextV2Huge": "constructors:ConvNextV2Huge",
    "ConvNeXtV1Tiny": "constructors:ConvNextV1Tiny",
    "ConvNeXtV1Small": "constructors:ConvNextV1Small",
    "ConvNeXtV1Base": "constructors:ConvNextV1Base",
    "ConvNeXtV1Large": "constructors:ConvNextV1Large",
    "ConvNeXtV1XLarge": "constructors:ConvNextV1XLarge",
    "ConvNeXtV2Atto": "constructors:ConvNextV2Atto",
    "ConvNeXtV2Femto": "constructors:ConvNextV2Femto",
    "ConvNeXtV2Pico": "constructors:ConvNextV2Pico",
    "ConvNeXtV2Nano": "constructors:ConvNextV2Nano",
    "ConvNeXtV2Tiny": "constructors:ConvNextV2Tiny",
    "ConvNeXtV2Base": "constructors:ConvNextV2Base",
    "ConvNeXtV2Large": "constructors:ConvNextV2Large",
    "ConvNeXtV2Huge": "constructors:ConvNextV2Huge",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
