"""GELU with an expanded gate."""

from __future__ import annotations

import math

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.layers.activations.expanded_gate import ExpandedGate


@component(
    "dl_techniques>xGELU",
    kind="activation",
    tags=("activation",),
    paper="arXiv:2405.20768",
    since="0.1",
)
class xGELU(ExpandedGate):  # noqa: N801  # the paper's name
    """GELU whose gate learns how far to reach beyond 0 and 1.

    f(x) = x (g(x) (1 + 2 alpha) - alpha), g = Phi, the distribution
    function of the standard normal distribution

    The gate has the range (-alpha, 1 + alpha) and stays 1/2 at zero; with the initial alpha = 0
    the function is GELU. Computed in float32 at least.

    Args:
        **kwargs: Settings of `ExpandedGate` (`per_channel`, `alpha_initializer`,
            `alpha_regularizer`, `alpha_constraint`); arguments of `keras.layers.Layer`.

    Input shape:
        Any; the channels must be known for `per_channel`.

    Output shape:
        The input's.

    Raises:
        ValueError: If `per_channel` is true and the channels are not known.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import xGELU
        >>> y = xGELU()(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.1587, 0.0, 1.9545]

    References:
        Huang, "Expanded Gating Ranges Improve Activation Functions", arXiv:2405.20768.
    """

    def _gate(self, x: Tensor) -> Tensor:
        return 0.5 * (1.0 + ops.erf(x * math.sqrt(0.5)))
