from dl_techniques.layers.io.range_rescaling import RangeRescaling as RangeRescaling
from dl_techniques.layers.io.ranges import clip_tensor as clip_tensor
from dl_techniques.layers.io.ranges import denormalize_tensor as denormalize_tensor
from dl_techniques.layers.io.ranges import normalize_tensor as normalize_tensor

__all__ = [
    "RangeRescaling",
    "clip_tensor",
    "denormalize_tensor",
    "normalize_tensor",
]
