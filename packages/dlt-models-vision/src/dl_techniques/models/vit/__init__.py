"""Vision transformers. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_SIZES = ("Tiny", "Small", "Base", "Large", "Huge")
_ADDRESSES = {
    "ViT": "vit:ViT",
    "VisionTransformer": "vit:ViT",
    **{f"ViT{size}": f"constructors:ViT{size}" for size in _SIZES},
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
