"""Advice about a component that nothing installed declares."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence

from dl_techniques.core.entry import Entry, Problem
from dl_techniques.core.errors import UnknownComponent
from dl_techniques.core.registry.discovery import ALLOWED_VARIABLE, DISABLED_VARIABLE, normalize
from dl_techniques.core.registry.owners import owner_of, requirement

_SHOWN_PROBLEMS = 10
_LONGEST_COMPARED = 200


def unknown_component(
    id: str, kind: str | None, entries: Sequence[Entry], problems: Sequence[Problem]
) -> UnknownComponent:
    """The error for an identifier or bare name that nothing answers to.

    Args:
        id: The request.
        kind: The kind that was asked for, if any.
        entries: All known components.
        problems: Everything that went wrong: the component may hide behind one of them.
    """
    what = "component" if kind is None else kind
    shown = id if len(id) <= _LONGEST_COMPARED else f"{id[:_LONGEST_COMPARED]}..."
    lines = [f"No installed distribution declares the {what} {shown!r}."]
    others = [entry for entry in entries if id in {entry.id, entry.name}]
    if others:
        lines.append(f"There is the {others[0].kind} {others[0].id!r}.")
    owner = None if others else owner_of(id)
    if owner is not None:
        lines.append(_remedy(owner, entries))
    namespaces = {entry.namespace for entry in entries}
    if not owner and ">" in id and id.partition(">")[0] in namespaces:
        lines.append("If you have just declared it, run: dl-techniques manifest write")
    nearest = nearest_identifiers(id, entries, kind)
    if nearest:
        lines.append(f"Nearest: {', '.join(nearest)}.")
    variables = [name for name in (ALLOWED_VARIABLE, DISABLED_VARIABLE) if os.environ.get(name)]
    if variables:
        lines.append(f"Distributions may be hidden by {' and '.join(variables)}.")
    if problems:
        lines.append(f"{len(problems)} problem(s) were met, behind which it may hide:")
        lines += [f"  - {problem}" for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            lines.append("  - ... (see `dl-techniques doctor`)")
    return UnknownComponent(
        "\n".join(lines), id=id, nearest=nearest, distribution=owner, problems=problems
    )


def nearest_identifiers(
    text: str, entries: Sequence[Entry], kind: str | None = None
) -> tuple[str, ...]:
    """The identifiers that resemble a text most, best first.

    Args:
        text: An identifier or a bare name.
        entries: The components to choose from.
        kind: Only components of this kind.
    """
    if len(text) > _LONGEST_COMPARED:
        return ()
    forms: dict[str, str] = {}
    for entry in entries:
        if kind in {None, entry.kind}:
            for key in (entry.id, *entry.aliases):
                forms.setdefault(key.casefold(), entry.id)
                forms.setdefault(key.partition(">")[2].casefold(), entry.id)
    asked = text.casefold()
    similar = difflib.get_close_matches(asked, forms, n=5)
    similar += difflib.get_close_matches(asked.partition(">")[2], forms, n=5)
    return tuple(dict.fromkeys(forms[form] for form in similar))[:5]


def _remedy(owner: str, entries: Sequence[Entry]) -> str:
    installed = {entry.version for entry in entries if normalize(entry.distribution) == owner}
    if installed:
        versions = ", ".join(sorted(installed))
        return f"It is not in {owner} {versions}: pip install --upgrade '{requirement(owner)}'"
    return f"It is in {owner}: pip install '{requirement(owner)}'"
