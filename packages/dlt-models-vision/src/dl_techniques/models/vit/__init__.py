"""Vision transformers. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "ViT": "vit:ViT",
    "ViTTiny": "constructors:ViTTiny",
    "ViTSmall": "constructors:ViTSmall",
    "ViTBase": "constructors:ViTBase",
    "ViTLarge": "constructors:ViTLarge",
    "ViTHuge": "constructors:ViTHuge",
    "ViTHMLP": "vit_hmlp:ViTHMLP",
    "ViTHMLPTiny": "constructors:ViTHMLPTiny",
    "ViTHMLPSmall": "constructors:ViTHMLPSmall",
    "ViTHMLPBase": "constructors:ViTHMLPBase",
    "ViTHMLPLarge": "constructors:ViTHMLPLarge",
    "VisionTransformer": "vit:ViT",
    "HierarchicalVisionTransformer": "vit_hmlp:ViTHMLP",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
