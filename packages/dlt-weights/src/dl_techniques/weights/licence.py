"""Licences of weights: which permit commercial use, and which ask for consent first."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Final

from dl_techniques.weights.errors import LicenceNotAccepted

if TYPE_CHECKING:
    from dl_techniques.weights.entry import WeightEntry

VARIABLE: Final = "DL_TECHNIQUES_ACCEPT_LICENCES"
GATES: Final = ("none", "notice", "accept")

_PERMISSIVE: Final = frozenset(
    {
        *("0bsd", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "bsl-1.0", "cc0-1.0", "cc-by-4.0"),
        *("cc-by-3.0", "isc", "mit", "unlicense", "zlib"),
    }
)
# Commercial use is permitted under conditions that a user must know.
_CONDITIONAL: Final = frozenset(
    {"bigscience-bloom-rail-1.0", "bigscience-openrail-m", "creativeml-openrail-m", "openrail"}
    | {"openrail++", "nxai-community", "cc-by-sa-4.0"}
)
_announced: set[str] = set()


def least_gate(licence: str) -> str:
    """The weakest gate that a licence may have; a row may ask for more, never for less.

    Args:
        licence: A lower-case identifier, of SPDX where there is one.

    Example:
        >>> [least_gate(name) for name in ("mit", "openrail", "cc-by-nc-4.0", "other")]
        ['none', 'notice', 'accept', 'accept']
    """
    if licence in _PERMISSIVE:
        return "none"
    return "notice" if licence in _CONDITIONAL else "accept"


def is_commercial(licence: str) -> bool:
    """Return whether a licence is known to permit commercial use without copyleft.

    Args:
        licence: A lower-case identifier.
    """
    return licence in _PERMISSIVE or licence in _CONDITIONAL


def require_accepted(entry: WeightEntry, accept_license: str | None = None) -> None:
    """Let weights pass whose licence is permissive or was accepted.

    Args:
        entry: The row of the weights.
        accept_license: The licence that the caller accepts.

    Raises:
        LicenceNotAccepted: If the licence asks for consent, and neither the argument nor
            `DL_TECHNIQUES_ACCEPT_LICENCES` (names with commas between them) gives it.
    """
    if entry.gate == "none":
        return
    where = f" ({entry.licence_url})" if entry.licence_url else ""
    if entry.gate == "notice":
        if entry.licence not in _announced:
            _announced.add(entry.licence)
            warnings.warn(
                f"{entry.name} is licensed under {entry.licence}{where}, which has conditions.",
                stacklevel=3,
            )
        return
    names = {name.strip().lower() for name in os.environ.get(VARIABLE, "").split(",")}
    if entry.licence not in names | {(accept_license or "").lower()}:
        raise LicenceNotAccepted(
            f"{entry.name} is licensed under {entry.licence}{where}. Read it; if you accept it, "
            f"pass accept_license={entry.licence!r} or set {VARIABLE}={entry.licence}"
        )
