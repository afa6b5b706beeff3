"""The registry against a model of itself, while distributions come and go."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)

from dl_techniques.core.errors import AmbiguousComponent, UnknownComponent
from dl_techniques.core.registry.registry import Registry

_times = itertools.count(1)
NAMESPACES = st.sampled_from(["acme", "beta"])
NAMES = st.sampled_from(["Gate", "Door", "Wall"])


class Machine(RuleBasedStateMachine):
    """Install, upgrade, remove, break and mend distributions, in any order."""

    installed = Bundle("installed")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.registry = Registry([str(self.folder)])
        self.count = 0
        # Distribution -> (namespace, identifiers with their aliases); `None` if it is broken.
        self.model: dict[str, dict[str, list[str]] | None] = {}

    def touch(self, *files: Path) -> None:
        """Give each a time that none had: real clocks are too coarse for a test's haste."""
        for file in (self.folder, *files):
            os.utime(file, (0, next(_times)))

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def write(self, distribution: str, namespace: str, parts: dict[str, list[str]]) -> None:
        components = [
            {
                "id": identifier,
                "kind": "layer",
                "object": f"{distribution}:{identifier.partition('>')[2]}",
                "summary": "",
                "aliases": aliases,
            }
            for identifier, aliases in parts.items()
        ]
        manifest = {
            "schema": 1,
            "contract": 1,
            "namespace": namespace,
            "package": distribution,
            "components": components,
        }
        package = self.folder / distribution
        package.mkdir(exist_ok=True)
        (package / "__init__.py").write_text("raise SystemExit")
        file = package / "components.json"
        file.write_text(json.dumps(manifest))
        self.touch(file)
        self.model[distribution] = parts

    @rule(
        target=installed,
        namespace=NAMESPACES,
        names=st.lists(NAMES, min_size=1, max_size=3, unique=True),
        alias=st.none() | NAMES,
    )
    def install(self, namespace: str, names: list[str], alias: str | None) -> str:
        self.count += 1
        distribution = f"dist{self.count}"
        parts = {f"{namespace}>{name}": [] for name in names}
        if alias is not None and alias != names[0]:
            parts[f"{namespace}>{names[0]}"] = [f"{namespace}>{alias}"]
        self.write(distribution, namespace, parts)
        metadata = self.folder / f"{distribution}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Name: {distribution}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(
            f"[dl_techniques.components]\nparts = {distribution}:components.json\n"
        )
        self.touch()
        return distribution

    @rule(distribution=consumes(installed))
    def remove(self, distribution: str) -> None:
        shutil.rmtree(self.folder / f"{distribution}-1.0.dist-info")
        shutil.rmtree(self.folder / distribution)
        self.touch()
        del self.model[distribution]

    @rule(distribution=installed)
    def break_(self, distribution: str) -> None:
        file = self.folder / distribution / "components.json"
        file.write_text("{")
        self.touch(file)
        self.model[distribution] = None

    @rule(distribution=installed, namespace=NAMESPACES, name=NAMES)
    def upgrade(self, distribution: str, namespace: str, name: str) -> None:
        self.write(distribution, namespace, {f"{namespace}>{name}": []})

    @rule()
    def refresh(self) -> None:
        self.registry.refresh()

    def claimants(self, key: str) -> list[tuple[str, str]]:
        """Return the components of an identifier, an alias or a bare name, by the rules."""
        return [
            (distribution, identifier)
            for distribution, parts in self.model.items()
            for identifier, aliases in (parts or {}).items()
            if key in {k if ">" in key else k.partition(">")[2] for k in (identifier, *aliases)}
        ]

    @invariant()
    def listing_agrees(self) -> None:
        expected = sorted(
            (identifier, distribution)
            for distribution, parts in self.model.items()
            for identifier in parts or {}
        )
        assert [(e.id, e.distribution) for e in self.registry.list()] == expected
        for entry in self.registry.list():
            rivals = {
                claimant
                for key in (entry.id, *entry.aliases)
                for claimant in self.claimants(key)
                if claimant != (entry.distribution, entry.id)
            }
            assert set(entry.conflict) == {distribution for distribution, _ in rivals}
        broken = {distribution for distribution, parts in self.model.items() if parts is None}
        named = {p.distribution for p in self.registry.problems if p.stage == "manifest"}
        assert named == broken

    @invariant()
    def finding_agrees(self) -> None:
        names = ["Gate", "Door", "Wall"]
        for key in [*names, *(f"{space}>{name}" for space in ("acme", "beta") for name in names)]:
            claimants = self.claimants(key)
            if not claimants:
                with pytest.raises(UnknownComponent):
                    self.registry.find(key)
            elif len(claimants) > 1:
                with pytest.raises(AmbiguousComponent) as refusal:
                    self.registry.find(key)
                found = {(e.distribution, e.id) for e in refusal.value.candidates}
                assert found == set(claimants)
            else:
                entry = self.registry.find(key)
                assert [(entry.distribution, entry.id)] == claimants


def test_the_registry_agrees_with_its_model() -> None:
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=25, stateful_step_count=12, deadline=None)
    )
