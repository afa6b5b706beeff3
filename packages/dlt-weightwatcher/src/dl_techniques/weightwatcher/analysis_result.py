"""`AnalysisResult`: the table of one model, with the ways to show and to keep it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dl_techniques.core.atomic_write import replacing
from dl_techniques.weightwatcher.readers.weight import Skipped
from dl_techniques.weightwatcher.result import Analysis, Layer
from dl_techniques.weightwatcher.serialization import (
    from_plain,
    plain,
    plain_cells,
    write_text,
)
from dl_techniques.weightwatcher.store import SCHEMA, Store
from dl_techniques.weightwatcher.table import html_table, text_table

if TYPE_CHECKING:
    import os


class AnalysisResult(Analysis):
    """The table of one model.

    Iterating gives its layers in the order of the model.

    Args:
        label: The model's name.
        layers: Rows with their spectra.
        skipped: Every tensor that was not analysed, with the reason.
        settings: The options of the analysis.
    """

    def __repr__(self) -> str:
        return text_table(self)

    def _repr_html_(self) -> str:
        return html_table(self)

    def to_dataframe(self) -> Any:
        """The rows as a pandas data frame.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd  # type: ignore[import-untyped,unused-ignore]  # an extra
        except ImportError as error:
            raise ImportError(
                "`to_dataframe` needs pandas; it comes with dlt-weightwatcher[pandas]."
            ) from error
        return pd.DataFrame(self.to_records(), columns=list(self.columns))

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The rows, the summary and what was skipped as JSON; numbers are finite or null.

        Args:
            path: A file to write as well.
        """
        content = {
            "schema": SCHEMA,
            "model": self.label,
            "settings": plain(self.settings),
            "summary": plain(self.summary),
            "layers": plain(self.to_records()),
            "skipped": plain([entry._asdict() for entry in self.skipped]),
        }
        text = json.dumps(content, indent=2, allow_nan=False)
        if path is not None:
            write_text(path, text)
        return text

    @classmethod
    def from_json(cls, text: str | os.PathLike[str]) -> AnalysisResult:
        """Read back what `to_json` wrote; spectra are not in it.

        Args:
            text: The JSON, or a path to it.

        Raises:
            ValueError: If it is something else.
        """
        is_text = isinstance(text, str) and text.lstrip().startswith("{")
        content = json.loads(str(text) if is_text else Path(text).read_text(encoding="utf-8"))
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise ValueError(f"Expected the JSON of an analysis, schema {SCHEMA}.")
        try:
            layers = [Layer(from_plain(row), np.empty(0)) for row in content["layers"]]
            skipped = [Skipped(**{**e, "shape": tuple(e["shape"])}) for e in content["skipped"]]
            return cls(content["model"], layers, skipped, content["settings"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"The JSON of an analysis is damaged: {error!r}") from error

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as CSV; what does not apply is empty.

        Args:
            path: The file.
        """
        columns = self.columns
        with (
            replacing(Path(path)) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for record in self.to_records():
                writer.writerow(plain_cells(record))

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page with tables and pictures.

        Args:
            path: A file to write as well.
        """
        from dl_techniques.weightwatcher.report.page import page

        text = page([self])
        if path is not None:
            write_text(path, text)
        return text

    def plot(self, kind: str = "esd", layer: str | int | None = None) -> Any:
        """A matplotlib figure; it belongs to no window and is closed by being dropped.

        Args:
            kind: One of `esd`, `fit`, `mp`, `depth`, `flow`, `heat`.
            layer: The layer, for the first three.
        """
        from dl_techniques.weightwatcher.report.figures import draw

        return draw(self, kind, layer)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write rows and spectra to a folder that `load` reads and `resume=` continues.

        Rows of files, and all rows of an analysis with `resume=`, are taken up again there; the
        numbers of arrays in memory are not remembered, so that these are analysed anew.

        Args:
            folder: The folder; made where it does not exist.
        """
        Store(Path(folder)).write(self)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> AnalysisResult:
        """Read back what `save`, or an interrupted analysis, wrote.

        Args:
            folder: The folder.
        """
        return cls(*Store(Path(folder)).read())
