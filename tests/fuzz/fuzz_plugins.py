"""Fuzz what a distribution says of itself: its manifest, entry points and metadata.

    python tests/fuzz/fuzz_plugins.py --count 20000

Each time one file of one distribution is damaged, beside a healthy one. Prints one JSON object:
how often the damaged one was still listed, was a problem, or did not matter, and every violation:
an exception, more than five seconds, a healthy component that cannot be found, or an import.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from model_mutations import damage
from watching import watch

LONGEST_SECONDS = 5.0
PACKAGES = ("fuzzed_victim", "fuzzed_healthy")


def install(folder: Path, name: str) -> dict[str, Path]:
    """A distribution with two components, whose package must never be imported."""
    package, metadata = folder / name, folder / f"{name}-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    package.joinpath("__init__.py").write_text("raise SystemExit('imported')\n")
    components = [
        {
            "id": f"{name}>{part}",
            "kind": "layer",
            "object": f"{name}.parts:{part}",
            "summary": "Opens and shuts.",
            "tags": ["gating"],
            "aliases": [f"{name}>Old{part}"],
        }
        for part in ("Gate", "Door")
    ]
    manifest = {"schema": 1, "contract": 1, "namespace": name, "package": name}
    files = {
        "manifest": (package / "components.json", {**manifest, "components": components}),
        "entry points": (
            metadata / "entry_points.txt",
            f"[dl_techniques.components]\n{name} = {name}:components.json\n",
        ),
        "metadata": (
            metadata / "METADATA",
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nSummary: A test.\n",
        ),
    }
    for path, content in files.values():
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))
    return {kind: path for kind, (path, _) in files.items()}


def run(count: int, start: int) -> dict[str, Any]:
    from dl_techniques.core.registry.registry import Registry

    counts: Counter[str] = Counter()
    violations: list[str] = []
    slowest, begin = 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = install(folder, PACKAGES[0])
        install(folder, PACKAGES[1])
        sound = {kind: path.read_bytes() for kind, path in files.items()}
        assert len(look(Registry([name]))[0]) == 4
        seen = watch(folder, strangers=PACKAGES)
        for number in range(start, start + count):
            kind = [*files][number % len(files)]
            chance = random.Random(f"{kind} {number}")
            files[kind].write_bytes(damage(chance, sound[kind]))
            seen.clear()
            tried = time.process_time()
            try:
                listed, problems = look(Registry([name]))
            except BaseException as error:  # the question is whether there is any
                violations.append(f"{kind} {number}: {type(error).__name__}: {error}")
            else:
                violations += [f"{kind} {number}: {event}" for event in seen]
                counts[f"{kind}: {outcome(listed, problems)}"] += 1
            seconds = time.process_time() - tried
            slowest = max(slowest, seconds)
            if seconds > LONGEST_SECONDS:
                violations.append(f"{kind} {number}: too slow")
            files[kind].write_bytes(sound[kind])
    return {
        "files": count,
        "seconds": round(time.perf_counter() - begin, 1),
        "slowest": round(slowest, 3),
        "counts": dict(sorted(counts.items())),
        "violations": violations,
    }


def look(registry: Any) -> tuple[list[str], list[Any]]:
    """List everything, show it, and find what is healthy."""
    listed = registry.list()
    str(listed)
    problems = [*registry.problems]
    for problem in problems:
        str(problem)
    for part in ("Gate", "Door"):
        assert registry.find(f"{PACKAGES[1]}>{part}").distribution == "fuzzed-healthy"
        assert registry.find(f"{PACKAGES[1]}>Old{part}").id == f"{PACKAGES[1]}>{part}"
    return [entry.id for entry in listed], problems


def outcome(listed: list[str], problems: list[Any]) -> str:
    whole = {f"{PACKAGES[0]}>{part}" for part in ("Gate", "Door")} <= set(listed)
    if problems:
        return "problem, still listed" if whole else "problem"
    return "listed" if whole else "silently absent"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="number of damaged files")
    parser.add_argument("--start", type=int, default=0, help="number of the first")
    arguments = parser.parse_args()
    report = run(arguments.count, arguments.start)
    print(json.dumps(report, indent=1))
    return 1 if report["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
