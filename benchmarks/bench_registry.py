"""Measure listing, loading and saving, as ratios to Python's and Keras's own.

Baseline: `python -c "from importlib.metadata import entry_points; entry_points()"`. Measured is
the CPU time (user and system) of whole processes, in alternating runs; the median counts.
Files are loaded and saved beside Keras's own functions: see `file_cases.py`.

    python benchmarks/bench_registry.py [--runs 15]

Exits with 1 if a threshold is missed or if listing imported what it must not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BASELINE = ["-c", "from importlib.metadata import entry_points; entry_points()"]
LISTING = ["-m", "dl_techniques.core.cli", "list"]
FORBIDDEN = ("keras", "tensorflow", "jax", "torch", "numpy", "pluggy", "inspect", "difflib", "html")

DISTRIBUTIONS = 50
COMPONENTS = 1_000
THRESHOLDS = {"workspace": 2.0, "with 1,000 more components": 3.0}


def synthesize(folder: Path) -> None:
    """50 installed distributions with 20 components each; their packages must not be imported."""
    per_distribution = COMPONENTS // DISTRIBUTIONS
    for index in range(DISTRIBUTIONS):
        name = f"synthetic_{index:02}"
        package = folder / name
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise SystemExit('listing imported a plugin')\n")
        components = [
            {
                "id": f"synthetic_{index:02}>Component{number:02}",
                "kind": ("layer", "loss", "metric", "initializer")[number % 4],
                "object": f"{name}.module_{number:02}:Component{number:02}",
                "summary": f"Component number {number} of distribution {index}, as a sentence.",
                "tags": ["synthetic", f"tag-{number % 7}"],
                "paper": "arXiv:1910.07467",
                "since": "1.0",
            }
            for number in range(per_distribution)
        ]
        manifest = {
            "schema": 1,
            "contract": 1,
            "namespace": name,
            "package": name,
            "components": components,
        }
        (package / "components.json").write_text(json.dumps(manifest, indent=2))
        metadata = folder / f"{name}-1.0.dist-info"
        metadata.mkdir()
        readme = "A paragraph of a README of ordinary length.\n" * 100
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\n\n{readme}"
        )
        (metadata / "entry_points.txt").write_text(
            f"[dl_techniques.components]\n{name} = {name}:components.json\n"
        )


def cpu_seconds(arguments: list[str], environment: dict[str, str]) -> float:
    """User and system time of one process and of the processes it started."""
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments)} exits with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def measure(runs: int, environment: dict[str, str]) -> tuple[float, float]:
    """Median CPU seconds of the baseline and of listing, in alternating runs."""
    pairs = [
        (cpu_seconds(BASELINE, environment), cpu_seconds(LISTING, environment))
        for _ in range(runs + 1)
    ][1:]  # the first run fills the caches of the file system and of bytecode
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)


def imported(environment: dict[str, str]) -> list[str]:
    """Return which forbidden modules a listing has imported, and how many components it showed."""
    program = (
        "import sys; from dl_techniques.core import cli; code = cli.main(['list'])\n"
        f"found = [m for m in {FORBIDDEN!r} if m in sys.modules]\n"
        "found += [m for m in sys.modules if m.startswith('synthetic_')]\n"
        "print(*found, file=sys.stderr); sys.exit(code)"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    if "synthetic_" in environment.get("PYTHONPATH", "") and (
        process.stdout.count("synthetic_") < COMPONENTS
    ):
        raise SystemExit("the listing does not show the synthetic components")
    return process.stderr.split()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    missed = 0
    with tempfile.TemporaryDirectory(prefix="synthetic_") as folder:
        synthesize(Path(folder))
        # Not on `sys.path` of the first case: only the installed workspace.
        cases = {
            "workspace": {**os.environ},
            "with 1,000 more components": {**os.environ, "PYTHONPATH": folder},
        }
        for case, environment in cases.items():
            baseline, listing = measure(runs, environment)
            ratio, threshold = listing / baseline, THRESHOLDS[case]
            found = imported(environment)
            verdict = "ok" if ratio <= threshold and not found else "MISSED"
            missed += verdict != "ok"
            print(
                f"{case}: {ratio:.2f} x the baseline (at most {threshold:.1f}): list "
                f"{listing * 1e3:.0f} ms, entry_points() {baseline * 1e3:.0f} ms CPU, "
                f"median of {runs}; forbidden imports: {', '.join(found) or 'none'}; {verdict}"
            )
    import file_cases  # imports Keras

    missed += file_cases.report(min(runs, 7))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
