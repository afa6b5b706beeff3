"""A quotient that is defined where there is nothing to divide by."""

from __future__ import annotations

from keras import ops

from dl_techniques.core import Tensor


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, and zero where the denominator is zero; its gradient is finite there, too.

    Unlike an epsilon in the denominator it leaves the quotient exact however small both are.

    Args:
        numerator: The dividend.
        denominator: By what.
    """
    empty = ops.equal(denominator, 0)
    quotient = numerator / ops.where(empty, ops.ones_like(denominator), denominator)
    return ops.where(empty, ops.zeros_like(quotient), quotient)
