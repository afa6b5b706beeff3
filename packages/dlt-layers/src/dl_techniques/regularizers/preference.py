"""Base of penalties that pull each entry of a weight towards one of several values."""

from __future__ import annotations

from typing import Any, Literal

from keras import ops

from dl_techniques.core import NonNegativeNumber, Regularizer, Tensor, upcast


class Preference(Regularizer):
    """multiplier times the mean or sum of c(w) over all entries; a subclass defines c.

    Args:
        multiplier: Weight of the penalty.
        reduction: `"mean"` or `"sum"`.
    """

    def __init__(
        self, multiplier: NonNegativeNumber = 1.0, reduction: Literal["mean", "sum"] = "mean"
    ) -> None:
        self.multiplier = multiplier
        self.reduction = reduction

    def __call__(self, x: Tensor) -> Tensor:
        """Return the penalty, a scalar.

        Args:
            x: The weight.
        """
        costs = self._cost(upcast(ops.convert_to_tensor(x)))
        total = ops.sum(costs) if self.reduction == "sum" else ops.mean(costs)
        return self.multiplier * total

    def get_config(self) -> dict[str, Any]:
        """Return the configuration; `reduction`, a word of Keras's losses, is not derived."""
        return {**super().get_config(), "reduction": self.reduction}

    def _cost(self, w: Tensor) -> Tensor:
        """c, entry by entry, at least 0."""
        raise NotImplementedError
