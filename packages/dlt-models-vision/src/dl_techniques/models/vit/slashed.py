# ruff: noqa: ARG001  # codes have one signature, of which not each uses all
"""Codes of files whose names have slashes: those of google-research/vision_transformer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dl_techniques.weights.rules.codes import NotInvertible, Transform, copied


@dataclass(frozen=True)
class Slashed:
    """Pairs of names below a prefix with a slash, each copied.

    Args:
        pairs: Name of the key, name of the variable.
    """

    pairs: tuple[tuple[str, str], ...]

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """One for each pair.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        return [copied(f"{keys}/{key}", f"{variables}.{own}") for key, own in self.pairs]


@dataclass(frozen=True)
class Heads:
    """A projection whose heads have an axis of their own.

    Args:
        inverse: Whether the heads are the input, as of the projection back.
    """

    inverse: bool = False

    def transforms(self, keys: str, variables: str) -> list[Transform]:
        """Kernel (D, heads, width), or (heads, width, D), and bias.

        Args:
            keys: Prefix of the keys.
            variables: Prefix of the variables' paths.
        """
        return [
            Transform(
                "HEADS",
                (f"{keys}/{name}",),
                (f"{variables}.{name}",),
                lambda arrays, shapes: [self._joined(arrays[0], shapes[0])],
                _refuse,
            )
            for name in ("kernel", "bias")
        ]

    def _joined(self, array: Any, shape: tuple[int, ...]) -> Any:
        axis = -1 if self.inverse else 0
        fits = array.size == math.prod(shape) and (
            len(shape) == 1 or array.shape[axis] == shape[axis]
        )
        return array.reshape(shape) if fits else array


def _refuse(arrays: Sequence[Any]) -> list[Any]:
    raise NotInvertible("the number of heads does not follow from a kernel")
