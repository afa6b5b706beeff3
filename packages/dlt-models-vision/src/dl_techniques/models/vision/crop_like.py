"""Cropping of maps to the size of an image that was padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

from dl_techniques.core import Count, Example, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer, strided


@component(
    "dl_techniques>CropLike",
    kind="layer",
    tags=("vision", "padding"),
    since="0.1",
)
class CropLike(ChannelsLastLayer):
    """Crops a map to an image's size at a scale, and so removes what `PadToMultiple` added.

    y = x[: ceil(height / scale), : ceil(width / scale)], with the sizes of the image.

    Args:
        scale: Pixels of the image that a pixel of the map covers.
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list: the map and the image, `(batch, height, width, channels)` each.

    Output shape:
        The map's, height and width those of the image divided by `scale` and rounded up.

    Raises:
        ValueError: If `scale` is not positive.

    Example:
        >>> import keras
        >>> from dl_techniques.models.vision import CropLike
        >>> maps, images = keras.ops.ones((1, 4, 4, 8)), keras.ops.ones((1, 7, 5, 3))
        >>> tuple(CropLike(2)([maps, images]).shape)
        (1, 4, 3, 8)

    References:
        A slice, the inverse of `PadToMultiple`.
    """

    def __init__(self, scale: Count = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = scale

    def build(self, input_shape: Sequence[Shape]) -> None:
        """Nothing to create."""
        del input_shape
        self.built = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Slice."""
        maps, images = inputs
        height, width = (strided(n, self.scale) for n in ops.shape(images)[1:3])
        return maps[:, :height, :width]

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """The image's sizes at the scale."""
        maps, images = input_shape
        return (maps[0], strided(images[1], self.scale), strided(images[2], self.scale), maps[3])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A map with a row too many, at the image's scale and at half of it."""
        maps = [TensorSpec((2, 4, 3, 2)), TensorSpec((2, 3, 3, 1))]
        yield Example(cls, {}, maps, dead=("input 1",))
        maps = [TensorSpec((2, 4, 3, 2)), TensorSpec((2, 6, 3, 1))]
        yield Example(cls, {"scale": 2}, maps, dead=("input 1",), name="half")
