"""Bilinear resizing to the size of another map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keras import ops

from dl_techniques.core import Example, Shape, Tensor, TensorSpec, component
from dl_techniques.layers.conv.channels_last import ChannelsLastLayer
from dl_techniques.layers.interpolation import resize_bilinear


@component(
    "dl_techniques>ResizeLike",
    kind="layer",
    tags=("vision", "upsampling"),
    since="0.1",
)
class ResizeLike(ChannelsLastLayer):
    """Resizes a map bilinearly to the size of another one, with half-pixel centres.

    y = A x B^T with A[o, k] = max(0, 1 - |c_o - k|), c_o = clip((o + 1/2) n / m - 1/2, 0, n - 1).

    Unlike `keras.layers.UpSampling2D`, it takes maps of several unknown sizes on every backend.

    Args:
        data_format: Only `"channels_last"`; `None` for Keras's own setting, which must be that.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list of two maps, `(batch, height, width, channels)` each.

    Output shape:
        The first map's, height and width of the second.

    Example:
        >>> import keras
        >>> from dl_techniques.models.vision import ResizeLike
        >>> small, large = keras.ops.ones((1, 2, 3, 4)), keras.ops.ones((1, 4, 6, 1))
        >>> tuple(ResizeLike()([small, large]).shape)
        (1, 4, 6, 4)

    References:
        `torch.nn.functional.interpolate` with `align_corners=False`.
    """

    def build(self, input_shape: Sequence[Shape]) -> None:
        """Nothing to create."""
        del input_shape
        self.built = True

    def call(self, inputs: Sequence[Tensor]) -> Tensor:
        """Resize the first."""
        x, like = inputs
        height, width = ops.shape(like)[1:3]
        return resize_bilinear(x, (height, width))

    def compute_output_shape(self, input_shape: Sequence[Shape]) -> Shape:
        """The second map's sizes."""
        x, like = input_shape
        return (x[0], like[1], like[2], x[3])

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two maps."""
        maps = [TensorSpec((2, 2, 3, 2)), TensorSpec((2, 4, 5, 1))]
        yield Example(cls, {}, maps, dead=("input 1",))
