"""Picture of a forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dl_techniques.models.tirex.forecaster import LEVELS


def plot_forecast(
    context: Any, forecast: Any, levels: Sequence[float] = LEVELS, actual: Any = None
) -> Any:
    """Draw a series, the median of its forecast and a band for each pair of levels.

    Needs matplotlib, which `pip install "dlt-models-seq[plot]>=0.1,<1"` brings. The figure belongs
    to no window; `figure.savefig(path)` writes it.

    Args:
        context: The series `(time,)`, an array or a pandas Series.
        forecast: Quantiles `(steps, levels)`, an array or the DataFrame of `forecast`, whose
            columns replace `levels`.
        levels: Their levels, ascending.
        actual: What came `(steps,)`; `None` if it is not known.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there are not as many levels as quantiles.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.tirex.plot import plot_forecast
        >>> bands = np.linspace(-1, 1, 9)[None] * np.ones((6, 1))
        >>> len(plot_forecast(np.zeros(20), bands).axes[0].collections)
        4
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib: pip install "dlt-models-seq[plot]>=0.1,<1"'
        ) from error
    past = np.arange(len(context)) if not hasattr(context, "index") else _ticks(context.index)
    ahead = np.arange(len(context), len(context) + len(forecast))
    if hasattr(forecast, "columns"):
        levels, ahead = list(forecast.columns), _ticks(forecast.index)
    values = np.asarray(forecast, "float64")
    if values.ndim != 2 or values.shape[1] != len(levels):
        raise ValueError(
            "`levels` must be one for each quantile of one series. "
            f"Received: shape={values.shape}, levels={list(levels)}"
        )
    figure = Figure(figsize=(8, 3), layout="constrained", dpi=120)
    axes = figure.subplots()
    axes.plot(past, np.asarray(context, "float64"), color="black", linewidth=1, label="series")
    pairs = len(levels) // 2
    for i in range(pairs):
        label = f"{levels[i]:g} to {levels[-1 - i]:g}"
        low, high = values[:, i], values[:, -1 - i]
        axes.fill_between(ahead, low, high, color="tab:blue", alpha=0.7 / pairs, lw=0, label=label)
    middle = values[:, pairs] if len(levels) % 2 else values[:, pairs - 1 : pairs + 1].mean(-1)
    axes.plot(ahead, middle, color="tab:blue", label="median")
    if actual is not None:
        axes.plot(ahead, np.asarray(actual, "float64"), color="tab:orange", label="actual")
    axes.legend(loc="upper left", fontsize="small")
    return figure


def _ticks(index: Any) -> Any:
    """The places of an index on an axis."""
    return index.to_timestamp() if hasattr(index, "to_timestamp") else index
