"""Peak memory and cost of one action, in a process of its own.

    python measure.py ACTION FILE

ACTION is `inspect` or `load`. Prints JSON: bytes above the base, outcome, and the processor's
seconds. The base is the process after it has done the same with a small sound file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from pathlib import Path

from model_forge import Forge

from dl_techniques.core.errors import ModelFileError


def resident() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmHWM")


class Disk(threading.Thread):
    """The largest size of the temporary folder."""

    def __init__(self, folder: str) -> None:
        super().__init__(daemon=True)
        self.folder, self.largest = Path(folder), 0

    def run(self) -> None:
        while True:
            try:
                sizes = [p.stat().st_size for p in self.folder.rglob("*") if p.is_file()]
                self.largest = max(self.largest, sum(sizes))
            except OSError:  # a file went away meanwhile
                pass
            time.sleep(0.002)


def main() -> None:
    action, file = sys.argv[1], Path(sys.argv[2])
    if action == "load":
        from dl_techniques.core import load_model as act
    else:
        from dl_techniques.core import inspect_model as act
    with tempfile.TemporaryDirectory() as name:
        act(Forge().write(Path(name, "base.keras")))
        tempfile.tempdir = name
        disk = Disk(name)
        disk.start()
        base = resident()
        reset_peak()
        start = time.thread_time()
        try:
            result = act(file)
            problems = getattr(result, "problems", ())
            outcome = str(problems[0]) if problems else "accepted"
        except ModelFileError as error:
            outcome = str(error)
        report = {
            "bytes": peak() - base,
            "seconds": time.thread_time() - start,
            "outcome": outcome,
            "disk": disk.largest,
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
