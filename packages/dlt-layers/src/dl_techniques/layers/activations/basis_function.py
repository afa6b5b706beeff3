"""The basis function of PowerMLP."""

from __future__ import annotations

from dl_techniques.core import component
from dl_techniques.layers.activations.silu import SiLU


@component(
    "dl_techniques>BasisFunction",
    kind="activation",
    tags=("activation",),
    paper="arXiv:2412.13571",
    since="0.1",
)
class BasisFunction(SiLU):
    """Basis function of PowerMLP and KAN: the smooth part that accompanies powers or splines.

    b(x) = x / (1 + exp(-x))

    The same function as `SiLU`, and computed as such: written literally, its gradient is NaN at
    x = -100, because the exponential overflows.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The input's.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import BasisFunction
        >>> y = BasisFunction()(ops.array([-1.0, 0.0, 2.0]))
        >>> ops.convert_to_numpy(y).astype(float).round(4).tolist()
        [-0.2689, 0.0, 1.7616]

    References:
        Qiu et al., "PowerMLP: An Efficient Version of KAN", arXiv:2412.13571.
    """
