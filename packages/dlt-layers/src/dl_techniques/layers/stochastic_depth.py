"""Stochastic depth, also known as drop path."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from dl_techniques.core import Example, Fraction, Tensor, TensorSpec, component
from dl_techniques.layers.same_shape import SameShape


@component(
    "dl_techniques>StochasticDepth",
    kind="layer",
    tags=("regularization", "residual"),
    paper="arXiv:1603.09382",
    since="0.1",
)
class StochasticDepth(SameShape):
    """Stochastic depth: drops the residual branch of whole samples at training.

    y = b x / (1 - rate), with b = 1 with probability 1 - rate and 0 otherwise, drawn once for
    each sample.

    At inference the layer is the identity. Dropped values are replaced, not multiplied by zero:
    an infinity or NaN in a dropped branch leaves no trace. `rate=1` gives zeros.

    Args:
        drop_path_rate: Probability that a sample's branch is dropped.
        seed: Seed of the draws.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ...)`.

    Output shape:
        The input's.

    Raises:
        ValueError: If the rate is not within [0, 1].

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import StochasticDepth
        >>> layer = StochasticDepth(0.5, seed=0)
        >>> ops.convert_to_numpy(layer(np.ones((2, 3)))).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
        >>> np.unique(ops.convert_to_numpy(layer(np.ones((64, 3)), training=True))).tolist()
        [0.0, 2.0]

    References:
        Huang et al., "Deep Networks with Stochastic Depth", arXiv:1603.09382 (here in the
        inverted form, which needs no correction at inference).
    """

    def __init__(
        self, drop_path_rate: Fraction = 0.5, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.drop_path_rate = drop_path_rate
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Drop samples at training, and scale those that stay."""
        rate = self.drop_path_rate
        if not training or rate == 0:
            return inputs
        shape = (ops.shape(inputs)[0], *[1] * (len(inputs.shape) - 1))
        # In float32: a float16 draw has only 2,048 values.
        kept = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator) >= rate
        scale = 1.0 / (1.0 - rate) if rate < 1 else 0.0
        return ops.where(kept, inputs * scale, ops.zeros_like(inputs))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The usual rate, and the two ends."""
        tokens = TensorSpec((4, 3, 2))
        yield Example(cls, {"seed": 1}, tokens, traits=frozenset({"stochastic"}))
        yield Example(cls, {"drop_path_rate": 0.0}, tokens, name="keeps_all")
        traits = frozenset({"changes_in_training"})
        yield Example(cls, {"drop_path_rate": 1.0}, tokens, traits=traits, name="drops_all")
