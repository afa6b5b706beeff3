"""A map between ranges of values as a layer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.layers.activations.elementwise import Elementwise
from dl_techniques.layers.io.ranges import normalize_tensor, require_ranges


@component("dl_techniques>RangeRescaling", kind="layer", tags=("preprocessing",), since="0.1")
class RangeRescaling(Elementwise):
    """Rescaling between two ranges, for the ends of a model.

    y = (x - source_min) / (source_max - source_min) (target_max - target_min) + target_min

    With the ranges exchanged it is the inverse, which belongs to the end of a model. Integers
    are taken in the layer's compute dtype; give the layer `dtype="float32"` where half precision
    would round pixels.

    Args:
        source_min: Value that becomes `target_min`.
        source_max: Value that becomes `target_max`.
        target_min: Start of the target range.
        target_max: End of the target range.
        clip: Whether to confine the result to the target range.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Raises:
        ValueError: If a number is not finite, or the source range is empty.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import RangeRescaling
        >>> layer = RangeRescaling(0, 255, -1, 1)
        >>> ops.convert_to_numpy(layer(ops.array([0.0, 127.5, 255.0]))).tolist()
        [-1.0, 0.0, 1.0]

    References:
        `keras.layers.Rescaling`, which takes a scale and an offset in place of the two ranges.
    """

    def __init__(
        self,
        source_min: float = 0.0,
        source_max: float = 255.0,
        target_min: float = 0.0,
        target_max: float = 1.0,
        clip: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        require_ranges(source_min, source_max, target_min, target_max)
        self.source_min = source_min
        self.source_max = source_max
        self.target_min = target_min
        self.target_max = target_max
        self.clip = clip

    def call(self, inputs: Tensor) -> Tensor:
        """Map the values."""
        ranges = (self.source_min, self.source_max, self.target_min, self.target_max)
        return normalize_tensor(ops.cast(inputs, self.compute_dtype), *ranges, self.clip)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Pixels to [0, 1], and a descending target with clipping."""
        traits = frozenset({"elementwise", "monotone"})
        yield Example(cls, {}, TensorSpec((2, 3, 4)), traits=traits)
        falling = {"source_min": -1.0, "source_max": 1.0, "target_min": 2.0, "target_max": -3.0}
        traits = frozenset({"elementwise"})
        yield Example(
            cls, {**falling, "clip": True}, TensorSpec((2, 4)), traits=traits, name="falling"
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """An empty source, an infinite target."""
        yield Rejection(cls, {"source_min": 1.0, "source_max": 1.0}, "source_min")
        yield Rejection(cls, {"target_max": float("inf")}, "target_max")
