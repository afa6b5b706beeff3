"""Base of the vision models: weights, head, features, preprocessing.

Importing this package imports neither Keras nor a backend; a name does, when it needs to.
"""

from dl_techniques.core.lazy import serve

_NAMES = {
    "__about__:__version__": "__version__",
    "constructor:Constructor": "Constructor",
    "constructor:constructor": "constructor",
    "crop_like:CropLike": "CropLike",
    "pad_to_multiple:PadToMultiple": "PadToMultiple",
    "resize_like:ResizeLike": "ResizeLike",
    "vision_model:VisionModel": "VisionModel",
    "vision_model:WeightsInfo": "WeightsInfo",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for address, name in _NAMES.items()}
)
