"""Series as sequences of patches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    InitializerLike,
    Layer,
    RegularizerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers.attention.attend import all_of
from dl_techniques.layers.ffn.residual_block import ResidualBlock


@component(
    "dl_techniques>PatchEmbedding1d",
    kind="layer",
    tags=("embedding", "time-series", "transformer"),
    paper="arXiv:2211.14730",
    since="0.1",
)
class PatchEmbedding1d(Layer):
    """Patch embedding of series: cuts a series into patches and projects each to a token.

    y_n = x_n E + b, where x_n in R^(P C) holds the P samples from n s on, flattened as
    (sample, channel), and E in R^(P C x D).

    With `missing_value_mask`, x_n in R^(2 P C) also holds, behind the samples, which of them were
    observed (1) and which not (0). Not observed are NaN, masked samples, and padding; they count
    as zero.

    Args:
        patch_size: Samples P of a patch.
        embed_dim: Width D of a token.
        stride: Step s from patch to patch; by default P.
        padding: `"causal"` to pad at the start, so that the last patch ends with the last sample;
            `"same"` to pad at both ends to ceil(T / s) patches; `"valid"` not to pad, which leaves
            out a remainder at the end.
        channel_independent: Whether each channel is a series of its own: the same E of shape
            (P, D) serves them all.
        missing_value_mask: Whether to tell the projection what was observed.
        hidden_dim: Hidden width of a `ResidualBlock` that projects in the place of x E + b, as in
            TiRex; `None` for the linear map.
        activation: Activation of that block.
        use_bias: Whether projections have biases.
        kernel_initializer: Initializer of E.
        bias_initializer: Initializer of b.
        kernel_regularizer: Regularizer of E.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: A series.
        mask: `(batch, T)`, nonzero = a real sample. A token is real if one of its samples is.

    Input shape:
        `(batch, T, C)`; T may be unknown.

    Output shape:
        `(batch, N, D)`, or `(batch, C, N, D)` if `channel_independent`. Without padding
        N = floor((T - P) / s) + 1, with causal padding N = ceil((T - P) / s) + 1, at least 1.

    Raises:
        ValueError: If a size is not positive, `padding` unknown, or the series is shorter than
            a patch and not padded.

    Example:
        >>> import keras
        >>> from dl_techniques.layers import PatchEmbedding1d
        >>> layer = PatchEmbedding1d(2, embed_dim=1, kernel_initializer="ones")
        >>> series = keras.ops.reshape(keras.ops.arange(1.0, 6.0), (1, 5, 1))
        >>> keras.ops.convert_to_numpy(layer(series)).tolist()  # 0 + 1, 2 + 3, 4 + 5
        [[[1.0], [5.0], [9.0]]]

    References:
        Nie et al., "A Time Series is Worth 64 Words", arXiv:2211.14730; Auer et al., "TiRex",
        arXiv:2505.23719.
    """

    def __init__(
        self,
        patch_size: Count,
        embed_dim: Count,
        stride: Count | None = None,
        padding: Literal["causal", "same", "valid"] = "causal",
        channel_independent: bool = False,
        missing_value_mask: bool = False,
        hidden_dim: int | None = None,
        activation: ActivationLike | None = "relu",
        use_bias: bool = True,
        kernel_initializer: InitializerLike = "glorot_uniform",
        bias_initializer: InitializerLike = "zeros",
        kernel_regularizer: RegularizerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.embed_dim = embed_dim
        self.stride = stride
        self.padding = padding
        self.channel_independent = channel_independent
        self.missing_value_mask = missing_value_mask
        self.hidden_dim = hidden_dim
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        shared = {
            "use_bias": use_bias,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
            "kernel_regularizer": self.kernel_regularizer,
            "dtype": self.dtype_policy,
            "name": "projection",
        }
        self.projection = (
            keras.layers.Dense(embed_dim, **shared)
            if hidden_dim is None
            else ResidualBlock(hidden_dim, embed_dim, activation=activation, **shared)
        )
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Build the projection."""
        channels = input_shape[-1]
        if len(input_shape) != 3 or channels is None:
            raise ValueError(
                "The input must be (batch, length, channels) with known channels. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        patches = self.compute_output_shape(input_shape)[:-1]
        features = self.patch_size * (1 if self.channel_independent else channels)
        features *= 2 if self.missing_value_mask else 1
        self.projection.build((*patches, features))

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        """Cut and project."""
        x, observed = inputs, None
        if mask is not None or self.missing_value_mask:
            observed = ops.ones_like(x, dtype="bool")
            if self.missing_value_mask:
                observed = ops.logical_not(ops.isnan(x))
            if mask is not None:
                observed = ops.logical_and(observed, all_of(mask)[:, :, None])  # type: ignore[index]  # given
            x = ops.where(observed, x, ops.zeros_like(x))
        x = self._flat(self._patches(x))
        if observed is not None and self.missing_value_mask:
            seen = self._flat(self._patches(ops.cast(observed, x.dtype)))
            x = ops.concatenate([x, seen], axis=-1)
        # Products of float64 are float32 in Keras on PyTorch.
        return ops.cast(self.projection(x), self.compute_dtype)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None = None) -> Tensor | None:
        """A token is real if one of its samples is."""
        real = all_of(previous_mask)
        if real is None:
            return None
        patches = self._patches(ops.cast(real, "float32")[:, :, None])
        tokens = ops.any(patches > 0, axis=(2, 3))
        if self.channel_independent:
            return ops.repeat(tokens[:, None], inputs.shape[-1], axis=1)
        return tokens

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """One token for each patch."""
        length = input_shape[1]
        count = None
        if length is not None:
            before, after = self._pads(length)
            count = (length + before + after - self.patch_size) // self._step + 1
            if count < 1:
                raise ValueError(
                    "The series must be as long as a patch, or padded. Received: "
                    f"input_shape={tuple(input_shape)}, patch_size={self.patch_size}"
                )
        if self.channel_independent:
            return (input_shape[0], input_shape[2], count, self.embed_dim)
        return (input_shape[0], count, self.embed_dim)

    @property
    def _step(self) -> int:
        return self.stride or self.patch_size

    def _pads(self, length: Any) -> tuple[Any, Any]:
        """Zeros before and after a series; of a length that may be a scalar tensor."""
        if self.padding == "valid":
            return 0, 0
        largest = max if isinstance(length, int) else ops.maximum
        if self.padding == "causal":
            whole = largest(length - self.patch_size, 0)
            whole = -(-whole // self._step) * self._step
            return whole + self.patch_size - length, 0
        count = -(-length // self._step)
        missing = largest((count - 1) * self._step + self.patch_size - length, 0)
        return missing // 2, missing - missing // 2

    def _patches(self, x: Tensor) -> Tensor:
        """(B, T, C) as (B, N, P, C)."""
        length = ops.shape(x)[1]
        before, after = self._pads(length)
        x = ops.pad(x, ((0, 0), (before, after), (0, 0)))
        count = (length + before + after - self.patch_size) // self._step + 1
        if self._step == self.patch_size:
            x = x[:, : count * self.patch_size]
            return ops.reshape(x, (ops.shape(x)[0], count, self.patch_size, x.shape[-1]))
        samples = ops.arange(count)[:, None] * self._step + ops.arange(self.patch_size)[None]
        return ops.take(x, samples, axis=1)

    def _flat(self, patches: Tensor) -> Tensor:
        """(B, N, P, C) as (B, N, P C), or as (B, C, N, P) if channels are independent."""
        if self.channel_independent:
            return ops.transpose(patches, (0, 3, 1, 2))
        batch, count = ops.shape(patches)[:2]
        return ops.reshape(patches, (batch, count, self.patch_size * patches.shape[-1]))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Causal, overlapping and independent, with missing values."""
        series = TensorSpec((2, 7, 3))
        yield Example(cls, {"patch_size": 2, "embed_dim": 4}, series)
        yield Example(
            cls,
            {
                "patch_size": 3,
                "embed_dim": 4,
                "stride": 2,
                "padding": "same",
                "channel_independent": True,
            },
            series,
            name="overlapping",
        )
        yield Example(
            cls,
            {
                "patch_size": 2,
                "embed_dim": 4,
                "padding": "valid",
                "missing_value_mask": True,
                "hidden_dim": 5,
                "activation": "gelu",
            },
            series,
            traits=frozenset({"hides_nan"}),
            name="missing_values",
        )

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid sizes, unknown padding, a series that is too short."""
        good = {"patch_size": 4, "embed_dim": 8}
        yield Rejection(cls, {**good, "padding": "valid"}, "patch_size", build=(None, 3, 1))
        yield Rejection(cls, {**good, "hidden_dim": 0}, "hidden_dim")
