"""Run by `nox -s alone` in an environment that holds one distribution: use what it brings.

Usage: python -I tests/alone.py DISTRIBUTION
"""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import distribution

from dl_techniques.core import registry

WITHOUT_COMPONENTS = {"dlt-core", "dlt-weights"}


def main(name: str) -> None:
    """Import all that the distribution owns, list it, load it and make one instance of each."""
    packages = distribution(name).metadata.get_all("Import-Name")
    assert packages, f"{name} declares no import names"
    for package in packages:
        importlib.import_module(package)
    assert not registry.problems, registry.problems
    entries = registry.list(distribution=name)
    assert len(entries) or name in WITHOUT_COMPONENTS, f"{name} lists nothing"
    instances = 0
    for entry in entries:
        component = registry.load(entry.id)
        for example in getattr(component, "examples", tuple)():
            assert example.instance is not None
            instances += 1
    assert instances or name in WITHOUT_COMPONENTS, f"no component of {name} has an example"
    print(f"{name}: {len(packages)} packages, {len(entries)} components, {instances} instances")


if __name__ == "__main__":
    main(sys.argv[1])
