"""TiRexCore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    ActivationLike,
    Count,
    Example,
    Fraction,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers import (
    MixedSequentialBlock,
    PatchEmbedding1d,
    PositionalEmbedding,
    QuantileHead,
)
from dl_techniques.layers.parts import offset_seed
from dl_techniques.models.tirex.forecaster import LEVELS, Forecaster, checked_levels, predicted
from dl_techniques.models.tirex.scaling import location_and_scale


@component(
    "dl_techniques>TiRexCore",
    kind="model",
    tags=("forecasting", "time-series", "transformer", "recurrent"),
    paper="arXiv:2505.23719",
    since="0.1",
)
class TiRexCore(Forecaster):
    """Small trainable forecaster of quantiles, with LSTMs, attention or both.

    x = standardized series; tokens = patches of x, each beside its mask of observed samples, plus
    positions; `num_blocks` times `MixedSequentialBlock`; layer norm; pooling; `QuantileHead`;
    q = scale * head + mean

    A design of this library's own. `TiRex` is the published model.

    Args:
        context_length: Samples that the model sees at most.
        horizon: Number H of steps ahead.
        quantiles: Levels of the quantiles, ascending.
        patch_size: Samples of a patch.
        patch_stride: Step from patch to patch; `None` for the patch size.
        embed_dim: Width of the tokens.
        num_blocks: Number of blocks.
        num_heads: Heads of the attention; divides `embed_dim`.
        lstm_units: Units of the LSTM; `None` for `embed_dim`.
        ff_dim: Hidden width of the feed-forward blocks; `None` for four times `embed_dim`.
        block_type: `"lstm"`, `"transformer"` or `"mixed"`.
        bidirectional: Whether the LSTM reads both ways.
        causal: Whether attention hides later tokens.
        positions: `"learned"`, `"sinusoidal"`, or `None` for no positions.
        pool: `"last"` token, `"mean"` of the tokens, or `"flatten"`, which keeps them all.
        scaling: Whether to scale each series by its mean and deviation.
        monotone: Whether quantiles are sums of positive steps, which cannot cross.
        activation: Activation of the feed-forward blocks.
        dropout: Rate of dropout in the blocks and before the head.
        seed: Seed of all dropouts.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, length)`, NaN = not observed; the length at most `context_length`, and equal to
        it for `"flatten"`.

    Output shape:
        `(batch, H, levels)`.

    Raises:
        ValueError: If a number is out of range or a word is unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.tirex import TiRexCore
        >>> model = TiRexCore(24, horizon=4, patch_size=6, embed_dim=8, num_heads=2)
        >>> model.forecast(np.sin(np.arange(40.0)), quantiles=(0.1, 0.5, 0.9)).shape
        (4, 3)

    References:
        Auer et al., "TiRex: Zero-Shot Forecasting Across Long and Short Horizons with Enhanced
        In-Context Learning", arXiv:2505.23719; patches: Nie et al., arXiv:2211.14730.
    """

    def __init__(
        self,
        context_length: Count = 128,
        horizon: Count = 32,
        quantiles: Sequence[float] = LEVELS,
        patch_size: int = 16,
        patch_stride: int | None = None,
        embed_dim: int = 64,
        num_blocks: Count = 2,
        num_heads: int = 4,
        lstm_units: int | None = None,
        ff_dim: int | None = None,
        block_type: Literal["lstm", "transformer", "mixed"] = "mixed",
        bidirectional: bool = False,
        causal: bool = False,
        positions: Literal["learned", "sinusoidal"] | None = "learned",
        pool: Literal["last", "mean", "flatten"] = "last",
        scaling: bool = True,
        monotone: bool = True,
        activation: ActivationLike | None = "gelu",
        dropout: Fraction = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.context_length = context_length
        self.horizon = horizon
        self.quantiles = checked_levels(quantiles)
        self.patch_size = patch_size
        self.patch_stride = patch_stride
        self.embed_dim = embed_dim
        self.num_blocks = num_blocks
        self.num_heads = num_heads
        self.lstm_units = lstm_units
        self.ff_dim = ff_dim
        self.block_type = block_type
        self.bidirectional = bidirectional
        self.causal = causal
        self.positions = positions
        self.pool = pool
        self.scaling = scaling
        self.monotone = monotone
        self.activation = activation
        self.dropout = dropout
        self.seed = seed
        self._make_parts()

    def _make_parts(self) -> None:
        shared: dict[str, Any] = {"dtype": self.dtype_policy}
        self.patches = PatchEmbedding1d(
            self.patch_size,
            self.embed_dim,
            self.patch_stride,
            missing_value_mask=True,
            name="patches",
            **shared,
        )
        self.position_layer = None
        if self.positions is not None:
            tokens = self.patches.compute_output_shape((None, self.context_length, 1))[1]
            self.position_layer = PositionalEmbedding(
                tokens, self.positions, name="positions", **shared
            )
        self.blocks = [
            MixedSequentialBlock(
                self.embed_dim,
                self.num_heads,
                self.lstm_units,
                self.ff_dim,
                self.block_type,
                self.dropout,
                activation=self.activation,
                causal=self.causal,
                seed=offset_seed(self.seed, 10 * i),
                bidirectional=self.bidirectional,
                name=f"block{i}",
                **shared,
            )
            for i in range(self.num_blocks)
        ]
        self.norm = keras.layers.LayerNormalization(epsilon=1e-5, name="norm", **shared)
        self.head = QuantileHead(
            len(self.quantiles),
            self.horizon,
            self.quantiles,
            enforce_monotonicity=self.monotone,
            dropout_rate=self.dropout,
            flatten_input=self.pool == "flatten",
            seed=offset_seed(self.seed, 10 * self.num_blocks),
            name="head",
            **shared,
        )

    def build(self, input_shape: Shape) -> None:
        """Build all parts."""
        length = input_shape[1] if len(input_shape) == 2 else 0
        whole = self.pool == "flatten"
        fits = length is None or 0 < length <= self.context_length
        if len(input_shape) != 2 or not fits or (whole and length != self.context_length):
            raise ValueError(
                "The input must be (batch, length), the length at most `context_length`, and equal "
                f"to it for pool='flatten'. Received: input_shape={tuple(input_shape)}, "
                f"context_length={self.context_length}"
            )
        series = (input_shape[0], length, 1)
        self.patches.build(series)
        tokens = self.patches.compute_output_shape(series)
        if self.position_layer is not None:
            self.position_layer.build(tokens)
        for part in (*self.blocks, self.norm):
            part.build(tokens)
        self.head.build(tokens if whole else (tokens[0], tokens[2]))

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Predict the quantiles."""
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        series = ops.cast(inputs, wide)
        location, scale = location_and_scale(series)
        if self.scaling:
            series = (series - location) / scale
        x = self.patches(ops.cast(series, self.compute_dtype)[..., None])
        if self.position_layer is not None:
            x = self.position_layer(x)
        for block in self.blocks:
            x = block(x, training=training)
        x = self.norm(x)
        if self.pool != "flatten":
            x = x[:, -1] if self.pool == "last" else ops.mean(x, axis=1)
        quantiles = ops.cast(self.head(x, training=training), wide)
        if not self.scaling:
            return quantiles
        return quantiles * scale[..., None] + location[..., None]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return `(batch, H, levels)`."""
        return (input_shape[0], self.horizon, len(self.quantiles))

    @property
    def native_horizon(self) -> int:
        """The horizon."""
        return self.horizon

    def predict_quantiles(
        self, context: Any, horizon: int, batch_size: int = 32, **settings: Any
    ) -> Any:
        """Forecast from series of `context_length` samples.

        Args:
            context: `(batch, context_length)`, NaN = not observed.
            horizon: Number of steps, at most the model's.
            batch_size: Series of a step of computation.
            **settings: None.

        Returns:
            A NumPy array `(batch, horizon, levels)`.

        Raises:
            ValueError: If the horizon is longer than the model's.
            TypeError: If there is a setting that the model lacks.
        """
        if horizon > self.horizon:
            raise ValueError(
                f"`horizon` must be at most the model's, {self.horizon}. "
                f"Received: horizon={horizon}"
            )
        if settings:
            raise TypeError(f"`forecast` has no such settings. Received: {sorted(settings)}")
        return predicted(self, context, batch_size)[:, :horizon]

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and a bidirectional LSTM of whole series with dropout."""
        traits = frozenset({"hides_nan"})
        small: dict[str, Any] = {"context_length": 8, "horizon": 3, "patch_size": 4}
        small |= {"embed_dim": 4, "num_blocks": 1, "num_heads": 2}
        dead = ("attention/key/bias",)
        yield Example(cls, {}, TensorSpec((2, 32)), traits=traits, dead=dead)
        other = {**small, "block_type": "lstm", "bidirectional": True, "positions": None}
        other |= {"pool": "flatten", "monotone": False, "scaling": False, "dropout": 0.5, "seed": 1}
        traits = traits | {"stochastic"}
        yield Example(cls, other, TensorSpec((2, 8)), traits=traits, name="lstm")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, unknown words, series that are too long."""
        yield Rejection(cls, {"quantiles": (0.5, 0.1)}, "quantiles")
        yield Rejection(cls, {"patch_size": 0}, "patch_size")
        yield Rejection(cls, {"patch_stride": 0}, "stride")
        yield Rejection(cls, {"embed_dim": 0}, "embed_dim")
        yield Rejection(cls, {"num_heads": 0}, "num_heads")
        yield Rejection(cls, {"lstm_units": 0}, "lstm_units")
        yield Rejection(cls, {"ff_dim": 0}, "ff_dim")
        yield Rejection(cls, {}, "context_length", build=(2, 200))
