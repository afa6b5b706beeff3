"""Pair the weights of two models, whose names may differ by their wrappers.

`torch.compile` puts `_orig_mod.` before names, DDP `module.`, a head `model.`, PEFT
`base_model.model.`; checkpoints have the key that the state dict stands under.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

_WRAPPERS: Final = frozenset(
    {
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_checkpoint_wrapped_module",
        "base_layer",
    }
)
_SEPARATOR: Final = re.compile(r"[./]")
_VARIABLES: Final = frozenset({("weight",), ("bias",), ("kernel",), ("embeddings",)})
_DEEPEST: Final = 3
_TRIED: Final = 12
_VOCABULARY: Final = re.compile(
    r"embed|wte|(^|[._/])(lm_head|embeddings|shared|tok\w*|output|logits|decoder)([._/]|$)",
    re.IGNORECASE,
)

Name = tuple[str, ...]


def partners(names: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Find the counterpart of each name among the names of another model.

    Wrappers are left out wherever they stand. Then the leading parts whose removal makes most
    names equal are removed, from either side.

    Args:
        names: Of one model.
        others: Of the other.

    Returns:
        Name -> its counterpart, for those that have one.
    """
    mine = {_plain(name): name for name in reversed(list(names))}
    theirs = {_plain(name): name for name in reversed(list(others))}
    best: tuple[int, int] = (-1, 0)
    found: dict[str, str] = {}
    for first in _prefixes(mine):
        for second in _prefixes(theirs):
            a = {_without(name, first): original for name, original in mine.items()}
            b = {_without(name, second): original for name, original in theirs.items()}
            common = a.keys() & b.keys()
            score = (len(common), -len(first) - len(second))
            if score > best:
                best, found = score, {a[name]: b[name] for name in common}
    return found


def common_shape(
    name: str, shape: tuple[int, ...], other: tuple[int, ...]
) -> tuple[int, ...] | None:
    """Return what two vocabularies of different size share, or nothing.

    Args:
        name: The name of the weight.
        shape: Its shape.
        other: That of its counterpart.
    """
    if len(shape) != len(other) or not _VOCABULARY.search(name):
        return None
    unequal = [axis for axis, (a, b) in enumerate(zip(shape, other, strict=True)) if a != b]
    if len(unequal) != 1:
        return None
    return tuple(min(a, b) for a, b in zip(shape, other, strict=True))


def _plain(name: str) -> Name:
    return tuple(part for part in _SEPARATOR.split(name) if part not in _WRAPPERS)


def _prefixes(names: Iterable[Name]) -> list[Name]:
    """Nothing, and what most names begin with: a wrapper is around most of a model."""
    known = list(names)
    counts: Counter[Name] = Counter(
        name[:length]
        for name in known
        for length in range(1, min(_DEEPEST, len(name) - 1) + 1)
        if name[length:] not in _VARIABLES
    )
    frequent = [p for p, n in counts.most_common(_TRIED) if 2 * n >= len(known)]
    return [(), *frequent]


def _without(name: Name, prefix: Name) -> Name:
    return name[len(prefix) :] if prefix and name[: len(prefix)] == prefix else name
