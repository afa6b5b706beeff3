"""Fuzz the reader of weights with HDF5 files that are mutated where their structure is.

    python tests/fuzz/fuzz_hdf5.py --count 20000
    python tests/fuzz/fuzz_hdf5.py --count 20000 --watch
    python tests/fuzz/fuzz_hdf5.py FOLDER...

Prints one JSON object: how many files were read and refused, and every violation: a crash, an
exception outside the family, more than two seconds, or more than 64 MiB beyond the file's size.
With folders, reads every file in them instead. `--watch` analyses the files as
`dl-techniques watch` does.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from forked import run_forked
from hdf5_mutations import Seed, mutate, read_corpus

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import Section
from dl_techniques.core.files.weights import read_weights

Treatment = Callable[[bytes], tuple[str, list[str]]]
CORPUS = Path(__file__).with_name("hdf5_mutations.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="read the files in these instead")
    parser.add_argument("--count", type=int, default=2000, help="number of files")
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    parser.add_argument("--watch", action="store_true", help="analyse them with weightwatcher")
    arguments = parser.parse_args()
    if arguments.watch:
        os.environ["OMP_NUM_THREADS"] = "1"  # what is forked must have no threads
    treat = watched if arguments.watch else read
    if arguments.folders:
        files = [path for folder in arguments.folders for path in sorted(folder.iterdir())]
        numbers, content = range(len(files)), lambda number: files[number].read_bytes()
    else:
        seeds = corpus(treat)
        numbers = range(arguments.start, arguments.start + arguments.count)
        content = lambda number: mutate(number, seeds)[1]  # noqa: E731
    begin = time.perf_counter()
    outcome = run_forked(numbers, lambda number: treat(content(number)))
    report = {
        "files": len(numbers),
        "seconds": round(time.perf_counter() - begin, 1),
        "slowest": round(outcome.slowest, 3),
        "mebibytes": round(outcome.memory / (1 << 20), 1),
        "counts": outcome.counts,
        "violations": outcome.violations,
    }
    print(json.dumps(report, indent=1))
    return 1 if outcome.violations else 0


def corpus(treat: Treatment) -> list[Seed]:
    """Write the sound files in a process of their own: libhdf5 stays out of this one."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, str(CORPUS), name], check=True)
        seeds = read_corpus(Path(name))
    for seed in seeds:
        treat(seed.data)  # what the first files make the library import belongs to no case
    return seeds


def read(data: bytes) -> tuple[str, list[str]]:
    """Read all arrays of a file: the outcome, and what is wrong with it."""
    assert "h5py" not in sys.modules, "libhdf5 is in this process"
    try:
        read_weights(Section(io.BytesIO(data), 0, len(data)), label="x.keras", finite=True)
    except ModelFileError as error:
        # `except Exception` in the reader would turn a bomb that met its bound into damage.
        return "refused", [str(error)] if "MemoryError" in str(error) else []
    return "read", []


def watched(data: bytes) -> tuple[str, list[str]]:
    """Analyse a file: the outcome; the analysis raises no more than its documented errors."""
    from dl_techniques.weightwatcher import SourceError, analyze_model

    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        file.write(data)
        file.flush()
        try:
            analyze_model(file.name, n_jobs=1)
        except SourceError as error:
            return "refused", [str(error)] if "MemoryError" in str(error) else []
    return "read", []


if __name__ == "__main__":
    sys.exit(main())
