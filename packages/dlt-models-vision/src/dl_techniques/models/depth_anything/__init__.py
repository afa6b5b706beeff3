"""Depth Anything. Importing the package imports neither Keras nor a backend."""

from dl_techniques.core.lazy import serve

_ADDRESSES = {
    "AffineInvariantLoss": "affine_invariant_loss:AffineInvariantLoss",
    "AlignedResize": "aligned_resize:AlignedResize",
    "DepthAnything": "depth_anything:DepthAnything",
    "DepthAnythingV1Base": "constructors:DepthAnythingV1Base",
    "DepthAnythingV1Large": "constructors:DepthAnythingV1Large",
    "DepthAnythingV1Small": "constructors:DepthAnythingV1Small",
    "DepthAnythingV2Base": "constructors:DepthAnythingV2Base",
    "DepthAnythingV2Large": "constructors:DepthAnythingV2Large",
    "DepthAnythingV2Small": "constructors:DepthAnythingV2Small",
    "DepthDistiller": "depth_distiller:DepthDistiller",
}
__getattr__, __dir__, __all__ = serve(
    __name__, {name: f"{__name__}.{address}" for name, address in _ADDRESSES.items()}
)
