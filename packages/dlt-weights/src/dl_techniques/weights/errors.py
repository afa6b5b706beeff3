"""Every error that this package raises on purpose, under the ecosystem's base."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dl_techniques.core import DLTechniquesError

if TYPE_CHECKING:
    from dl_techniques.weights.entry import WeightEntry
    from dl_techniques.weights.rules.report import Report


class WeightsError(DLTechniquesError):
    """Base of all errors about pretrained weights."""


class UnknownWeights(WeightsError, LookupError):  # noqa: N818  # as the core's UnknownComponent
    """No installed distribution lists weights under the name."""


class AmbiguousWeights(WeightsError, LookupError):  # noqa: N818  # as the core's AmbiguousComponent
    """Several rows answer to one name, and nothing is decided by order.

    Args:
        message: The name and all its claimants.
        candidates: The rows that answer to it.
    """

    def __init__(self, message: str, candidates: Sequence[WeightEntry]) -> None:
        super().__init__(message)
        self.candidates = tuple(candidates)


class LicenceNotAccepted(WeightsError, PermissionError):  # noqa: N818  # the name says it already
    """The licence of the weights asks for consent that was not given."""


class WeightsUnavailable(WeightsError, OSError):  # noqa: N818  # the name says it already
    """The file is in no local place, and could not be or must not be downloaded."""


class HashMismatch(WeightsError, ValueError):  # noqa: N818  # the name says it already
    """A file is not the one that its row names."""


class UnreadableFile(WeightsError, ValueError):  # noqa: N818  # the name says it already
    """A file of weights is damaged, hostile, or of a format that is not read."""


class WeightsMismatch(WeightsError, ValueError):  # noqa: N818  # the name says it already
    """A file and a model do not fit; the model is unchanged.

    Args:
        message: Every key and variable that does not fit.
        report: The whole account.
    """

    def __init__(self, message: str, report: Report) -> None:
        super().__init__(message)
        self.report = report
