"""Fuzz the reader of model files, and with `--load` the loader too.

    python tests/fuzz/fuzz_models.py --count 20000

Prints one JSON object: how many files of each class were accepted and refused, and every
violation: an exception outside the family, more than five seconds, a change of a sealed file that
went unnoticed, or anything that `watching.py` forbids, such as a process, a socket or a file
written elsewhere. A crash ends the process, with the number of the file in `--trace`.
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

from model_forge import Forge
from model_mutations import CLASSES, mutants, seeds
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
    from dl_techniques.core import inspect_model

    counts: Counter[str] = Counter()
    violations: list[str] = []
    slowest = 0.0
    kinds = tuple(arguments.kind or CLASSES)
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        tempfile.tempdir = name
        target = Path(name, "mutant.keras")
        # What the first files make the library import is no fault of a mutant.
        for data, _ in seeds(Path(name)):
            target.write_bytes(data)
            inspect_model(target)
        if arguments.load:
            load(Forge().write(target), violations)
        seen = watch(Path(name))
        for mutant in mutants(Path(name), arguments.count, start=arguments.start, kinds=kinds):
            if arguments.trace:
                arguments.trace.write_text(f"{mutant.kind} {mutant.number}")
            target.write_bytes(mutant.data)
            seen.clear()
            start = time.perf_counter()
            try:
                report = inspect_model(target)
            except BaseException as error:  # the question is whether there is any
                violations.append(f"{mutant.kind} {mutant.number}: {type(error).__name__}: {error}")
                continue
            outcome = "accepted" if report.loadable else "refused"
            if report.loadable and arguments.load:
                outcome = load(target, violations, f"{mutant.kind} {mutant.number}")
            violations += [f"{mutant.kind} {mutant.number}: {event}" for event in seen]
            slowest = max(slowest, time.perf_counter() - start)
            if time.perf_counter() - start > LONGEST_SECONDS:
                violations.append(f"{mutant.kind} {mutant.number}: too slow")
            if mutant.sealed and report.loadable and not mutant.unchanged:
                violations.append(f"{mutant.kind} {mutant.number}: an unnoticed change")
            counts[f"{mutant.kind}: {outcome}"] += 1
    return {
        "files": arguments.count,
        "seconds": round(time.perf_counter() - begin, 1),
        "slowest": round(slowest, 3),
        "counts": dict(sorted(counts.items())),
        "violations": violations,
    }


def load(target: Path, violations: list[str], name: str = "the sound file") -> str:
    from dl_techniques.core import load_model
    from dl_techniques.core.errors import ModelFileError

    try:
        load_model(target)
    except ModelFileError:
        return "accepted, refused when rebuilt"
    except BaseException as error:  # as above
        violations.append(f"{name}: load: {type(error).__name__}: {error}")
        return "accepted, broke the loader"
    return "loaded"


if __name__ == "__main__":
    sys.exit(main())
