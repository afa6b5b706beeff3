"""Result of an analysis: rows, spectra, a summary, and everything that was left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dl_techniques.weightwatcher.columns import ALWAYS, LAST, SUMMARY, TEXTS
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.readers.weight import Skipped


class Layer:
    """One row with its spectrum.

    Attributes:
        row: The row.
        esd: The eigenvalues, ascending; empty without a spectrum.
        key: Digest of the row's inputs, for `resume=`; empty if unknown.
    """

    def __init__(self, row: Mapping[str, Any], esd: Array, key: str = "") -> None:
        self.row = dict(row)
        self.esd = esd
        self.key = key

    def __getitem__(self, column: str) -> Any:
        return self.row[column]

    def __repr__(self) -> str:
        return f"Layer({self.row['longname']!r}, {self.row['status']})"


class Analysis(Sequence[Layer]):
    """The table of one model: data that other modules render and store.

    Iterating gives its layers in the order of the model.

    Args:
        label: The model's name.
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
            KeyError: If no row fits, or several.
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
