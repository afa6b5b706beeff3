"""The pictures, each a matplotlib figure of its own that no window knows of."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.marchenko_pastur import (
    density,
    fit_marchenko_pastur,
    kernel_density,
)
from dl_techniques.weightwatcher.numerics.pareto import all_candidates

if TYPE_CHECKING:
    from dl_techniques.weightwatcher.compared import Comparison
    from dl_techniques.weightwatcher.result import Analysis, Layer

BLUE, RED, GREY, GREEN = "#2f6db3", "#c0392b", "#8a8f98", "#3a8f5c"
MODELS: Final = ("#2f6db3", "#d97b29", "#3a8f5c", "#8e5bb0", "#b0473a", "#5a7d8c")
_BAND: Final = (2.0, 6.0)
_HEAT: Final = (
    ("alpha", "alpha"),
    ("alpha_hill", "Hill alpha"),
    ("stable_rank", "stable rank"),
    ("entropy", "entropy"),
    ("concentration_score", "concentration"),
    ("gini", "Gini"),
    ("log_norm", "log norm"),
    ("log_spectral_norm", "log spectral norm"),
)
_FLOW: Final = (
    ("stable_rank", "stable rank", True),
    ("entropy", "entropy", False),
    ("concentration_score", "concentration", False),
)
_ALPHA_CEILING: Final = 20.0
_MOST_CANDIDATES: Final = 1500
_FEW_DECADES: Final = 1e3


def draw(result: Analysis, kind: str, layer: str | int | None = None) -> Any:
    """One figure.

    Args:
        result: The analysis.
        kind: `esd`, `fit` or `mp` of one layer; `depth`, `flow` or `heat` of all.
        layer: The layer of the first three.

    Raises:
        ValueError: If the kind is none of these, or a layer is missing or has no spectrum.
    """
    of_layer: dict[str, Callable[[Any, Layer], None]] = {"esd": _esd, "fit": _fit, "mp": _bulk}
    of_model = {"depth": depth_figure, "flow": flow_figure, "heat": heat_figure}
    if kind in of_model:
        return of_model[kind](result)
    if kind not in of_layer:
        known = ", ".join([*of_layer, *of_model])
        raise ValueError(f"`kind` must be one of {known}. Received: kind={kind!r}")
    if layer is None:
        raise ValueError(f"kind={kind!r} needs `layer`. Received: layer=None")
    chosen = result.layer(layer)
    if not (chosen.esd.size and chosen.esd[-1] > 0):
        raise ValueError(f"{chosen!r} has no spectrum.")
    # Fixed margins: to have them found costs a second drawing.
    figure = _new_figure(6.0, 4.0, layout=None)
    figure.subplots_adjust(0.13, 0.13, 0.88 if kind == "fit" else 0.97, 0.92)
    axes = figure.add_subplot()
    _plain(axes)
    of_layer[kind](axes, chosen)
    return figure


def esd_sheet(layers: Sequence[Layer], columns: int = 4) -> Any:
    """Spectra of several layers with their fits, side by side.

    Args:
        layers: Layers that have spectra.
        columns: How many to a line.
    """
    rows = math.ceil(len(layers) / columns)
    height = 2.3 * rows
    figure = _new_figure(2.9 * columns, height, layout=None)
    figure.subplots_adjust(0.05, 0.3 / height, 0.99, 1 - 0.3 / height, 0.22, 0.42)
    for place, layer in enumerate(layers, 1):
        _panel(figure.add_subplot(rows, columns, place), layer)
    return figure


def depth_figure(result: Analysis) -> Any:
    """Alpha of every layer in the order of the model, with intervals where there are any.

    Args:
        result: The analysis.
    """
    figure, axes = _figure(9.0, 3.4)
    axes.axhspan(*_BAND, color=GREEN, alpha=0.10, lw=0)
    records = result.to_records()
    _alpha_series(axes, np.arange(len(records)), records, BLUE, None)
    axes.set(xlabel="matrix, in the order of the model", ylabel="alpha")
    return figure


def flow_figure(result: Analysis) -> Any:
    """Stable rank, entropy and concentration in the order of the model.

    Args:
        result: The analysis.
    """
    figure = _new_figure(9.0, 4.6)
    records = result.to_records()
    for place, (name, title, logarithmic) in enumerate(_FLOW, 1):
        axes = figure.add_subplot(len(_FLOW), 1, place)
        _plain(axes)
        axes.plot([r[name] for r in records], "o-", color=BLUE, ms=3, lw=0.8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(title, fontsize=8)
        if logarithmic and any(r[name] > 0 for r in records):
            _logarithmic(axes.yaxis)
        if place < len(_FLOW):
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel("matrix, in the order of the model", fontsize=8)
    return figure


def heat_figure(result: Analysis) -> Any:
    """Layers against metrics; colours rank the layers within each metric.

    Args:
        result: The analysis.
    """
    records = [record for record in result.to_records() if record["status"] in {"ok", "small"}]
    columns = [(k, t) for k, t in _HEAT if any(_finite(r.get(k)) for r in records)]
    figure, axes = _figure(9.0, max(1.8, 0.19 * len(records) + 1.2))
    if not records:
        axes.text(0.5, 0.5, "no fitted matrix", ha="center", transform=axes.transAxes)
        return figure
    values = np.array([[_number(r.get(k)) for k, _ in columns] for r in records])
    axes.imshow(
        _ranks(values), aspect="auto", cmap="viridis", interpolation="nearest", vmin=0, vmax=1
    )
    axes.set_xticks(range(len(columns)), [title for _, title in columns], fontsize=8)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    names = [shown(_tail(record["longname"], 40)) for record in records]
    axes.set_yticks(range(len(names)), names, fontsize=6.5, parse_math=False)
    return figure


def to_png(figure: Any, dpi: int = 110) -> bytes:
    """The figure as the bytes of a PNG file.

    Args:
        figure: The figure.
        dpi: Dots per inch.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def to_data_uri(figure: Any) -> str:
    """The figure as a PNG that a page carries in itself.

    Args:
        figure: The figure.
    """
    return "data:image/png;base64," + base64.b64encode(to_png(figure)).decode()


def _new_figure(width: float, height: float, layout: Any = "constrained") -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = _new_figure(width, height)
    axes = figure.add_subplot()
    _plain(axes)
    return figure, axes


def shown(name: str) -> str:
    """A name in letters that the pictures' font has; a question mark for any other.

    Args:
        name: A name from untrusted data.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties()))
    return "".join(letter if font.get_char_index(ord(letter)) else "?" for letter in name)


def _title(axes: Any, name: str, size: float) -> None:
    """A name above a picture; dollars in it are no formula."""
    axes.set_title(shown(name), fontsize=size, parse_math=False)


def _plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _logarithmic(*sides: Any) -> None:
    """Logarithmic axes with plain labels: to set formulas costs matplotlib five times as much.

    Args:
        sides: `axes.xaxis` or `axes.yaxis`.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    for side in sides:
        side.axes.set(**{f"{side.axis_name}scale": "log"})
        low, high = side.get_view_interval()
        steps = (1.0, 2.0, 5.0) if high < _FEW_DECADES * low else (1.0,)
        side.set_major_locator(LogLocator(subs=steps, numticks=9))
        side.set_major_formatter(lambda value, _: f"{value:g}")
        side.set_minor_locator(NullLocator())
        side.set_minor_formatter(NullFormatter())


class _Density(NamedTuple):
    """A spectrum's histogram with logarithmic bins, and the fitted law over its tail."""

    edges: Array
    heights: Array
    line: Array
    law: Array


def _density(layer: Layer, bins: int) -> _Density:
    x = layer.esd[layer.esd > layer.esd[-1] * 1e-12]
    low = x[0] if x[-1] > x[0] else x[0] * 0.99
    counts, edges = np.histogram(x, np.geomspace(low, x[-1] * 1.0000001, bins))
    heights = np.where(counts > 0, counts / x.size / np.diff(edges), np.nan)
    alpha, xmin = _number(layer.row.get("alpha")), _number(layer.row.get("xmin"))
    if not (np.isfinite(alpha) and alpha > 1 and xmin > 0):
        return _Density(edges, heights, np.empty(0), np.empty(0))
    share = np.count_nonzero(x >= xmin) / x.size
    line = np.geomspace(xmin, x[-1], 30)
    law = share * (alpha - 1) / xmin * (line / xmin) ** -alpha
    visible = law > 0  # a steep law falls below the smallest number
    return _Density(edges, heights, line[visible], law[visible])


def _esd(axes: Any, layer: Layer) -> None:
    """The density of the eigenvalues, and the fitted law from xmin on, on logarithmic axes."""
    found = _density(layer, 80)
    axes.stairs(found.heights, found.edges, color=BLUE, fill=True, alpha=0.35)
    if found.line.size:
        label = f"alpha = {layer['alpha']:.2f}"
        axes.plot(found.line, found.law, color=RED, lw=1.2, label=label)
        axes.axvline(layer["xmin"], color=RED, lw=0.7, ls=":")
        axes.legend(frameon=False, fontsize=8, loc="lower left")
    _logarithmic(axes.xaxis, axes.yaxis)
    _title(axes, layer["longname"], 9)
    axes.set(xlabel="eigenvalue of W^T W", ylabel="density")


def _panel(axes: Any, layer: Layer) -> None:
    """The same in small. Logarithms on plain axes: matplotlib's own cost five times as much."""
    found = _density(layer, 40)
    edges, heights = np.log10(found.edges), np.log10(found.heights)
    floor = np.nanmin(heights) - 0.3
    axes.stairs(heights, edges, baseline=floor, color=BLUE, fill=True, alpha=0.35)
    if found.line.size:
        axes.plot(np.log10(found.line), np.log10(found.law), color=RED, lw=1.2)
        axes.text(
            0.97,
            0.9,
            f"alpha {layer['alpha']:.2f}",
            transform=axes.transAxes,
            fontsize=8,
            color=RED,
            ha="right",
        )
    axes.set_ylim(floor, np.nanmax(heights) + 0.2)
    axes.spines[["top", "right"]].set_visible(False)
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        powers = range(math.ceil(low), math.floor(high) + 1, max(1, round((high - low) / 4)))
        axis.set_ticks(list(powers), [f"1e{power}" for power in powers], fontsize=7)
    _title(axes, _tail(layer["longname"], 40), 7.5)


def _fit(axes: Any, layer: Layer) -> None:
    """Return how D and alpha depend on the choice of xmin."""
    x = layer.esd[layer.esd > 0]
    x = x[-_MOST_CANDIDATES:]
    found = all_candidates(x)
    places = x[found.starts]
    axes.plot(places, found.distances, color=BLUE, lw=1)
    _logarithmic(axes.xaxis)
    axes.set_xlabel("xmin")
    axes.set_ylabel("D", color=BLUE)
    other = axes.twinx()
    other.plot(places, np.minimum(found.alphas, _ALPHA_CEILING), color=RED, lw=1)
    other.set_ylabel("alpha", color=RED)
    _title(axes, layer["longname"], 9)
    if _finite(layer.row.get("xmin")):
        axes.axvline(layer["xmin"], color=GREY, lw=0.8, ls=":")


def _bulk(axes: Any, layer: Layer) -> None:
    """The density of the rescaled eigenvalues with the fitted Marchenko-Pastur law."""
    evals: Array = layer.esd
    bulk = fit_marchenko_pastur(evals, layer["N"], layer["M"])
    Q = layer["N"] / layer["M"]
    x = evals * bulk.scale**2
    x = np.sqrt(x) if Q == 1 else x
    upper = bulk.bulk_max * bulk.scale**2
    end = min(float(x[-1]), 3 * (math.sqrt(upper) if Q == 1 else upper))
    grid = np.linspace(0.0, end, 500)
    axes.fill_between(grid, kernel_density(x, grid), color=BLUE, alpha=0.35, lw=0)
    axes.plot(grid, density(grid, bulk.sigma, Q), color=RED, lw=1.2)
    _title(axes, f"{layer['longname']}: {bulk.num_spikes} beyond the bulk", 9)
    axes.set(
        xlabel="rescaled singular value" if Q == 1 else "rescaled eigenvalue", ylabel="density"
    )


def _alpha_series(
    axes: Any, places: Array, records: Sequence[dict[str, Any]], colour: str, label: str | None
) -> None:
    alphas = np.array([_number(r["alpha"]) for r in records])
    shown = np.minimum(alphas, _ALPHA_CEILING)
    axes.plot(places, shown, "-", color=colour, lw=0.6, alpha=0.5)
    axes.xaxis.get_major_locator().set_params(integer=True)
    good = np.array([r["status"] == "ok" for r in records], dtype=bool)
    axes.plot(places[good], shown[good], "o", color=colour, ms=4, label=label)
    if (~good).any():
        axes.plot(places[~good], shown[~good], "o", mfc="white", color=colour, ms=4)
    low = np.array([_number(r["alpha_lo"]) for r in records])
    high = np.array([_number(r["alpha_hi"]) for r in records])
    some = np.isfinite(low)
    top = np.minimum(high[some], _ALPHA_CEILING)
    axes.vlines(places[some], np.minimum(low[some], top), top, color=colour, lw=1, alpha=0.6)


def _ranks(values: Array) -> Array:
    """Each column as shares of its order, NaN where there is no number."""
    found = np.full(values.shape, np.nan)
    for column in range(values.shape[1]):
        some = np.isfinite(values[:, column])
        order = values[some, column].argsort().argsort()
        found[some, column] = order / max(1, order.size - 1)
    return found


def _tail(name: str, length: int) -> str:
    return name if len(name) <= length else f"...{name[3 - length :]}"


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _number(value: Any) -> float:
    return float(value) if _finite(value) else math.nan


def comparison_figure(comparison: Comparison) -> Any:
    """Alpha of all models, each matrix in the place of its counterpart in the first one.

    Args:
        comparison: The comparison.
    """
    figure, axes = _figure(9.0, 3.6)
    axes.axhspan(*_BAND, color=GREEN, alpha=0.10, lw=0)
    first, *_ = comparison.results.values()
    places = {record["longname"]: index for index, record in enumerate(first.to_records())}
    for index, (name, result) in enumerate(comparison.results.items()):
        own = places if result is first else _counterparts(comparison, name, places)
        records = [record for record in result.to_records() if record["longname"] in own]
        records.sort(key=lambda record: own[record["longname"]])
        where = np.array([own[record["longname"]] for record in records])
        _alpha_series(axes, where, records, MODELS[index % len(MODELS)], shown(_tail(name, 40)))
    axes.set(xlabel="matrix, in the order of the first model", ylabel="alpha")
    legend = axes.legend(
        frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0)
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _counterparts(comparison: Comparison, model: str, places: dict[str, int]) -> dict[str, int]:
    return {
        record["counterpart"]: places[record["longname"]]
        for record in comparison.layers
        if record["model"] == model
    }
