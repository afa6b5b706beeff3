"""Functions that make one variant each."""

from __future__ import annotations

from typing import Any, Protocol

from dl_techniques.models.depth_anything.depth_anything import DepthAnything


class DepthConstructor(Protocol):
    """Makes one variant of `DepthAnything`."""

    def __call__(self, weights: Any = None, **kwargs: Any) -> DepthAnything:
        """Make the model.

        Args:
            weights: `None`, a tag such as `"relative"`, a file, or a `WeightEntry`.
            **kwargs: Further arguments of the model.
        """


def _constructor(name: str, variant: str) -> DepthConstructor:
    def make(weights: Any = None, **kwargs: Any) -> DepthAnything:
        return DepthAnything(variant, weights=weights, **kwargs)

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"`DepthAnything({variant!r}, ...)`; the arguments are those of the class."
    return make


DepthAnythingV1Small = _constructor("DepthAnythingV1Small", "v1_small")
DepthAnythingV1Base = _constructor("DepthAnythingV1Base", "v1_base")
DepthAnythingV1Large = _constructor("DepthAnythingV1Large", "v1_large")
DepthAnythingV2Small = _constructor("DepthAnythingV2Small", "v2_small")
DepthAnythingV2Base = _constructor("DepthAnythingV2Base", "v2_base")
DepthAnythingV2Large = _constructor("DepthAnythingV2Large", "v2_large")
