"""Fuzz the reader of weights with HDF5 files that are mutated where their structure is.

    python tests/fuzz/fuzz_hdf5.py --count 20000
    python tests/fuzz/fuzz_hdf5.py FOLDER...

Prints one JSON object: how many files were read and refused, and every violation: a crash, an
exception outside the family, more than two seconds, or more than 64 MiB beyond the file's size.
With folders, reads every file in them instead.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from forked import run_forked
from hdf5_mutations import Seed, mutate, read_corpus

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import Section
from dl_techniques.core.files.weights import read_weights

CORPUS = Path(__file__).with_name("hdf5_mutations.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="read the files in these instead")
    parser.add_argument("--count", type=int, default=2000, help="number of files")
    parser.add_argument("--start", type=int, default=0, help="number of the first file")
    arguments = parser.parse_args()
    if arguments.folders:
        files = [path for folder in arguments.folders for path in sorted(folder.iterdir())]
        numbers, content = range(len(files)), lambda number: files[number].read_bytes()
    else:
        seeds = corpus()
        numbers = range(arguments.start, arguments.start + arguments.count)
        content = lambda number: mutate(number, seeds)[1]  # noqa: E731
    begin = time.perf_counter()
    outcome = run_forked(numbers, lambda number: read(content(number)))
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


def corpus() -> list[Seed]:
    """Write the sound files in a process of their own: libhdf5 stays out of this one."""
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, str(CORPUS), name], check=True)
        seeds = read_corpus(Path(name))
    for seed in seeds:
        read(seed.data)  # what the first files make the library import belongs to no case
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


if __name__ == "__main__":
    sys.exit(main())
