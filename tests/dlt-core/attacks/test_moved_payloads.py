"""Every hostile object is refused under every key and in every list, by our audit alone."""

from __future__ import annotations

import copy
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from model_attacks import ATTACKS
from model_forge import Forge, dense
from real_models import configurations

from dl_techniques.core.errors import ComponentError, ModelFileProblems
from dl_techniques.core.files.config_walk import audit
from dl_techniques.core.files.known_components import KnownComponents

PAYLOADS_A_PLACE = 3
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
ADDED = "vocabulary"


def problems(config: Any, known: KnownComponents) -> list[str]:
    found = audit(config, known, label="x.keras").problems
    return [str(problem.location) for problem in found]


def hostile_configs(folder: Path) -> Iterator[tuple[str, Any]]:
    for attack in ATTACKS:
        if attack.isolated:
            continue
        path = attack.build(folder / f"{attack.name}.keras", folder / "canary")
        if not path.is_file() or not zipfile.is_zipfile(path):
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                yield attack.name, json.loads(archive.read("config.json"))
        except (KeyError, ValueError, RecursionError, RuntimeError, NotImplementedError,
                zipfile.BadZipFile):  # fmt: skip
            continue


class Remembering(KnownComponents):
    """Finds each identifier once: suggestions for an unknown one take long."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, Any] = {}

    def find(self, id: str) -> Any:
        if id not in self.found:
            try:
                self.found[id] = super().find(id)
            except ComponentError as error:
                self.found[id] = error
        if isinstance(self.found[id], ComponentError):
            raise self.found[id]
        return self.found[id]


@pytest.fixture(scope="module")
def known() -> KnownComponents:
    return Remembering()


@pytest.fixture(scope="module")
def payloads(tmp_path_factory: pytest.TempPathFactory, known: KnownComponents) -> dict[str, Any]:
    """Objects that run code or name what is unknown: each is refused as a layer."""
    sound = json.loads(zipfile.ZipFile(_sound(tmp_path_factory)).read("config.json"))
    found = {}
    for name, config in hostile_configs(tmp_path_factory.mktemp("hostile")):
        if not isinstance(config, dict) or not problems(config, known):
            continue
        layers = config.get("config", {}).get("layers", [])
        for payload in [*layers, config]:
            place = copy.deepcopy(sound)
            place["config"]["layers"].append(payload)
            if problems(place, known):
                found[name] = payload
                break
    return found


def _sound(factory: pytest.TempPathFactory) -> Path:
    return Forge().write(factory.mktemp("sound") / "sound.keras")


Place = tuple[Any, Any, str]


def places(value: Any, location: str = "config") -> Iterator[Place]:
    """Every key of every object and every position of every list, with its location."""
    stack = [(value, location)]
    while stack:
        item, where = stack.pop()
        if isinstance(item, dict):
            for key, inner in [*item.items(), (ADDED, None)]:
                place = f"{where}.{key}" if NAME.fullmatch(key) else f"{where}[{key!r}]"
                yield item, key, place
                stack.append((inner, place))
        elif isinstance(item, list):
            yield item, len(item), f"{where}[{len(item)}]"
            for index, inner in enumerate(item):
                yield item, index, f"{where}[{index}]"
                stack.append((inner, f"{where}[{index}]"))


class Placed:
    """The configuration with a payload at a place, within a `with` block."""

    def __init__(self, place: Place, payload: Any) -> None:
        self.holder, self.key, _ = place
        self.payload = payload

    def __enter__(self) -> None:
        if isinstance(self.holder, list) and self.key == len(self.holder):
            self.before = ...
            self.holder.append(self.payload)
        else:
            self.before = self.holder.get(self.key, ...) if isinstance(self.holder, dict) else (
                self.holder[self.key])  # fmt: skip
            self.holder[self.key] = self.payload

    def __exit__(self, *_: object) -> None:
        if self.before is ...:
            del self.holder[self.key]
        else:
            self.holder[self.key] = self.before


def test_all_moved_payloads_are_refused(payloads: dict[str, Any], known: KnownComponents) -> None:
    names = sorted(payloads)
    uses: Counter[str] = Counter()
    missed = []
    number = harmless = accepted = 0
    for title, config in configurations():
        assert problems(config, known) == [], title
        for place in [*places(config)]:
            where = place[2]
            for name in (names[(number + step) % len(names)] for step in range(PAYLOADS_A_PLACE)):
                uses[name] += 1
                with Placed(place, payloads[name]):
                    found = problems(config, known)
                # A list of literals is refused as a whole.
                if not any(f.startswith(where) or where.startswith(f) for f in found):
                    missed.append((title, where, name, found))
            number += PAYLOADS_A_PLACE
            with Placed(place, dense(label="harmless")):
                harmless += 1
                accepted += not problems(config, known)
        assert problems(config, known) == [], f"{title} was not restored"
    print(
        f"\n{sum(uses.values())} placements of {len(names)} hostile objects, {len(missed)} missed; "
        f"a harmless one accepted in {accepted} of {harmless} places"
    )
    assert missed == []
    assert sum(uses.values()) >= 5000
    assert min(uses[name] for name in names) >= 20
    assert len(names) >= 50
    assert accepted > harmless / 2  # otherwise it refuses everything


@pytest.mark.filterwarnings("ignore")
def test_the_loader_refuses_them_without_the_checks_of_keras(
    payloads: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from keras.src.saving import serialization_lib

    from dl_techniques.core import load_model

    monkeypatch.setattr(serialization_lib, "in_safe_mode", lambda: False)
    names = sorted(payloads)
    tried = 0
    for _, config in configurations():
        for place in [*places(config)][::40]:
            name = names[tried % len(names)]
            with Placed(place, payloads[name]):
                path = Forge(config).write(tmp_path / "moved.keras")
            with pytest.raises(ModelFileProblems):
                load_model(path)
            tried += 1
    assert tried >= 40
    assert [p.name for p in tmp_path.iterdir()] == ["moved.keras"]
