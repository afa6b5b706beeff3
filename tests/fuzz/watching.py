"""An audit hook that writes down what a file could have made happen."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

TRUSTED = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sys.prefix,
    str(Path(__file__).parents[2] / "packages"),
    "<frozen",
)
FORBIDDEN = {
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
    "subprocess.Popen", "pty.spawn", "socket.connect", "socket.bind", "socket.getaddrinfo",
    "pickle.find_class", "marshal.loads", "ctypes.dlopen", "ftplib.connect", "urllib.Request",
    "os.chmod", "os.chown", "os.link", "os.symlink", "os.rename", "shutil.move",
}  # fmt: skip
# Places where imports, named tuples and data classes compile installed code.
IMPORTING = "<frozen importlib"
GENERATING = tuple(f"{TRUSTED[0]}/{name}.py" for name in ("collections/__init__", "dataclasses"))
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def watch(temporary: Path, *, strangers: tuple[str, ...] = ()) -> list[str]:
    """Begin to watch this process, for its life.

    Anything is a violation that is code from no installed file, a process, a socket, unpickling,
    the import of a stranger, or a file written outside the folder.

    Args:
        temporary: The folder that may be written to.
        strangers: Packages that must not be imported.

    Returns:
        The violations; empty it as you like.
    """
    violations: list[str] = []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event in FORBIDDEN:
            # To look at a frame is an event itself, so not every event can be asked for its.
            if event != "marshal.loads" or not _caller().startswith(IMPORTING):
                violations.append(f"{event} {arguments!r:.200}")
        elif event == "exec":
            name = getattr(arguments[0], "co_filename", "")
            if not name.startswith(TRUSTED) and not _caller().endswith(GENERATING):
                violations.append(f"exec of {name}")
        elif event == "import" and arguments[0].partition(".")[0] in strangers:
            violations.append(f"import of {arguments[0]}")
        elif event == "open":
            path, _, flags = arguments
            inside = str(path).startswith(str(temporary)) or isinstance(path, int)
            if flags & WRITING and not inside:
                violations.append(f"open for writing {path!r}")

    sys.addaudithook(hook)
    return violations


def _caller() -> str:
    """The file of the code that caused the event."""
    return sys._getframe(2).f_code.co_filename
