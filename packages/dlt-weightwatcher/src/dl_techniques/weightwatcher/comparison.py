"""`compare_models`: several models side by side, layer by layer."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from dl_techniques.core.contract.component import component
from dl_techniques.weightwatcher.analysis_result import AnalysisResult
from dl_techniques.weightwatcher.analyzer import analyze_model
from dl_techniques.weightwatcher.compared import Comparison
from dl_techniques.weightwatcher.matrices import plan, stack_of
from dl_techniques.weightwatcher.numerics import distances
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.optional_columns import OVER_TRAINED, UNDER_TRAINED
from dl_techniques.weightwatcher.pairing import partners
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.readers.opening import open_source
from dl_techniques.weightwatcher.readers.weight import Source, Weight
from dl_techniques.weightwatcher.result import Layer
from dl_techniques.weightwatcher.row import analyse
from dl_techniques.weightwatcher.serialization import plain, write_text
from dl_techniques.weightwatcher.settings import Settings
from dl_techniques.weightwatcher.table import number

_METRICS: Final = (
    "alpha",
    "alpha_weighted",
    "stable_rank",
    "entropy",
    "concentration_score",
    "log_norm",
    "log_spectral_norm",
    "alpha_hill",
)
_MOST: Final = 20
_TAIL_LIMIT: Final = 256
_LARGEST: Final = 1 << 25


class ComparisonResult(Comparison):
    """Models side by side.

    Attributes:
        results: Name -> the analysis of each model.
        layers: One record for each layer that at least two models have: the first model against
            each other one.
        models: One record for each model, best first: the distance of the layers' alphas from
            [2, 6], then the mean of alpha_weighted.
        unmatched: Name -> the layers that have no counterpart in the first model.
    """

    results: dict[str, AnalysisResult]

    def __repr__(self) -> str:
        lines = ["MODEL  LAYERS  MEAN ALPHA  OUTSIDE [2, 6]  ALPHA WEIGHTED"]
        lines += [
            f"{m['model']}  {m['counted']}  {number(m['alpha'])}  {number(m['alpha_distance'])}  "
            f"{number(m['alpha_weighted'])}"
            for m in self.models
        ]
        changed = [record for record in self.layers if record["significant"]]
        if changed:
            lines.append(f"{len(changed)} layers whose intervals of alpha do not overlap.")
        return "\n".join(lines)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Everything as JSON; numbers are finite or null.

        Args:
            path: A file to write as well.
        """
        content = {
            "schema": 1,
            "models": plain(self.models),
            "layers": plain(self.layers),
            "unmatched": plain(self.unmatched),
            "results": {name: json.loads(r.to_json()) for name, r in self.results.items()},
        }
        text = json.dumps(content, indent=2, allow_nan=False)
        if path is not None:
            write_text(path, text)
        return text

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained page: the comparison, then each model.

        Args:
            path: A file to write as well.
        """
        from dl_techniques.weightwatcher.report.page import page

        text = page(list(self.results.values()), comparison=self)
        if path is not None:
            write_text(path, text)
        return text


@component(
    "dl_techniques>compare_models",
    kind="analyzer",
    tags=("weights", "spectral", "diagnostics"),
    since="0.1",
)
def compare_models(models: Mapping[str, Any], **options: Any) -> ComparisonResult:
    """Spectral diagnostics of several models, layer against layer.

    Layers are matched by their paths, then, among those left over, in order by shape. For each
    pair: both values and the difference of every metric, distances between the spectra, the
    relative size of the change ||dW||_F / ||W||_F with its stable rank and alpha, the overlap of
    the leading singular subspaces and the linear CKA.

    Args:
        models: Name -> source, two to twenty of them; the first is what the others are compared
            with.
        options: Of `analyze_model`, but for `base`. With `bootstrap`, layers whose
            intervals of alpha do not overlap are marked as significant.

    Returns:
        The analyses, the layers' records and the models' records.

    Raises:
        ValueError: If there are too few or too many models, or a source cannot be read.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import compare_models
        >>> rng = np.random.default_rng(0)
        >>> W = rng.standard_t(3, (80, 60))
        >>> found = compare_models({"before": {"w": W}, "after": {"w": 2 * W}}, n_jobs=1)
        >>> record = found.layers[0]
        >>> round(record["relative_change"], 3), round(record["cka"], 3)
        (1.0, 1.0)
    """
    if not isinstance(models, Mapping) or not 2 <= len(models) <= _MOST:
        raise ValueError(
            f"`models` must map 2 to {_MOST} names to sources. Received: {models!r:.200}"
        )
    if "base" in options:
        raise ValueError("`base` is an option of `analyze_model` only.")
    scaling = options.pop("lora_scaling", None)
    sources = {str(name): open_source(model, scaling=scaling) for name, model in models.items()}
    results = {}
    for name, source in sources.items():
        result = analyze_model(source, **options)
        result.label = name
        results[name] = result
    settings = Settings(**next(iter(results.values())).settings)
    first, *others = results
    layers: list[dict[str, Any]] = []
    unmatched: dict[str, list[str]] = {}
    for other in others:
        pairs, left = _match(results[first], results[other])
        unmatched[other] = left
        for a, b in pairs:
            record = {"model": other, "reference": first, **_metrics(a, b)}
            weights = (_find(sources[first], a), _find(sources[other], b))
            record.update(_change(weights, (a, b), settings))
            layers.append(record)
    records = [_model_record(name, result) for name, result in results.items()]
    records.sort(key=lambda r: (_last(r["alpha_distance"]), _last(r["alpha_weighted"])))
    return ComparisonResult(results, layers, records, unmatched)


def _match(a: AnalysisResult, b: AnalysisResult) -> tuple[list[tuple[Layer, Layer]], list[str]]:
    by_name = {layer["longname"]: layer for layer in a}
    paths = partners((layer["path"] for layer in b), (layer["path"] for layer in a))
    pairs: list[tuple[Layer, Layer]] = []
    rest: list[Layer] = []
    for layer in b:
        path = paths.get(layer["path"], layer["path"])
        name = f"{path}{layer['longname'].removeprefix(layer['path'])}"
        partner = by_name.get(name)
        if partner is not None and _shape(partner) == _shape(layer):
            pairs.append((by_name.pop(name), layer))
        else:
            rest.append(layer)
    unmatched = []
    for layer in rest:
        partner = next((p for p in by_name.values() if _shape(p) == _shape(layer)), None)
        if partner is None:
            unmatched.append(layer["longname"])
        else:
            pairs.append((by_name.pop(partner["longname"]), layer))
    return pairs, unmatched


def _shape(layer: Layer) -> tuple[int, int, int]:
    return layer["N"], layer["M"], layer["rf"]


def _metrics(a: Layer, b: Layer) -> dict[str, Any]:
    record: dict[str, Any] = {"longname": a["longname"], "counterpart": b["longname"]}
    for name in _METRICS:
        before, after = (float(x.row.get(name, math.nan)) for x in (a, b))
        record[f"{name}_reference"], record[name] = before, after
        record[f"{name}_difference"] = after - before
    if a.esd.size and b.esd.size:
        record["wasserstein"] = distances.wasserstein(a.esd, b.esd)
        record["jensen_shannon"] = distances.jensen_shannon(a.esd, b.esd)
    bounds = [float(x.row.get(k, math.nan)) for x in (a, b) for k in ("alpha_lo", "alpha_hi")]
    record["significant"] = bounds[1] < bounds[2] or bounds[3] < bounds[0]
    return record


def _find(source: Source, layer: Layer) -> Weight:
    return next(weight for weight in source.weights if weight.path == layer["path"])


def _change(
    weights: tuple[Weight, Weight], layers: tuple[Layer, Layer], settings: Settings
) -> dict[str, Any]:
    """Compute the columns that need both matrices at once."""
    if not all(layer.esd.size and layer.esd[-1] > 0 for layer in layers):
        return {}
    stacks = []
    for weight, layer in zip(weights, layers, strict=True):
        part = _part(weight, layer, settings)
        stacks.append(np.asarray(stack_of(weight.values.read(), part)))
    part = _part(weights[0], layers[0], settings)
    if (
        stacks[0].shape != stacks[1].shape
        or stacks[0].size > _LARGEST
        or np.iscomplexobj(stacks[0])
    ):
        return {}
    before, after = (stack.astype(np.float64) for stack in stacks)
    delta = after - before
    record: dict[str, Any] = {
        "relative_change": float(np.linalg.norm(delta) / np.linalg.norm(before)),
        "cka": float(np.mean([_cka(x, y) for x, y in zip(before, after, strict=True)])),
        "subspace_overlap": _overlap(before, after, layers),
    }
    if np.any(delta):
        found = analyse(delta, part, Settings(precision=settings.precision), "delta").row
        record["delta_stable_rank"] = found.get("stable_rank", math.nan)
        record["delta_alpha"] = found.get("alpha", math.nan)
    return record


def _part(weight: Weight, layer: Layer, settings: Settings) -> Part:
    parts = plan(weight, settings)
    suffix = layer["longname"].removeprefix(weight.path)
    return next(part for part in parts if isinstance(part, Part) and part.suffix == suffix)


def _cka(a: Array, b: Array) -> float:
    # The wide orientation would multiply matrices of the longer side.
    return (
        distances.linear_cka(a, b) if a.shape[0] >= a.shape[1] else distances.linear_cka(a.T, b.T)
    )


def _overlap(before: Array, after: Array, layers: tuple[Layer, Layer]) -> float:
    """Of the singular subspaces on the shorter side, as many vectors as the tail has values."""
    tails = [layer.row.get("n_tail") or 1 for layer in layers]
    k = max(1, min(*tails, _TAIL_LIMIT) // before.shape[0])
    found = []
    for a, b in zip(before, after, strict=True):
        bases = []
        for matrix in (a, b):
            turned = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
            bases.append(np.linalg.eigh(turned.T @ turned)[1][:, -k:])
        found.append(distances.subspace_overlap(*bases))
    return float(np.mean(found))


def _model_record(name: str, result: AnalysisResult) -> dict[str, Any]:
    summary = result.summary
    alphas = np.array([layer["alpha"] for layer in result if layer["status"] == "ok"], dtype=float)
    alphas = alphas[np.isfinite(alphas)]
    outside = np.maximum(alphas - UNDER_TRAINED, 0) + np.maximum(OVER_TRAINED - alphas, 0)
    means = {key: value["mean"] for key, value in summary["metrics"].items()}
    return {
        "model": name,
        "layers": summary["layers"],
        "counted": summary["counted"],
        "parameters": summary["parameters"],
        "alpha_distance": float(outside.mean()) if outside.size else math.nan,
        **{key: means.get(key, math.nan) for key in _METRICS},
    }


def _last(value: float) -> float:
    return value if math.isfinite(value) else math.inf
