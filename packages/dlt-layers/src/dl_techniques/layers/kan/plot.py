"""Picture of the functions that a KAN layer has learned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from dl_techniques.layers.kan.kan_linear import KANLinear


def plot_edges(
    layer: KANLinear,
    samples: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    points: int = 201,
) -> Any:
    """Draw phi_{i,o} of each edge: a row for each output, a column for each input.

    Needs matplotlib, which `pip install "dlt-layers[plot]>=0.1,<1"` brings. The figure belongs to
    no window; `figure.savefig(path)` writes it.

    Args:
        layer: A built layer.
        samples: Inputs of the layer, `(batch, features)`, to draw each function over their range
            and to mark where they lie; `None` for the grid's range.
        input_names: Names of the features.
        output_names: Names of the units.
        points: Number of places at which a function is evaluated.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If the layer is not built.

    Example:
        >>> from dl_techniques.layers.kan.kan_linear import KANLinear
        >>> from dl_techniques.layers.kan.plot import plot_edges
        >>> layer = KANLinear(2)
        >>> layer.build((None, 3))
        >>> len(plot_edges(layer).axes)
        6
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib: pip install "dlt-layers[plot]>=0.1,<1"'
        ) from error
    layer._require_built("plot_edges")
    places = _places(layer, samples, points)
    values = np.asarray(ops.convert_to_numpy(layer.edge_values(places)), "float64")
    _, features, units = values.shape
    figure = Figure(
        figsize=(1.0 + 1.8 * features, 0.6 + 1.5 * units), layout="constrained", dpi=120
    )
    grid = figure.subplots(units, features, squeeze=False, sharex="col")
    names = input_names or [f"x{i + 1}" for i in range(features)]
    targets = output_names or [f"y{o + 1}" for o in range(units)]
    for (o, i), axes in np.ndenumerate(grid):
        axes.plot(places[:, i], values[:, i, o], color="tab:blue", linewidth=1.5)
        if samples is not None:
            _mark(axes, np.asarray(samples)[:, i])
        axes.grid(alpha=0.25)
        axes.tick_params(labelsize=7)
        if o == 0:
            axes.set_title(names[i], fontsize=9)
        if i == 0:
            axes.set_ylabel(targets[o], fontsize=9)
    return figure


def _places(layer: KANLinear, samples: Any, points: int) -> Any:
    features = layer.spline_kernel.shape[0]
    if samples is not None:
        samples = np.asarray(samples, "float64")
        return np.linspace(samples.min(axis=0), samples.max(axis=0), points)
    if layer.grid is None:
        low, high = layer.grid_range
        return np.tile(np.linspace(low, high, points)[:, None], (1, features))
    order = layer.spline_order
    knots = ops.convert_to_numpy(layer.grid)
    return np.linspace(knots[:, order], knots[:, -order - 1], points)


def _mark(axes: Any, samples: Any) -> None:
    """Mark samples by short lines on the lower edge."""
    shown = samples[:: max(1, len(samples) // 50)]
    transform = axes.get_xaxis_transform()
    axes.vlines(shown, 0, 0.04, transform=transform, color="0.5", linewidth=0.5)
