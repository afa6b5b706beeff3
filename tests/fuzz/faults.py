"""Show that `run_forked` sees a crash, a hang, a bomb and an exception.

    python tests/fuzz/faults.py crash

Prints one JSON object: the counts and the violations. A process of its own, because only one
without threads can be forked safely.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from forked import run_forked

WHERE = 7


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def hang() -> None:
    while True:
        pass


def grow() -> None:
    bytearray(100 << 20)


def fail() -> None:
    raise ZeroDivisionError


def main() -> None:
    fault = {"crash": crash, "hang": hang, "grow": grow, "fail": fail}[sys.argv[1]]

    def case(number: int) -> tuple[str, list[str]]:
        if number == WHERE:
            fault()
        return "fine", []

    outcome = run_forked(range(3, 20), case, batch=10, seconds=0.2)
    report = {"files": 17, "slowest": outcome.slowest, "counts": outcome.counts}
    print(json.dumps({**report, "violations": outcome.violations}))


if __name__ == "__main__":
    main()
