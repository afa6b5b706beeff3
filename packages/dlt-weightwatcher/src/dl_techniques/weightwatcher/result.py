"""What an analysis returns: rows, spectra, a summary, and everything that was left out."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dl_techniques.core.atomic_write import replacing
from dl_techniques.weightwatcher.columns import ALWAYS, LAST, SUMMARY, TEXTS
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.readers.weight import Skipped

if TYPE_CHECKING:
    import os

SCHEMA: Final = 1
_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")


class Layer:
    """One row with its spectrum.

    Attributes:
        row: The row.
        esd: The eigenvalues, ascending; empty where there are none.
        key: What the row depends on, for `resume=`; empty where nothing says it.
    """

    def __init__(self, row: Mapping[str, Any], esd: Array, key: str = "") -> None:
        self.row = dict(row)
        self.esd = esd
        self.key = key

    def __getitem__(self, column: str) -> Any:
        return self.row[column]

    def __repr__(self) -> str:
        return f"Layer({self.row['longname']!r}, {self.row['status']})"


class AnalysisResult(Sequence[Layer]):
    """The table of one model.

    Iterating gives its layers in the order of the model.

    Args:
        label: What the model is called.
        layers: Rows with their spectra.
        skipped: Every tensor that was not analysed, with the reason.
        settings: The options of the analysis.
    """

    def __init__(
        self,
        label: str,
        layers: Sequence[Layer],
        skipped: Sequence[Skipped],
        settings: Mapping[str, Any],
    ) -> None:
        self.label = label
        self.skipped = list(skipped)
        self.settings = dict(settings)
        self._layers = list(layers)

    def __getitem__(self, index: Any) -> Any:
        return self._layers[index]

    def __len__(self) -> int:
        return len(self._layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self._layers)

    def __repr__(self) -> str:
        from dl_techniques.weightwatcher.table import text_table

        return text_table(self)

    def _repr_html_(self) -> str:
        from dl_techniques.weightwatcher.table import html_table

        return html_table(self)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of this table, in order."""
        present: dict[str, None] = dict.fromkeys(ALWAYS[: -len(LAST)])
        for layer in self._layers:
            present.update(dict.fromkeys(layer.row))
        for name in LAST:
            present.pop(name, None)
        return (*present, *LAST)

    def layer(self, name: str | int) -> Layer:
        """One layer.

        Args:
            name: Its long name, its short name if that is unique, or its id.

        Raises:
            KeyError: If there is none, or several.
        """
        for key in ("longname", "name", "layer_id"):
            found = [layer for layer in self._layers if layer.row[key] == name]
            if len(found) == 1:
                return found[0]
            if found:
                names = ", ".join(layer.row["longname"] for layer in found)
                raise KeyError(f"{name!r} stands for several layers: {names}")
        known = ", ".join(layer.row["longname"] for layer in self._layers[:10])
        raise KeyError(f"There is no layer {name!r}. Among those that there are: {known}")

    def to_records(self) -> list[dict[str, Any]]:
        """The rows, each with all columns; what does not apply is NaN, or empty text."""
        columns = self.columns
        return [
            {name: layer.row.get(name, "" if name in TEXTS else math.nan) for name in columns}
            for layer in self._layers
        ]

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

    @property
    def summary(self) -> dict[str, Any]:
        """Mean, median and parameter-weighted mean over the rows with status `ok`, and counts."""
        records = self.to_records()
        good = [record for record in records if record["status"] == "ok"]
        weights = np.array([r["N"] * r["M"] * r["rf"] for r in good], dtype=float)
        metrics = {}
        for name in SUMMARY:
            values = np.array([float(r.get(name, math.nan)) for r in good])
            finite = np.isfinite(values)
            if finite.any():
                share = weights[finite] / weights[finite].sum()
                metrics[name] = {
                    "mean": float(values[finite].mean()),
                    "median": float(np.median(values[finite])),
                    "weighted_mean": float(np.sum(share * values[finite])),
                }
        counts: dict[str, int] = {}
        for record in records:
            counts[record["status"]] = counts.get(record["status"], 0) + 1
        return {
            "model": self.label,
            "layers": len(records),
            "counted": len(good),
            "parameters": int(sum(r["N"] * r["M"] * r["rf"] for r in records)),
            "status": counts,
            "warnings": {
                word: sum(r["warning"] == word for r in good)
                for word in ("over-trained", "under-trained")
            },
            "skipped": len(self.skipped),
            "metrics": metrics,
        }

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
            layers = [Layer(_from_plain(row), np.empty(0)) for row in content["layers"]]
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
        from dl_techniques.weightwatcher.store import Store

        Store(Path(folder)).write(self)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> AnalysisResult:
        """Read back what `save`, or an interrupted analysis, wrote.

        Args:
            folder: The folder.
        """
        from dl_techniques.weightwatcher.store import Store

        return Store(Path(folder)).read()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text file whole or not at all.

    Args:
        path: The file.
        text: Its content.
    """
    with replacing(Path(path)) as temporary:
        temporary.write_text(text, encoding="utf-8")


def plain(value: Any) -> Any:
    """A value in JSON types, with null for what is not finite.

    Args:
        value: Numbers, text and containers of them.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def plain_cells(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row for CSV: names are joined, what does not apply is empty, and nothing is a formula.

    Spreadsheets compute what begins with one of `=+-@`; such a name gets an apostrophe before it.

    Args:
        record: The row.
    """
    joined = {k: "; ".join(v) if isinstance(v, list | tuple) else v for k, v in record.items()}
    return {k: _cell(v) for k, v in joined.items()}


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return "" if isinstance(value, float) and math.isnan(value) else value


def _from_plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {k: (math.nan if v is None and k not in TEXTS else v) for k, v in row.items()}
