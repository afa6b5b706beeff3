"""The order of layers in Keras's HDF5 files, whose names sort alphabetically.

Keras writes layer after layer, so that the addresses of its objects tell the order of the layers.
Within a layer it walks the attributes by name; where that parts from the order of the live model,
for Keras's own layers, the order is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SIBLINGS: Final = (
    ("query_dense", "key_dense", "value_dense", "output_dense"),
    ("forward_layer", "backward_layer"),
)


def ordered_groups(places: Mapping[str, int]) -> dict[str, int]:
    """Group -> its rank in the order of the model.

    Args:
        places: Group -> the address of its first dataset.
    """
    first: dict[str, int] = {}
    for group, place in places.items():
        for prefix in _prefixes(group):
            first[prefix] = min(place, first.get(prefix, place))
    ordered = sorted(places, key=lambda group: [_place(p, first) for p in _prefixes(group)])
    return {group: rank for rank, group in enumerate(ordered)}


def _place(prefix: str, first: Mapping[str, int]) -> tuple[int, int]:
    parent, slash, name = prefix.rpartition("/")
    siblings = next((names for names in _SIBLINGS if name in names), (name,))
    found = [first[path] for s in siblings if (path := f"{parent}{slash}{s}") in first]
    return min(found), siblings.index(name)


def _prefixes(group: str) -> list[str]:
    parts = group.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]
