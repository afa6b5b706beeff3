"""A folder that holds an analysis, finished or not: each row is a file of its own.

Rows are written as they are finished, so that an interrupted analysis loses only what was being
computed. A row is taken up again if the numbers of its weight and the options are unchanged.
"""

from __future__ import annotations

import hashlib
import json
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np

from dl_techniques.core.atomic_write import replacing
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.readers.weight import Skipped
from dl_techniques.weightwatcher.result import Analysis, Layer
from dl_techniques.weightwatcher.serialization import write_text

SCHEMA: Final = 1
_INDEX: Final = "analysis.json"
_ROWS: Final = "layers"


class Store:
    """The folder.

    Args:
        folder: Where; made where it does not exist.

    Raises:
        ValueError: If it is a file.
    """

    def __init__(self, folder: Path) -> None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"Expected a folder for the rows of an analysis. Received: {folder}")
        self.folder = folder

    def begin(
        self,
        label: str,
        settings: dict[str, Any],
        skipped: list[Skipped],
        keys: Mapping[str, str],
    ) -> None:
        """Write the index, before the first row.

        Args:
            label: The model's name.
            settings: The options.
            skipped: Weights that are not analysed.
            keys: Name of each row -> its key. Other files in the folder do not count.
        """
        (self.folder / _ROWS).mkdir(parents=True, exist_ok=True)
        content = {
            "schema": SCHEMA,
            "model": label,
            "settings": settings,
            "skipped": [entry._asdict() for entry in skipped],
            "keys": dict(keys),
        }
        write_text(self.folder / _INDEX, json.dumps(content, indent=2))

    def add(self, layer: Layer) -> None:
        """Write one row and its spectrum.

        Args:
            layer: The row; equal keys stand for equal rows.
        """
        stem = self._stem(layer.row["longname"])
        # Python's own JSON keeps NaN and infinity; this file is read by nobody else.
        text = json.dumps({"key": layer.key, "row": _numbers(layer.row)})
        with _uninterrupted():
            with replacing(stem.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
                np.save(file, layer.esd)
            write_text(stem.with_suffix(".json"), text)

    def get(self, longname: str, key: str) -> Layer | None:
        """A row that was written before.

        Args:
            longname: Its name.
            key: Digest of its inputs.

        Returns:
            Return the row of the same inputs, or `None`.
        """
        file = self._stem(longname).with_suffix(".json")
        if not file.is_file():
            return None
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["key"] != key:
                return None
            return Layer(content["row"], self._spectrum(longname), key)
        except (ValueError, KeyError, TypeError, OSError):
            return None  # damaged: it is computed again

    def write(self, result: Analysis) -> None:
        """Write a whole result.

        Args:
            result: The result.
        """
        keys = {layer.row["longname"]: layer.key for layer in result}
        self.begin(result.label, result.settings, result.skipped, keys)
        for layer in result:
            self.add(layer)

    def read(self) -> tuple[str, list[Layer], list[Skipped], dict[str, Any]]:
        """The model's name, the rows that are there, what was skipped, and the options.

        Raises:
            ValueError: If the folder holds no analysis.
        """
        index = self.folder / _INDEX
        try:
            content = json.loads(index.read_text(encoding="utf-8"))
            skipped = [Skipped(**{**e, "shape": tuple(e["shape"])}) for e in content["skipped"]]
            keys = dict(content["keys"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.folder} holds no analysis: {error}") from error
        found = (self.get(name, key) for name, key in keys.items())
        layers = sorted(
            (layer for layer in found if layer is not None),
            key=lambda layer: int(layer["layer_id"]),
        )
        return content["model"], layers, skipped, content["settings"]

    def _spectrum(self, longname: str) -> Array:
        loaded: Array = np.load(self._stem(longname).with_suffix(".npy"), allow_pickle=False)
        return loaded

    def _stem(self, longname: str) -> Path:
        digest = hashlib.blake2b(longname.encode(), digest_size=12).hexdigest()
        return self.folder / _ROWS / digest


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until a row is written whole: its clean-up could be what it interrupts."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals go to the main thread
        return
    came: list[Any] = []
    previous = signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if came and callable(previous):
        previous(*came[0])


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in row.items()}
