"""Write golden files of installed components, or verify those that other processes wrote.

    python golden_files.py export FOLDER [COMPONENT ...]
    python golden_files.py verify FOLDER

Prints one JSON object. `export` writes files for all that can be part of a model file, and says
why the rest cannot. `verify` knows nothing but the core; it reads every file below the folder and
says, for each writer, how many agree, how far the worst is off, which ask for a newer Keras, and
what went wrong otherwise. It ends with 1 if anything did.
"""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

# The kinds that a model file can hold.
STORED = ("activation", "constraint", "initializer", "layer", "loss", "metric", "regularizer")
# Accepted answers if the file is newer than the Keras that reads it.
NAMES_A_VERSION = re.compile(r"needs Keras \d+\.\d+\.\d+ or later")


def export(folder: Path, names: list[str]) -> dict[str, Any]:
    from dl_techniques.core import registry
    from dl_techniques.core.testing import NotApplicable, export_golden

    folder.mkdir(parents=True, exist_ok=True)
    files = 0
    skipped: dict[str, str] = {}
    identifiers = names or [entry.id for entry in registry.list()]
    for name in identifiers:
        try:
            files += len(export_golden(name, folder))
        except NotApplicable as answer:
            skipped[name] = str(answer)
    written = len(identifiers) - len(skipped)
    return {"components": written, "files": files, "skipped": skipped, "failures": {}}


def verify(folder: Path) -> dict[str, Any]:
    import keras

    from dl_techniques.core import DLTechniquesError
    from dl_techniques.core.testing import verify_golden

    answers: dict[str, Any] = {}
    failures: dict[str, str] = {}
    for path in sorted(folder.rglob("*.keras")):
        writer = answers.setdefault(
            path.parent.name, {"agree": 0, "outputs": [0.0, ""], "gradients": [0.0, ""], "new": {}}
        )
        try:
            golden = verify_golden(path)
        except (AssertionError, DLTechniquesError) as error:
            named = NAMES_A_VERSION.search(str(error))
            if named:
                writer["new"][path.stem] = named.group()
            else:
                failures[f"{path.parent.name}/{path.stem}"] = f"{type(error).__name__}: {error}"
            continue
        writer["agree"] += 1
        for what in ("outputs", "gradients"):
            writer[what] = max(writer[what], [getattr(golden, what), path.stem])
    reader = f"Keras {keras.version()} on {keras.backend.backend()}"
    return {"reader": reader, "writers": answers, "failures": failures}


def main() -> int:
    started = time.monotonic()
    command, folder, *names = sys.argv[1:]
    answer = export(Path(folder), names) if command == "export" else verify(Path(folder))
    answer["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(answer, indent=1))
    return 1 if answer["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
