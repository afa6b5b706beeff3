"""Load every hostile file with `load_model`, watched by an audit hook.

    python watched_loading.py FOLDER RESULT.json

Anything that a file could have made happen is a violation: code that is not from an installed
file, processes, sockets, unpickling, and files written outside the temporary folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from typing import Any

from model_attacks import ATTACKS
from model_forge import Forge

FOLDER = Path(sys.argv[1])
TEMPORARY = FOLDER / "tmp"
TEMPORARY.mkdir()
tempfile.tempdir = str(TEMPORARY)
TRUSTED = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    sys.prefix,
    str(Path(__file__).parents[3] / "packages"),
    "<frozen",
)
FORBIDDEN = {
    "os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn",
    "subprocess.Popen", "pty.spawn", "socket.connect", "socket.bind", "socket.getaddrinfo",
    "pickle.find_class", "marshal.loads", "ctypes.dlopen", "ftplib.connect", "urllib.Request",
    "os.chmod", "os.chown", "os.link", "os.symlink", "os.rename", "shutil.move",
}  # fmt: skip
STRANGERS = {"keras_hub", "keras_cv", "keras_nlp", "somewhere"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

violations: list[str] = []


def hook(event: str, arguments: tuple[Any, ...]) -> None:
    if event in FORBIDDEN:
        violations.append(f"{event} {arguments!r:.200}")
    elif event == "exec":
        name = getattr(arguments[0], "co_filename", "")
        if not name.startswith(TRUSTED):
            violations.append(f"exec of {name}")
    elif event == "import" and arguments[0].partition(".")[0] in STRANGERS:
        violations.append(f"import of {arguments[0]}")
    elif event == "open":
        path, _, flags = arguments
        inside = str(path).startswith(str(TEMPORARY)) or isinstance(path, int)
        if flags & WRITING and not inside:
            violations.append(f"open for writing {path!r}")


def strangers(folder: Path) -> None:
    """Packages that anybody could have put on an index, importable and hostile."""
    for name in ("keras_hub", "keras_cv", "keras_nlp"):
        package = folder / name
        package.mkdir(parents=True)
        package.joinpath("__init__.py").write_text("raise SystemExit('imported')\n")
    sys.path.insert(0, str(folder))


def main() -> None:
    import keras

    from dl_techniques.core import load_model, registry
    from dl_techniques.core.errors import ModelFileError, UnknownComponent

    strangers(FOLDER / "strangers")
    files = {}
    for attack in ATTACKS:
        target = FOLDER / attack.name
        target.mkdir()
        files[attack.name] = attack.build(target / "attack.keras", FOLDER / "canary")
    # The control: the same file without an attack loads, and imports whatever loading imports.
    sound = load_model(Forge().write(FOLDER / "sound.keras"))
    assert sound.count_params() == 15
    with contextlib.suppress(UnknownComponent):
        registry.find("nobody>Nothing")
    floatx = keras.config.floatx()
    sys.addaudithook(hook)
    results = {}
    for attack in ATTACKS:
        violations.clear()
        start = time.perf_counter()
        try:
            load_model(files[attack.name])
            outcome, text = "loaded", ""
        except ModelFileError as error:
            outcome, text = "refused", str(error)
        except BaseException as error:  # whatever else comes out is what the test looks for
            outcome, text = type(error).__name__, str(error)
        results[attack.name] = {
            "outcome": outcome,
            "text": text,
            "seconds": time.perf_counter() - start,
            "violations": list(violations),
        }
    results["process"] = {
        "floatx kept": keras.config.floatx() == floatx,
        "canary": (FOLDER / "canary").exists(),
        "left over": [path.name for path in TEMPORARY.iterdir()],
        "keras": keras.version(),
        "backend": keras.backend.backend(),
    }
    Path(sys.argv[2]).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
