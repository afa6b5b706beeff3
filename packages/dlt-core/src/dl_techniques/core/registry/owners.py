"""The distribution of each component of this family, installed or not.

For hints what to install, and for the family's namespace. `dl-techniques manifest write` makes
`owners.json` from the workspace; what is installed is known from manifests, never from here.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Final, NamedTuple

from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE

FILE: Final = Path(__file__).with_name("owners.json")


class Distribution(NamedTuple):
    """One distribution of the family."""

    packages: tuple[str, ...]
    """The import packages that it owns."""
    components: frozenset[str]
    """Identifiers and aliases of the components that it brings."""


@functools.cache
def distributions() -> dict[str, Distribution]:
    """Return the distributions of the family by their names."""
    document = json.loads(FILE.read_text(encoding="utf-8"))
    return {
        name: Distribution(tuple(facts["packages"]), frozenset(facts["components"]))
        for name, facts in document.items()
    }


def requirement(distribution: str) -> str:
    """Return what to give to pip.

    The ceiling matters: other projects publish under similar names.

    Args:
        distribution: The name of a distribution of the family.
    """
    return f"{distribution}>=0.1,<1"


def owner_of(identifier: str) -> str | None:
    """Return the first-party distribution that brings a component, installed or not.

    Args:
        identifier: `dl_techniques>Name`, or a bare name.

    Example:
        >>> owner_of("dl_techniques>TiRex")
        'dlt-models-seq'
    """
    full = identifier if ">" in identifier else f"{FIRST_PARTY_NAMESPACE}>{identifier}"
    owners = (name for name, facts in distributions().items() if full in facts.components)
    return next(owners, None)
