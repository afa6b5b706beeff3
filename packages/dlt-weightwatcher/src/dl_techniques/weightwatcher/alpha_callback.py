"""A Keras callback that follows alpha while a model learns."""

from __future__ import annotations

import csv
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dl_techniques.core import Component, Example, Rejection, component
from dl_techniques.weightwatcher.analysis_result import AnalysisResult
from dl_techniques.weightwatcher.analyzer import analyze_model
from dl_techniques.weightwatcher.readers.opening import open_source
from dl_techniques.weightwatcher.readers.values import Held
from dl_techniques.weightwatcher.readers.weight import Source, Weight
from dl_techniques.weightwatcher.serialization import plain_cells

_CHOICES = {"on": ("epoch", "batch"), "log": ("history", "csv")}


@component(
    "dl_techniques>AlphaCallback",
    kind="callback",
    tags=("weights", "spectral", "diagnostics", "training"),
    since="0.1",
)
class AlphaCallback(Component, keras.callbacks.Callback):  # type: ignore[misc]  # Keras ships no types
    """Analyses the weights every few epochs or batches, and logs the mean alpha.

    With `background` the analysis runs on a copy of the weights in a thread of its own, while
    training goes on; what is logged at an epoch is then the latest that is finished. All
    analyses are finished when training ends.

    Args:
        every: After how many epochs or batches to analyse.
        layers: Which weights: globs as `include` of `analyze_model` takes them.
        on: `epoch` or `batch`.
        log: `history` adds `alpha` and `alpha_weighted` to the logs of the epoch, where
            `History` and other callbacks find them; `csv` writes one line for each layer to
            `path`.
        path: The file of `csv`.
        background: Whether to analyse while training goes on.

    Raises:
        ValueError: If an option is not what it may be.

    Example:
        >>> import keras, numpy as np
        >>> from dl_techniques.weightwatcher import AlphaCallback
        >>> model = keras.Sequential([keras.Input((32,)), keras.layers.Dense(32)])
        >>> model.compile("sgd", "mse")
        >>> x = np.ones((8, 32))
        >>> history = model.fit(x, x, epochs=2, verbose=0, callbacks=[AlphaCallback()])
        >>> len(history.history["alpha"])
        2
    """

    def __init__(
        self,
        every: int = 1,
        layers: str | list[str] | None = None,
        on: str = "epoch",
        log: str = "history",
        path: str | None = None,
        background: bool = False,
    ) -> None:
        super().__init__()
        if type(every) is not int or every < 1:
            raise ValueError(f"`every` must be a positive integer. Received: every={every!r}")
        for name, value in (("on", on), ("log", log)):
            if value not in _CHOICES[name]:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(_CHOICES[name])}. "
                    f"Received: {name}={value!r}"
                )
        if (log == "csv") != (path is not None):
            raise ValueError(f"`path` belongs to log='csv'. Received: log={log!r}, path={path!r}")
        self.every = every
        self.layers = layers
        self.on = on
        self.log = log
        self.path = path
        self.background = background
        self.results: list[tuple[int, AnalysisResult]] = []
        self._lines: list[dict[str, Any]] = []
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._batches = 0

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget the previous training.

        Args:
            logs: Not used.
        """
        self.results, self._lines, self._batches = [], [], 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Analyse, if it is time.

        Args:
            batch: Not used: batches are counted over all epochs.
            logs: Not used.
        """
        self._batches += 1
        if self.on == "batch" and self._batches % self.every == 0:
            self._start(self._batches)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Analyse, if it is time, and log.

        Args:
            epoch: The epoch, from 0.
            logs: The record that Keras will keep of the epoch.
        """
        if self.on == "epoch" and (epoch + 1) % self.every == 0:
            self._start(epoch + 1)
        if logs is not None and self.log == "history":
            metrics = self.results[-1][1].summary["metrics"] if self.results else {}
            for name in ("alpha", "alpha_weighted"):
                logs[name] = metrics[name]["mean"] if name in metrics else math.nan

    def on_train_end(self, logs: Any = None) -> None:
        """Wait for the analysis that is still running.

        Args:
            logs: Not used.
        """
        self._wait()

    def get_history(self) -> list[dict[str, Any]]:
        """One record for each analysis and layer: step, layer, alpha, stable rank, status."""
        return [
            {
                "step": step,
                "layer": layer["longname"],
                "alpha": layer.row.get("alpha", math.nan),
                "stable_rank": layer.row.get("stable_rank", math.nan),
                "status": layer["status"],
            }
            for step, result in self.results
            for layer in result
        ]

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """In step with training, and beside it."""
        yield Example(cls)
        config = {"every": 2, "layers": ["*kernel"], "on": "batch", "background": True}
        yield Example(cls, config, name="background")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A useless period, unknown words, a path without its log."""
        yield Rejection(cls, {"every": 0}, "every")
        yield Rejection(cls, {"on": "step"}, "on")
        yield Rejection(cls, {"log": "tensorboard"}, "log")
        yield Rejection(cls, {"path": "alpha.csv"}, "path")

    def _start(self, step: int) -> None:
        source = open_source(self.model)
        if not self.background:
            self._analyse(source, step)
            return
        self._wait()
        copied = Source(source.label, [_copied(weight) for weight in source.weights], [])
        self._thread = threading.Thread(
            target=self._guarded, args=(copied, step), name="alpha", daemon=True
        )
        self._thread.start()

    def _guarded(self, source: Source, step: int) -> None:
        try:
            self._analyse(source, step)
        # Raised again in the thread that trains, where somebody sees it.
        except BaseException as error:
            self._failure = error

    def _analyse(self, source: Source, step: int) -> None:
        result = analyze_model(source, include=self.layers, n_jobs=1)
        self.results.append((step, result))
        if self.log == "csv":
            self._write()

    def _write(self) -> None:
        from dl_techniques.core.atomic_write import replacing

        records = self.get_history()
        fields = ["step", "layer", "alpha", "stable_rank", "status"]
        with (
            replacing(Path(str(self.path))) as temporary,
            temporary.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(map(plain_cells, records))

    def _wait(self) -> None:
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def __getstate__(self) -> dict[str, Any]:
        return self.get_config()

    def __setstate__(self, config: dict[str, Any]) -> None:
        self.__init__(**config)  # type: ignore[misc]  # what a pickle of settings amounts to


def _copied(weight: Weight) -> Weight:
    values = Held(np.array(weight.values.read()))
    return Weight(weight.path, values, weight.layer, weight.kind, weight.layout, weight.facts)
