"""The tensors of a model on their way to weights."""

from __future__ import annotations

from dl_techniques.weightwatcher.readers.values import Values
from dl_techniques.weightwatcher.readers.weight import Skipped


class Tensors:
    """Names and values, what is made of them, and what was taken for that.

    Args:
        values: Name -> values, in the order of the model.
    """

    def __init__(self, values: dict[str, Values]) -> None:
        self.values = values
        self.made: dict[str, Values] = {}
        """What several tensors give together, under a name of its own."""
        self.skipped: list[Skipped] = []

    def take(self, name: str, reason: str) -> Values:
        """Remove a tensor, with the reason why it is no weight of its own.

        Args:
            name: Its name.
            reason: Why.
        """
        value = self.values.pop(name)
        self.skipped.append(Skipped(name, value.shape, value.dtype, reason))
        return value

    def replace(self, old: str, new: str, value: Values) -> None:
        """Put other values in a tensor's place.

        Args:
            old: The name of the tensor.
            new: The name that it has from now on.
            value: The other values.
        """
        renamed = {new if name == old else name: v for name, v in self.values.items()}
        renamed[new] = value
        self.values = renamed
