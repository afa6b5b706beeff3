"""Write the distribution of each component of a workspace into one file.

A workspace asks for it in the `pyproject.toml` of its root:

```toml
[tool.dl_techniques]
owners = "packages/acme-core/src/acme/owners.json"

[tool.dl_techniques.planned.acme-later]
packages = ["acme.later"]
components = ["Name"]
```
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE
from dl_techniques.core.project.scan import (
    Generated,
    ScanError,
    packages_of,
    read_project,
    workspace_members,
)
from dl_techniques.core.registry.manifest import FILENAME


def generate_owners(start: Path, generated: Sequence[Generated]) -> list[Generated]:
    """Return the file of owners of the workspace around a folder; an empty list without one.

    Args:
        start: A folder inside the workspace.
        generated: Manifests that are about to be written; others are read from disk.

    Raises:
        ScanError: If a project or a manifest cannot be read.
    """
    found = _workspace(start.absolute())
    if found is None:
        return []
    root, settings = found
    texts = {file.path.resolve(): file.text for file in generated}
    owners = {
        name: _facts(facts.get("packages", []), _full(facts.get("components", [])))
        for name, facts in settings.get("planned", {}).items()
    }
    for project in workspace_members(root):
        data = read_project(project).get("project", {})
        identifiers: list[str] = []
        for package in packages_of(project):
            manifest = (package.folder / FILENAME).resolve()
            identifiers += _identifiers(manifest, texts.get(manifest))
        name = data.get("name", project.parent.name)
        owners[name] = _facts(data.get("import-names", []), identifiers)
    text = json.dumps(dict(sorted(owners.items())), indent=1) + "\n"
    return [Generated(root / settings["owners"], text)]


def _workspace(start: Path) -> tuple[Path, dict[str, Any]] | None:
    for folder in (start, *start.parents):
        file = folder / "pyproject.toml"
        if file.is_file():
            settings = read_project(file).get("tool", {}).get("dl_techniques", {})
            if "owners" in settings:
                return folder, settings
    return None


def _facts(packages: Sequence[str], identifiers: Sequence[str]) -> dict[str, list[str]]:
    return {"packages": sorted(packages), "components": sorted(identifiers)}


def _full(names: Sequence[str]) -> list[str]:
    return [name if ">" in name else f"{FIRST_PARTY_NAMESPACE}>{name}" for name in names]


def _identifiers(manifest: Path, text: str | None) -> list[str]:
    """Return the identifiers and aliases of a manifest: of its new text, or of the file."""
    if text is None and not manifest.is_file():
        return []
    try:
        document = json.loads(text or manifest.read_text(encoding="utf-8"))
        records = document["components"]
        return [key for record in records for key in (record["id"], *record.get("aliases", ()))]
    except (ValueError, KeyError, TypeError) as error:
        raise ScanError(f"{manifest}:1: run `dl-techniques manifest write`: {error!r}") from error
