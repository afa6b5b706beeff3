"""Fuzz the reader of model files, and with `--load` the loader too.

    python tests/fuzz/fuzz_models.py --count 20000

Prints one JSON object: how many files of each class were accepted and refused, and every
violation: a crash, an exception outside the family, more than five seconds, more than 64 MiB, a
changed member of a file with digests that went unnoticed, or anything that `watching.py` forbids,
such as a process, a socket or a file written elsewhere.

The reader runs in forked processes. Backends cannot be forked, so `--load` runs in this one: a
crash ends it, with the number of the file in `--trace`.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from forked import Outcome, run_forked
from model_forge import Forge
from model_mutations import CLASSES, mutant, seeds
from watching import watch

LONGEST_SECONDS = 5.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="number of files")
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument(
        "--kind", choices=CLASSES, action="append", help="this class only; may be repeated"
    )
    parser.add_argument("--load", action="store_true", help="hand accepted files to the loader")
    parser.add_argument("--trace", type=Path, help="file that holds the number being tried")
    arguments = parser.parse_args()
    faulthandler.enable()
    report = run(arguments)
    print(json.dumps(report, indent=1))
    return 1 if report["violations"] else 0


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    kinds = tuple(arguments.kind or CLASSES)
    numbers = range(arguments.start, arguments.start + arguments.count)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        tempfile.tempdir = name
        case = Case(Path(name), kinds, arguments)
        if arguments.load:
            outcome = in_this_process(numbers, case)
        else:
            outcome = run_forked(numbers, case, seconds=LONGEST_SECONDS)
    return {
        "files": arguments.count,
        "seconds": round(time.perf_counter() - begin, 1),
        "slowest": round(outcome.slowest, 3),
        "mebibytes": round(outcome.memory / (1 << 20), 1),
        "counts": outcome.counts,
        "violations": outcome.violations,
    }


class Case:
    """One mutant: read, and loaded if that is asked for."""

    def __init__(self, folder: Path, kinds: tuple[str, ...], arguments: argparse.Namespace) -> None:
        from dl_techniques.core import inspect_model

        self.inspect = inspect_model
        self.bases = seeds(folder)
        self.kinds = kinds
        self.arguments = arguments
        self.target = folder / "mutant.keras"
        # Imports of the first files are not a mutant's fault.
        for data, _ in self.bases:
            self.target.write_bytes(data)
            inspect_model(self.target)
        if arguments.load:
            load(Forge().write(self.target), [])
        self.seen = watch(folder)

    def __call__(self, number: int) -> tuple[str, list[str]]:
        made = mutant(number, self.bases, self.kinds)
        if self.arguments.trace:
            self.arguments.trace.write_text(f"{made.kind} {number}")
        self.target.write_bytes(made.data)
        self.seen.clear()
        violations: list[str] = []
        report = self.inspect(self.target)
        outcome = "accepted" if report.loadable else "refused"
        if any("MemoryError" in str(problem) for problem in report.problems):
            violations.append("met the bound on memory")
        if report.loadable and made.members not in (None, report.digests):
            violations.append("an unnoticed change")
        if report.loadable and self.arguments.load:
            outcome = load(self.target, violations)
        return f"{made.kind}: {outcome}", violations + self.seen


def in_this_process(numbers: range, case: Case) -> Outcome:
    """Run all cases here."""
    counts: Counter[str] = Counter()
    violations: list[str] = []
    slowest = 0.0
    for number in numbers:
        start = time.process_time()
        outcome, wrong = case(number)
        seconds = time.process_time() - start
        slowest = max(slowest, seconds)
        if seconds > LONGEST_SECONDS:
            wrong.append("too slow")
        counts[outcome] += 1
        violations += [f"{number}: {text}" for text in wrong]
    return Outcome(dict(sorted(counts.items())), violations, slowest, 0)


def load(target: Path, violations: list[str]) -> str:
    from dl_techniques.core import load_model
    from dl_techniques.core.errors import ModelFileError

    try:
        load_model(target)
    except ModelFileError:
        return "accepted, refused when rebuilt"
    except BaseException as error:  # as above
        violations.append(f"load: {type(error).__name__}: {error}")
        return "accepted, broke the loader"
    return "loaded"


if __name__ == "__main__":
    sys.exit(main())
