"""Run numbered cases in forked processes, so that a crash, a hang or a bomb ends one of them."""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

MIB = 1 << 20
ADDRESS_SPACE = 1 << 30
"""Bytes that a child may take beyond its parent, so that a bomb does not end the machine."""
WALL = 15
"""Wall seconds a second of CPU time: the machine may be shared."""


class Outcome(NamedTuple):
    """The outcomes of many cases."""

    counts: dict[str, int]
    violations: list[str]
    slowest: float
    """Seconds of CPU time of the slowest case."""
    memory: int
    """The most bytes that a case took."""


class _Result(NamedTuple):
    number: int
    outcome: str
    violations: list[str]
    seconds: float
    memory: int


def run_forked(
    numbers: range,
    case: Callable[[int], tuple[str, list[str]]],
    *,
    batch: int = 50,
    seconds: float = 2.0,
    memory: int = 64 * MIB,
) -> Outcome:
    """Run `case` for each number, `batch` of them in one child.

    Args:
        numbers: The numbers.
        case: Number -> the outcome to count, and violations of its own.
        batch: Cases of one child. After a crash, the next child takes the rest.
        seconds: The CPU time that one case may take.
        memory: The bytes that one case may take.

    Returns:
        The outcomes. A violation is a signal, a hang, too much memory, or any exception of `case`.
    """
    counts: Counter[str] = Counter()
    violations: list[str] = []
    slowest, most, position = 0.0, 0, 0
    while position < len(numbers):
        part = numbers[position : position + batch]
        results, started, status = _batch(part, case, seconds)
        for result in results:
            counts[result.outcome] += 1
            violations += [f"{result.number}: {text}" for text in result.violations]
            slowest, most = max(slowest, result.seconds), max(most, result.memory)
            if result.memory > memory:
                violations.append(f"{result.number}: took {result.memory / MIB:.0f} MiB")
        position += len(results)
        if len(results) < len(part):
            end = _describe(status)
            counts[end] += 1
            violations.append(f"{started}: {end}")
            position += 1
    return Outcome(dict(sorted(counts.items())), violations, slowest, most)


def _batch(numbers: range, case: Any, seconds: float) -> tuple[list[_Result], int, int]:
    """Run a batch: its results, the number that was started last, and the child's status."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        code = 1
        try:
            _work(numbers, case, writer, seconds)
            code = 0
        finally:
            os._exit(code)  # nothing of the parent's is flushed or removed twice
    os.close(writer)
    with os.fdopen(reader, encoding="ascii") as stream:
        lines = [json.loads(line) for line in stream if line.endswith("\n")]
    _, status = os.waitpid(child, 0)
    results = [_Result(*line) for line in lines if isinstance(line, list)]
    started = [line for line in lines if isinstance(line, int)]
    return results, started[-1] if started else numbers[0], status


def _work(numbers: range, case: Any, writer: int, seconds: float) -> None:
    size = Path("/proc/self/statm")
    bound = ADDRESS_SPACE + (int(size.read_text().split()[0]) * 4096 if size.exists() else 1 << 40)
    resource.setrlimit(resource.RLIMIT_AS, (bound, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for name in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(name, signal.SIG_DFL)  # ends the process, wherever it hangs
    for number in numbers:
        os.write(writer, f"{number}\n".encode())
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.setitimer(signal.ITIMER_REAL, seconds * WALL)
        base = _reset_peak()
        start = time.process_time()
        try:
            outcome, violations = case(number)
        except BaseException as error:  # the question is whether there is any
            outcome, violations = "raised", [f"{type(error).__name__}: {error}"[:300]]
        took = time.process_time() - start
        result = _Result(number, outcome, violations, took, _peak() - base)
        os.write(writer, (json.dumps(result) + "\n").encode())


def _describe(status: int) -> str:
    if not os.WIFSIGNALED(status):
        return f"ended with the code {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number in {signal.SIGPROF, signal.SIGALRM}:
        return "hung"
    return f"crashed: {signal.Signals(number).name}"


def _reset_peak() -> int:
    """Forget the peak of this process's memory; return what it takes now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux: nothing is measured
        return 0
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(field: str) -> int:
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return int(text.partition(f"{field}:")[2].split()[0]) * 1024
