"""Declaration of attacks on model files.

Each attack names the row of the threat list that it stands for. `canary` is a path: if it exists
after an attack, code of the file's choosing ran.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import model_forge as forge
from model_forge import Forge


class Attack(NamedTuple):
    name: str
    row: str
    build: Callable[[Path, Path], Path]
    """(target, canary) -> the file to load."""
    says: str
    """What the refusal must say (a regular expression)."""
    needs_keras: bool = False
    """Whether only the loader, not the pre-flight, can see it."""
    isolated: bool = False
    """Whether it asks for memory or time only, which `isolated=True` bounds."""


ATTACKS: list[Attack] = []


def attack(
    row: str, says: str, *, needs_keras: bool = False, isolated: bool = False
) -> Callable[..., Any]:
    def add(build: Callable[..., Any]) -> Any:
        def make(target: Path, canary: Path) -> Path:
            made = build(target, canary)
            return made if isinstance(made, Path) else made.write(target)

        ATTACKS.append(Attack(build.__name__, row, make, says, needs_keras, isolated))
        return build

    return add


def configs(row: str, says: str, *, isolated: bool = False, **made: Callable[[Path], Any]) -> None:
    """Attacks that are one object somewhere in an otherwise sound configuration."""
    for name, make in made.items():

        def build(_: Path, canary: Path, make: Callable[[Path], Any] = make) -> Forge:
            return Forge(make(canary))

        build.__name__ = name
        attack(row, says, isolated=isolated)(build)


def weights(row: str, says: str, *, needs_keras: bool = False, **made: forge.Fill) -> None:
    """Attacks that are one dataset in otherwise sound weights."""
    for name, make in made.items():

        def build(_: Path, __: Path, make: forge.Fill = make) -> Forge:
            return Forge(weights=forge.with_dataset(make))

        build.__name__ = name
        attack(row, says, needs_keras=needs_keras)(build)
