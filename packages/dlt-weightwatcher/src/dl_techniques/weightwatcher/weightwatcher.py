"""`WeightWatcher`: the functions of this package under the reference's method names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dl_techniques.core.contract.component import component
from dl_techniques.core.contract.example import Example, Rejection
from dl_techniques.weightwatcher.analysis_result import AnalysisResult
from dl_techniques.weightwatcher.analyzer import analyze_model, describe_model
from dl_techniques.weightwatcher.engine import prepare
from dl_techniques.weightwatcher.matrices import stack_of
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.distances import linear_cka
from dl_techniques.weightwatcher.readers.opening import open_source
from dl_techniques.weightwatcher.settings import Settings
from dl_techniques.weightwatcher.smoothing import sharpen_model, smooth_model

_COMPAT = (None, "weightwatcher")


@component(
    "dl_techniques>WeightWatcher",
    kind="analyzer",
    tags=("weights", "spectral", "diagnostics"),
    paper="arXiv:1810.01075",
    since="0.1",
)
class WeightWatcher:
    """A model and its latest analysis, with the methods that users of weightwatcher know.

    Args:
        model: A source as `analyze_model` takes it; each method may be given another.
        compat: None, or `"weightwatcher"` for the reference's definitions of the columns.

    Raises:
        ValueError: If `compat` is neither.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import WeightWatcher
        >>> watcher = WeightWatcher({"w": np.random.default_rng(0).standard_t(3, (90, 60))})
        >>> details = watcher.analyze(n_jobs=1)
        >>> sorted(watcher.get_summary()) == sorted(watcher.get_summary(details))
        True
        >>> watcher.get_ESD("w").shape
        (60,)

    References:
        Martin and Mahoney, "Implicit Self-Regularization in Deep Neural Networks",
        arXiv:1810.01075.
    """

    def __init__(self, model: Any = None, compat: str | None = None) -> None:
        if compat not in _COMPAT:
            raise ValueError(f"`compat` must be one of {_COMPAT}. Received: compat={compat!r}")
        self.model = model
        self.compat = compat
        self._latest: AnalysisResult | None = None

    def describe(self, model: Any = None, **options: Any) -> AnalysisResult:
        """The rows without spectra.

        Args:
            model: A source, in place of the instance's own.
            **options: Of `describe_model`.
        """
        return describe_model(self._source(model), **{"compat": self.compat, **options})

    def analyze(self, model: Any = None, **options: Any) -> AnalysisResult:
        """Analyse, and keep the result for the other methods.

        Args:
            model: A source, in place of the instance's own.
            **options: Of `analyze_model`.
        """
        self._latest = analyze_model(self._source(model), **{"compat": self.compat, **options})
        return self._latest

    def get_details(self) -> AnalysisResult:
        """Return the latest analysis; analyse now if there is no earlier one."""
        return self._latest if self._latest is not None else self.analyze()

    def get_summary(self, details: AnalysisResult | None = None) -> dict[str, float]:
        """The means of the metrics over the rows that could be fitted.

        Args:
            details: An analysis; by default the latest.
        """
        metrics = (details or self.get_details()).summary["metrics"]
        return {name: value["mean"] for name, value in metrics.items()}

    def get_ESD(self, layer: str | int) -> Array:  # noqa: N802  # the reference's name
        """The eigenvalues of one layer, ascending.

        Args:
            layer: Its name or id.
        """
        return self.get_details().layer(layer).esd

    def get_weights(self, layer: str | int, model: Any = None) -> list[Array]:
        """The matrices that make up one row, inputs x outputs.

        Args:
            layer: The row's name or id.
            model: A source, in place of the instance's own.

        Raises:
            KeyError: If there is no such row.
        """
        work = prepare(open_source(self._source(model)), Settings())
        for job in work.jobs:
            if layer in {job.name, job.layer_id, job.weight.layer}:
                return list(np.asarray(stack_of(job.weight.values.read(), job.part)))
        raise KeyError(f"There is no layer {layer!r}.")

    def distances(self, first: Any, second: Any, method: str = "raw") -> dict[str, float]:
        """Return how far apart two models are, matrix by matrix of equal names.

        Args:
            first: A source.
            second: Another.
            method: `raw` or `euclidean`, the Frobenius norm of the difference; `cka`, one
                minus the centred linear alignment.

        Raises:
            ValueError: If the method is none of these.
        """
        if method not in {"raw", "euclidean", "cka"}:
            raise ValueError(f"`method` must be raw, euclidean or cka. Received: method={method!r}")
        jobs = [prepare(open_source(source), Settings()).jobs for source in (first, second)]
        others = {job.name: job for job in jobs[1]}
        found: dict[str, float] = {}
        for job in jobs[0]:
            other = others.get(job.name)
            if other is None or other.weight.values.shape != job.weight.values.shape:
                continue
            pair = [
                np.asarray(stack_of(j.weight.values.read(), j.part), np.float64)
                for j in (job, other)
            ]
            if method == "cka":
                aligned = [linear_cka(a, b) for a, b in zip(*pair, strict=True)]
                found[job.name] = 1.0 - float(np.mean(aligned))
            else:
                found[job.name] = float(np.linalg.norm(pair[0] - pair[1]))
        return found

    def smooth(self, model: Any = None, **options: Any) -> Any:
        """A copy of the model with its matrices cut to low rank.

        Args:
            model: A live model, in place of the instance's own.
            **options: Of `smooth_model`.
        """
        return smooth_model(self._source(model), **options)

    def sharpen(self, model: Any = None, **options: Any) -> Any:
        """A copy of the model with the singular values above the bulk raised.

        Args:
            model: A live model, in place of the instance's own.
            **options: Of `sharpen_model`.
        """
        return sharpen_model(self._source(model), **options)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; a live model has no place in it."""
        named = self.model if isinstance(self.model, str) else None
        return {"model": named, "compat": self.compat}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WeightWatcher:
        """Make an instance from `get_config()`'s answer.

        Args:
            config: The configuration.
        """
        return cls(**config)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Without a model, which each method takes too."""
        yield Example(cls)
        yield Example(cls, {"compat": "weightwatcher"}, name="compat")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """A reference that is not known."""
        yield Rejection(cls, {"compat": "powerlaw"}, "compat")

    def _source(self, model: Any) -> Any:
        source = self.model if model is None else model
        if source is None:
            raise ValueError("There is no model. Give one to the constructor or to the method.")
        return source
