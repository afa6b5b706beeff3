"""Samples from a Gaussian whose gradients reach its parameters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import keras
from keras import ops

from dl_techniques.core import (
    Example,
    Layer,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.layers.arguments import require_seed
from dl_techniques.layers.routing.pairs import require_one_shape

# Ten standard deviations of exp(18 / 2) are 81,000: float16 ends at 65,504, eight deviations.
_LARGEST_LOG_VARIANCE: Final = 18.0


@component(
    "dl_techniques>Sampling",
    kind="layer",
    tags=("probability", "generative"),
    paper="arXiv:1312.6114",
    since="0.1",
)
class Sampling(Layer):
    """Reparameterized sample from a normal distribution with diagonal covariance.

    z = mu + exp(log_var / 2) eps, with eps ~ N(0, 1)

    Computed in float32 under half precision; in float16, log_var counts up to 18 only, so that
    samples stay finite.

    Args:
        sample_at_inference: Whether to draw outside of training, too; if false, the output is mu
            there.
        seed: Seed of the draws.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        A list `[mu, log_var]` of two tensors of one shape.

    Output shape:
        That of either.

    Raises:
        ValueError: If there are not two inputs of one shape, or `seed` is not an integer.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from dl_techniques.layers import Sampling
        >>> mu, log_var = np.array([[1.0, -2.0]]), np.array([[-1e9, -1e9]])
        >>> ops.convert_to_numpy(Sampling(seed=0)([mu, log_var])).tolist()
        [[1.0, -2.0]]

    References:
        Kingma and Welling, "Auto-Encoding Variational Bayes", arXiv:1312.6114.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "inference_is_pure": "it draws at inference, unless `sample_at_inference` is false",
        "gradients_live": "log_var has no effect at exp(-200), nor where the output is mu",
    }

    def __init__(
        self, sample_at_inference: bool = True, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        require_seed(seed)
        self.sample_at_inference = sample_at_inference
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: Any) -> None:
        """Check the shapes; there are no weights."""
        require_one_shape(input_shape)

    def call(self, inputs: Sequence[Tensor], training: bool | None = None) -> Tensor:
        """Draw one sample for each entry."""
        mu, log_var = inputs
        if not (training or self.sample_at_inference):
            return mu
        mu, log_var = upcast(mu), upcast(log_var)
        if self.compute_dtype == "float16":
            log_var = ops.minimum(log_var, _LARGEST_LOG_VARIANCE)
        noise = keras.random.normal(ops.shape(mu), dtype=mu.dtype, seed=self.seed_generator)
        return ops.cast(mu + ops.exp(0.5 * log_var) * noise, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of either tensor."""
        shape: Shape = input_shape[0]
        return shape

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """A variance of exp(-200), beside which mu keeps all its bits; and usual ones."""
        mu = TensorSpec((2, 5))
        yield Example(cls, {}, [mu, TensorSpec((2, 5), low=-201.0, high=-200.0)])
        training = {"sample_at_inference": False, "seed": 1}
        traits = frozenset({"stochastic"})
        yield Example(cls, training, [mu, mu], traits=traits, name="training_only")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A wrong seed, one input, two shapes."""
        yield Rejection(cls, {"seed": -1}, "seed")
        yield Rejection(cls, {}, "input_shape", build=(2, 3))
        yield Rejection(cls, {}, "input_shape", build=[(2, 3), (2, 4)])
