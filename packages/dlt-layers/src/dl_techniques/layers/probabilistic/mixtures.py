"""Functions of mixtures of normal distributions, given as `MDNLayer` outputs them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from dl_techniques.core import Tensor, component, upcast
from dl_techniques.layers.arguments import require_integers, require_positive_numbers
from dl_techniques.layers.parts import offset_seed


class Mixture(NamedTuple):
    """Means and deviations `(..., K, D)`, logits of the weights `(..., K)`."""

    means: Tensor
    deviations: Tensor
    logits: Tensor


class Moments(NamedTuple):
    """Mean of a mixture, and its variance in two parts, all `(..., D)`."""

    mean: Tensor
    aleatoric: Tensor
    """sum_k pi_k sigma_k^2, the noise within the components."""
    epistemic: Tensor
    """sum_k pi_k mu_k^2 - mean^2, the disagreement of the components."""


def split_mixture(params: Tensor, num_mixtures: int, output_dimension: int) -> Mixture:
    """Take the outputs of `MDNLayer` apart, in float32 at least.

    Args:
        params: `(..., K (2 D + 1))`.
        num_mixtures: K.
        output_dimension: D.

    Raises:
        ValueError: If the last axis has another size.
    """
    require_integers(num_mixtures=num_mixtures, output_dimension=output_dimension)
    params = upcast(ops.convert_to_tensor(params))
    size = num_mixtures * output_dimension
    if params.shape[-1] != 2 * size + num_mixtures:
        raise ValueError(
            f"The last axis of `params` must have num_mixtures * (2 * output_dimension + 1) = "
            f"{2 * size + num_mixtures} entries. Received: shape={tuple(params.shape)}"
        )
    shape = (*ops.shape(params)[:-1], num_mixtures, output_dimension)
    return Mixture(
        ops.reshape(params[..., :size], shape),
        ops.reshape(params[..., size : 2 * size], shape),
        params[..., 2 * size :],
    )


@component(
    "dl_techniques>mdn_nll",
    kind="function",
    tags=("probability", "mixture"),
    since="0.1",
)
def mdn_nll(y: Tensor, params: Tensor, num_mixtures: int, output_dimension: int) -> Tensor:
    """Return the negative log-likelihood of targets under the mixtures of `MDNLayer`.

    -log sum_k pi_k prod_d N(y_d; mu_kd, sigma_kd^2), as
    -logsumexp_k(log softmax(logits)_k + sum_d log N(y_d; mu_kd, sigma_kd^2))

    It has a gradient also where every component is far away, since no density is ever computed.

    Args:
        y: Targets `(..., D)`.
        params: `(..., K (2 D + 1))`.
        num_mixtures: K.
        output_dimension: D.

    Returns:
        One number for each target `(...)`, in float32 at least.

    Raises:
        ValueError: If the last axis of `params` has another size.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import mdn_nll
        >>> params = np.array([[0.0, 1.0, 0.0]], "float32")  # one component: mu 0, sigma 1
        >>> round(float(mdn_nll(np.array([[2.0]], "float32"), params, 1, 1)[0]), 4)
        2.9189

    References:
        Bishop, "Mixture Density Networks", Aston University (1994).
    """
    means, deviations, logits = split_mixture(params, num_mixtures, output_dimension)
    target = ops.expand_dims(ops.cast(y, means.dtype), -2)
    z = (target - means) / deviations
    density = -0.5 * ops.square(z) - ops.log(deviations) - 0.5 * math.log(2 * math.pi)
    logs = ops.log_softmax(logits, axis=-1) + ops.sum(density, axis=-1)
    return -ops.logsumexp(logs, axis=-1)


@component(
    "dl_techniques>mdn_sample",
    kind="function",
    tags=("probability", "mixture"),
    since="0.1",
)
def mdn_sample(
    params: Tensor,
    num_mixtures: int,
    output_dimension: int,
    temperature: float = 1.0,
    seed: Any = None,
) -> Tensor:
    """Draw one sample from each mixture of `MDNLayer`.

    y = mu_k + sigma_k eps, with k ~ softmax(logits / temperature), eps ~ N(0, 1)

    Args:
        params: `(..., K (2 D + 1))`.
        num_mixtures: K.
        output_dimension: D.
        temperature: Below 1, the heavier components are drawn more often.
        seed: An integer or a `keras.random.SeedGenerator`.

    Returns:
        `(..., D)`.

    Raises:
        ValueError: If the last axis of `params` has another size, or `temperature` is not
            positive.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import mdn_sample
        >>> params = np.array([[1.0, 5.0, 1e-6, 1e-6, 0.0, 50.0]], "float32")
        >>> round(float(mdn_sample(params, 2, 1, seed=0)[0, 0]), 3)  # of the second component
        5.0

    References:
        Bishop, "Mixture Density Networks", Aston University (1994).
    """
    require_positive_numbers(temperature=temperature)
    means, deviations, logits = split_mixture(params, num_mixtures, output_dimension)
    drawing = isinstance(seed, keras.random.SeedGenerator)
    second = seed if drawing else offset_seed(seed, 1)
    # The Gumbel-max trick: the largest of logits + Gumbel noise has the softmax's distribution.
    uniform = keras.random.uniform(ops.shape(logits), 1e-7, 1.0, dtype=logits.dtype, seed=seed)
    scores = logits / temperature - ops.log(-ops.log(uniform))
    chosen = ops.one_hot(ops.argmax(scores, axis=-1), num_mixtures, dtype=means.dtype)
    chosen = ops.expand_dims(chosen, -1)
    mean, deviation = (ops.sum(chosen * part, axis=-2) for part in (means, deviations))
    noise = keras.random.normal(ops.shape(mean), dtype=mean.dtype, seed=second)
    return mean + deviation * noise


@component(
    "dl_techniques>mdn_moments",
    kind="function",
    tags=("probability", "mixture", "uncertainty"),
    since="0.1",
)
def mdn_moments(params: Tensor, num_mixtures: int, output_dimension: int) -> Moments:
    """Return mean and variance of the mixtures of `MDNLayer`.

    mean = sum_k pi_k mu_k; the variance is the sum of the aleatoric part, sum_k pi_k sigma_k^2,
    and the epistemic part, sum_k pi_k (mu_k - mean)^2

    Args:
        params: `(..., K (2 D + 1))`.
        num_mixtures: K.
        output_dimension: D.

    Returns:
        `(mean, aleatoric, epistemic)`, each `(..., D)`.

    Raises:
        ValueError: If the last axis of `params` has another size.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import mdn_moments
        >>> params = np.array([[-1.0, 1.0, 0.5, 0.5, 0.0, 0.0]], "float32")
        >>> [float(part[0, 0]) for part in mdn_moments(params, 2, 1)]
        [0.0, 0.25, 1.0]

    References:
        Bishop, "Mixture Density Networks", Aston University (1994).
    """
    means, deviations, logits = split_mixture(params, num_mixtures, output_dimension)
    weights = ops.expand_dims(ops.softmax(logits, axis=-1), -1)
    mean = ops.sum(weights * means, axis=-2)
    aleatoric = ops.sum(weights * ops.square(deviations), axis=-2)
    spread = ops.square(means - ops.expand_dims(mean, -2))
    return Moments(mean, aleatoric, ops.sum(weights * spread, axis=-2))
