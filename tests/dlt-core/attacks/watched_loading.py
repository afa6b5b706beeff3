"""Load every hostile file with `load_model`, watched by an audit hook.

    python watched_loading.py FOLDER RESULT.json

Anything that a file could have made happen is a violation: code that is not from an installed
file, processes, sockets, unpickling, and files written outside the temporary folder.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path

from model_attacks import IN_PROCESS
from model_forge import Forge
from watching import watch

FOLDER = Path(sys.argv[1])
TEMPORARY = FOLDER / "tmp"
TEMPORARY.mkdir()
tempfile.tempdir = str(TEMPORARY)
STRANGERS = ("keras_hub", "keras_cv", "keras_nlp", "somewhere")


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
    for attack in IN_PROCESS:
        target = FOLDER / attack.name
        target.mkdir()
        files[attack.name] = attack.build(target / "attack.keras", FOLDER / "canary")
    # The control: the same file without an attack loads, and imports whatever loading imports.
    sound = load_model(Forge().write(FOLDER / "sound.keras"))
    assert sound.count_params() == 15
    with contextlib.suppress(UnknownComponent):
        registry.find("nobody>Nothing")
    floatx = keras.config.floatx()
    violations = watch(TEMPORARY, strangers=STRANGERS)
    results = {}
    for attack in IN_PROCESS:
        violations.clear()
        start = time.process_time()
        try:
            load_model(files[attack.name], finite="NaN" in attack.row)
            outcome, text = "loaded", ""
        except ModelFileError as error:
            outcome, text = "refused", str(error)
        except BaseException as error:  # whatever else comes out is what the test looks for
            outcome, text = type(error).__name__, str(error)
        results[attack.name] = {
            "outcome": outcome,
            "text": text,
            "seconds": time.process_time() - start,
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
