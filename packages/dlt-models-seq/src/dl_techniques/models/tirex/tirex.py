"""TiRex."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from dl_techniques import weights as W  # noqa: N812  # as the documents have it
from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    InitializerLike,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers import ResidualBlock, RMSNorm
from dl_techniques.layers.arguments import require_integers
from dl_techniques.layers.parts import fresh_initializer, offset_seed
from dl_techniques.models.tirex.forecaster import (
    LEVELS,
    Ahead,
    Forecaster,
    checked_levels,
    predicted,
)
from dl_techniques.models.tirex.scaling import location_and_scale
from dl_techniques.models.tirex.slstm_block import SLSTMBlock
from dl_techniques.models.tirex.widths import config_of_file
from dl_techniques.weights.catalog import find_weights

_NAME = "dl_techniques>TiRex"


class _Compiled:
    """Forecasts by number of patches, out of sight of Keras, which would save them."""

    def __init__(self) -> None:
        self.models: dict[int, Ahead] = {}


@component(
    "dl_techniques>TiRex",
    kind="model",
    tags=("forecasting", "time-series", "recurrent", "pretrained"),
    paper="arXiv:2505.23719",
    variants=("35m",),
    since="0.1",
)
class TiRex(Forecaster):
    """TiRex: zero-shot forecasts of the quantiles of any series, by a causal sLSTM.

    Patches of the scaled series, each beside a mask of its observed samples, pass a residual
    block, `num_blocks` sLSTM blocks and another residual block; token t gives the quantiles of
    patch t + 1. The series is scaled by the mean and the deviation of its observed samples.

    `forecast` predicts steps beyond the next patch from patches without samples. Predictions are
    never fed back. Without `weights` the model starts at random and must be trained: targets are
    the inputs, `patch_size` steps later.

    The default sizes are those of the published model of 35 million parameters.

    Args:
        patch_size: Samples of a patch.
        embed_dim: Width of the tokens.
        num_blocks: Number of blocks.
        num_heads: Heads of the sLSTM; divides `embed_dim`.
        input_ff_dim: Hidden width of the residual blocks at both ends.
        ffn_dim: Hidden width in the blocks; `None` for 8/3 of `embed_dim`, rounded up to a
            multiple of 64.
        quantiles: Levels of the quantiles, ascending.
        context_length: Samples that `forecast` sees, a multiple of `patch_size`.
        dropout: Rate of dropout in the blocks.
        kernel_initializer: Initializer of all kernels.
        seed: Seed of dropout.
        weights: `None`, the tag of listed weights (`"nx-ai"`), a file, or a `WeightEntry`.
        accept_license: The licence that you accept, where the row asks for consent.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, length)`, the length a multiple of `patch_size`; NaN = not observed.

    Output shape:
        `(batch, length, levels)`: the quantiles of each sample's value `patch_size` steps later.

    Raises:
        ValueError: If a number is out of range, or sizes do not divide each other.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.tirex import TiRex
        >>> sizes = {"embed_dim": 8, "num_blocks": 1, "num_heads": 2, "input_ff_dim": 8}
        >>> model = TiRex(patch_size=4, context_length=16, **sizes)
        >>> model.forecast(np.sin(np.arange(30.0)), horizon=6, quantiles=(0.1, 0.5, 0.9)).shape
        (6, 3)

    References:
        Auer et al., "TiRex: Zero-Shot Forecasting Across Long and Short Horizons with Enhanced
        In-Context Learning", arXiv:2505.23719.
    """

    transient = frozenset({"weights", "accept_license"})
    expected_failures: ClassVar[Mapping[str, str]] = {
        **Forecaster.expected_failures,
        "default_example": "the defaults are a network of full size, which takes minutes to check",
    }

    def __init__(
        self,
        patch_size: Count = 32,
        embed_dim: Count = 512,
        num_blocks: Count = 12,
        num_heads: Count = 4,
        input_ff_dim: Count = 2048,
        ffn_dim: int | None = None,
        quantiles: Sequence[float] = LEVELS,
        context_length: Count = 2048,
        dropout: Fraction = 0.0,
        kernel_initializer: InitializerLike = "glorot_uniform",
        seed: int | None = None,
        weights: Any = None,
        accept_license: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if embed_dim % num_heads:
            raise ValueError(
                "`embed_dim` must be a multiple of `num_heads`. "
                f"Received: embed_dim={embed_dim}, num_heads={num_heads}"
            )
        if context_length % patch_size:
            raise ValueError(
                "`context_length` must be a multiple of `patch_size`. "
                f"Received: context_length={context_length}, patch_size={patch_size}"
            )
        self.patch_size = patch_size
        self.embed_dim = embed_dim
        self.num_blocks = num_blocks
        self.num_heads = num_heads
        self.input_ff_dim = input_ff_dim
        self.ffn_dim = ffn_dim
        self.quantiles = checked_levels(quantiles)
        self.context_length = context_length
        self.dropout = dropout
        self.kernel_initializer = kernel_initializer
        self.seed = seed
        shared: dict[str, Any] = {"dtype": self.dtype_policy}
        self.input_patch_embedding = self._ends(embed_dim, "input_patch_embedding")
        self.blocks = [
            SLSTMBlock(
                num_heads,
                ffn_dim,
                dropout,
                kernel_initializer=fresh_initializer(kernel_initializer),
                seed=offset_seed(seed, i),
                name=f"block{i}",
                **shared,
            )
            for i in range(num_blocks)
        ]
        self.out_norm = RMSNorm(name="out_norm", **shared)
        self.output_patch_embedding = self._ends(
            patch_size * len(self.quantiles), "output_patch_embedding"
        )
        self._compiled = _Compiled()
        if weights is not None:
            self.load_pretrained(_source(weights), accept_license=accept_license)

    def build(self, input_shape: Shape | None = None) -> None:  # noqa: ARG002  # any length
        """Build all parts; no weight depends on the length."""
        self.input_patch_embedding.build((None, None, 2 * self.patch_size))
        tokens = (None, None, self.embed_dim)
        for part in (*self.blocks, self.out_norm, self.output_patch_embedding):
            part.build(tokens)

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Predict the patch after each token."""
        return self.ahead(inputs, None, training)

    def ahead(self, series: Tensor, patches: int | None, training: bool | None = None) -> Tensor:
        """Predict the patches after the last tokens.

        Args:
            series: `(batch, length)`, NaN = not observed.
            patches: Number of tokens; `None` for all.
            training: Whether the model is being trained.

        Raises:
            ValueError: If the length is no multiple of `patch_size`.
        """
        if len(series.shape) != 2 or (series.shape[1] or 0) % self.patch_size:
            raise ValueError(
                "The input must be (batch, length), the length a multiple of `patch_size`. "
                f"Received: shape={tuple(series.shape)}, patch_size={self.patch_size}"
            )
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        series = ops.cast(series, wide)
        location, scale = location_and_scale(series)
        seen = ops.logical_not(ops.isnan(series))
        scaled = ops.where(seen, (series - location) / scale, ops.zeros_like(series))
        batch, length = ops.shape(series)
        tokens = length // self.patch_size
        shape = (batch, tokens, self.patch_size)
        parts = [ops.reshape(ops.cast(part, self.compute_dtype), shape) for part in (scaled, seen)]
        x = self.input_patch_embedding(ops.concatenate(parts, axis=-1), training=training)
        for block in self.blocks:
            x = block(x, training=training)
        x = x if patches is None else x[:, -patches:]
        x = self.output_patch_embedding(self.out_norm(x), training=training)
        tokens = tokens if patches is None else patches
        x = ops.reshape(x, (batch, tokens, len(self.quantiles), self.patch_size))
        x = ops.swapaxes(x, 2, 3)
        x = ops.reshape(x, (batch, tokens * self.patch_size, len(self.quantiles)))
        return ops.cast(x, wide) * scale[..., None] + location[..., None]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return `(batch, length, levels)`."""
        return (*input_shape, len(self.quantiles))

    @property
    def native_horizon(self) -> int:
        """The patch size."""
        return self.patch_size

    def predict_quantiles(
        self,
        context: Any,
        horizon: int,
        batch_size: int = 32,
        patches_at_once: int = 1,
        **settings: Any,
    ) -> Any:
        """Forecast from series of `context_length` samples.

        Args:
            context: `(batch, context_length)`, NaN = not observed.
            horizon: Number of steps.
            batch_size: Series of a step of computation.
            patches_at_once: Patches that are predicted from one pass over the context, which
                then moves on by as many. More are quicker and may be less exact.
            **settings: None.

        Returns:
            A NumPy array `(batch, horizon, levels)`.

        Raises:
            ValueError: If a number is out of range.
            TypeError: If there is a setting that the model lacks.
        """
        require_integers(patches_at_once=patches_at_once)
        if settings:
            raise TypeError(f"`forecast` has no such settings. Received: {sorted(settings)}")
        if not self.built:
            self.build()
        context = np.asarray(context, "float32")
        left, found = -(-horizon // self.patch_size), []
        while left > 0:
            count = min(left, patches_at_once)
            # A patch that was not observed yet asks for the one after it.
            missing = np.full((len(context), (count - 1) * self.patch_size), np.nan, "float32")
            tokens = np.concatenate([context, missing], axis=1)
            if count not in self._compiled.models:
                self._compiled.models[count] = Ahead(self, count)
            found.append(predicted(self._compiled.models[count], tokens, batch_size))
            more = np.full((len(context), count * self.patch_size), np.nan, "float32")
            context = np.concatenate([context, more], axis=1)[:, -self.context_length :]
            left -= count
        return np.concatenate(found, axis=1)[:, :horizon]

    def load_pretrained(
        self, source: Any, *, layout: str | None = None, accept_license: str | None = None
    ) -> W.Report:
        """Load weights from a file; an error leaves the model as it was.

        Args:
            source: A file, the name of listed weights, or a `WeightEntry`.
            layout: The name of its layout; by default the one that accounts for all keys.
            accept_license: The licence that you accept, where the row asks for consent.

        Returns:
            What became of each tensor of the file.

        Raises:
            WeightsMismatch: If a tensor or a variable is unaccounted for, or a shape does not fit.
        """
        if not self.built:
            self.build()
        return W.load(self, source, layout, component=_NAME, accept_license=accept_license)

    @classmethod
    def from_weights(cls, source: Any, *, accept_license: str | None = None, **config: Any) -> Self:
        """Make the model that a file of weights is for.

        All sizes follow from the shapes in the file, except for `context_length`.

        Args:
            source: A file, the name of listed weights (`TiRex/35m/nx-ai`), or a `WeightEntry`.
            accept_license: The licence that you accept, where the row asks for consent.
            **config: Further arguments of the constructor.

        Raises:
            WeightsMismatch: If the file is not one of TiRex.
        """
        source = _source(source)
        path = source
        if isinstance(source, W.WeightEntry):
            path = W.fetch(source, accept_license=accept_license)
        model = cls(**{**config_of_file(path), **config})
        model.load_pretrained(source, accept_license=accept_license)
        return model

    def _ends(self, width: int, name: str) -> Any:
        return ResidualBlock(
            self.input_ff_dim,
            width,
            activation="relu",
            kernel_initializer=fresh_initializer(self.kernel_initializer),
            dtype=self.dtype_policy,
            name=name,
        )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Small models, with and without dropout."""
        small: dict[str, Any] = {"patch_size": 2, "embed_dim": 4, "num_blocks": 1, "num_heads": 2}
        small |= {"input_ff_dim": 5, "ffn_dim": 6, "context_length": 8}
        series, traits = TensorSpec((2, 6)), frozenset({"hides_nan"})
        yield Example(cls, small, series, traits=traits)
        more = {**small, "quantiles": (0.2, 0.5), "dropout": 0.5, "seed": 1}
        yield Example(cls, more, series, traits=traits | {"stochastic"}, name="dropout")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Numbers out of range, sizes that do not divide each other."""
        yield Rejection(cls, {"embed_dim": 6}, "num_heads")
        yield Rejection(cls, {"ffn_dim": 0}, "ffn_dim")
        yield Rejection(cls, {"quantiles": (0.5, 0.1)}, "quantiles")
        yield Rejection(cls, {"context_length": 33}, "context_length")


def _source(weights: Any) -> Any:
    """Resolve the argument `weights`.

    Raises:
        UnknownWeights: If a text is neither a file nor a name.
    """
    if isinstance(weights, W.WeightEntry):
        return weights
    if not isinstance(weights, str | os.PathLike):
        raise TypeError(
            f"`weights` must be None, a tag, a path or a WeightEntry. Received: weights={weights!r}"
        )
    if isinstance(weights, str) and not Path(weights).exists():
        return find_weights(weights if "/" in weights else f"{_NAME}/35m/{weights}")
    return Path(weights)
