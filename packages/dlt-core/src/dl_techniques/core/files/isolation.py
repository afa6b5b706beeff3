"""Rebuild a model in a child process under limits, before this process does.

The child does all that `load_model` does. Excessive memory or time ends the child,
and a crash of a backend ends nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.limits import Limits
from dl_techniques.core.files.options import OPTIONS, Options
from dl_techniques.core.lazy import import_address
from dl_techniques.core.text import describe_error, short_repr, size_text

# The child looks for modules where its parent does, and not in the working directory.
_PROGRAM: Final = """
import json, sys
arguments = json.loads(sys.argv[1])
sys.path[:] = arguments.pop("sys.path")
from dl_techniques.core.files.isolation import answer
answer(**arguments)
"""
_POLL_SECONDS: Final = 0.01
_START_SECONDS: Final = 300.0
_MOST_TEXT: Final = 20_000


class Trial(NamedTuple):
    """The outcome of rebuilding a model in a child process."""

    outcome: str
    """`loaded`, `refused`, `memory`, `time` or `crashed`."""
    message: str
    """Why, if it was not loaded."""
    seconds: float
    """How long it took, without starting the child."""
    memory: int
    """The most bytes that it took beyond an idle child, as far as they were seen."""

    @property
    def loaded(self) -> bool:
        """Return whether the model could be rebuilt."""
        return self.outcome == "loaded"


def try_loading(path: Path, options: Options = OPTIONS) -> Trial:
    """Load a model in a child process, and report what happened.

    Args:
        path: The model file.
        options: The terms of `load_model`. The child imports custom objects by module and name,
            and `limits.memory` and `limits.seconds` bound it.

    Raises:
        ValueError: If the child could not import a custom object.
        OSError: If the system does not tell how much memory a process takes.
    """
    limits = options.limits
    most = path.stat().st_size + limits.memory
    with tempfile.TemporaryDirectory(prefix="dl_techniques-") as folder:
        file = Path(folder, "answer")
        arguments = {
            "sys.path": [str(entry) for entry in sys.path],
            "path": str(path),
            "file": str(file),
            **options._asdict(),
            "custom_objects": _addresses(options.custom_objects),
            "limits": list(limits),
        }
        with Path(folder, "errors").open("w+b") as errors:
            child = subprocess.Popen(  # noqa: S603  # our own interpreter and program
                [sys.executable, "-P", "-c", _PROGRAM, json.dumps(arguments)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                outcome, seconds, memory = _watch(child, file, most, limits.seconds)
            finally:
                child.kill()
                child.wait()
            lines = _lines(file)
            if outcome in {"memory", "time"}:
                bound = size_text(most) if outcome == "memory" else f"{limits.seconds:g} s"
                message = f"takes more than {bound} to rebuild."
                return Trial(outcome, message, seconds, memory)
            if len(lines) < 2:  # the second line is the answer
                message = f"ended the process that rebuilt it (code {child.returncode})"
                return Trial("crashed", message + _last_line(errors), seconds, memory)
    said = json.loads(lines[1])
    return Trial(said["outcome"], said["message"], seconds, memory)


def answer(
    path: str, file: str, *, custom_objects: Mapping[str, str], limits: list[Any], **options: Any
) -> None:
    """Load the model, in the child, and write two lines: one when ready, one when done.

    Args:
        path: The model file.
        file: Where to write.
        custom_objects: Name -> `module:qualname`.
        limits: The fields of `Limits`.
        **options: Further arguments of `load_model`.
    """
    from dl_techniques.core.files.load import load_model

    bounds = Limits(*limits)
    with Path(file).open("w", encoding="ascii") as stream:
        stream.write("ready\n")
        stream.flush()
        _limit_cpu(bounds.seconds)
        outcome, message = "loaded", ""
        try:
            objects = {name: import_address(address) for name, address in custom_objects.items()}
            load_model(path, custom_objects=objects, limits=bounds, **options)
        except ModelFileError as error:
            outcome, message = "refused", str(error)
        except BaseException as error:  # a component may raise anything
            outcome, message = "crashed", describe_error(error)
        stream.write(json.dumps({"outcome": outcome, "message": message[:_MOST_TEXT]}) + "\n")


def _addresses(objects: Mapping[str, Any]) -> dict[str, str]:
    addresses = {}
    for name, target in objects.items():
        module = getattr(target, "__module__", "__main__")
        address = f"{module}:{getattr(target, '__qualname__', '<locals>')}"
        if module == "__main__" or "<" in address:
            raise ValueError(
                "`custom_objects` must be importable by name where `isolated=True`. Received: "
                f"custom_objects={{{name!r}: {short_repr(repr(target))}}}"
            )
        addresses[name] = address
    return addresses


def _limit_cpu(seconds: float) -> None:
    """Bound the CPU time of this process, so that it ends although its parent has died."""
    try:
        import resource
    except ImportError:  # Windows; the parent watches the clock all the same
        return
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = int(used + seconds * (os.cpu_count() or 1)) + 1
    if hard in {resource.RLIM_INFINITY} or most < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (min(most, soft) if soft > 0 else most, hard))


def _watch(
    child: subprocess.Popen[bytes], file: Path, most: int, seconds: float
) -> tuple[str, float, int]:
    """Wait for the child's end or for a bound: the outcome, seconds, and bytes at the peak."""
    started = time.monotonic()
    while child.poll() is None and not _lines(file):
        if time.monotonic() - started > _START_SECONDS:
            return "time", 0.0, 0
        time.sleep(_POLL_SECONDS)
    idle = peak = resident(child.pid)
    started = time.monotonic()
    while child.poll() is None:
        peak = max(peak, resident(child.pid))
        passed = time.monotonic() - started
        if peak - idle > most:
            return "memory", passed, peak - idle
        if passed > seconds:
            return "time", passed, peak - idle
        time.sleep(_POLL_SECONDS)
    return "ended", time.monotonic() - started, peak - idle


def resident(process: int) -> int:
    """Return the bytes of memory that a process takes; zero if it has ended.

    Args:
        process: Its number.

    Raises:
        OSError: If the system has neither /proc nor psutil.
    """
    if Path("/proc/self/statm").exists():
        try:
            pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except (OSError, IndexError):  # it ended meanwhile
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")
    try:
        import psutil
    except ImportError as error:
        raise OSError("isolation needs psutil on this system: pip install psutil") from error
    try:
        return int(psutil.Process(process).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _lines(file: Path) -> list[str]:
    """Return the complete lines of the child's answer."""
    try:
        return file.read_text(encoding="ascii").split("\n")[:-1]
    except OSError:
        return []


def _last_line(errors: Any) -> str:
    errors.seek(max(0, errors.seek(0, os.SEEK_END) - _MOST_TEXT))
    lines = errors.read().decode("utf-8", "replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f": {short_repr(last, 300)}" if last else "."
