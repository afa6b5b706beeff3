"""Picture of a map's u-matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from dl_techniques.models.som_memory.som_memory import SOMMemory


def plot_u_matrix(memory: SOMMemory, x: Any = None, labels: Any = None) -> Any:
    """Draw the u-matrix: dark cells are borders between clusters.

    Needs matplotlib, which `pip install "dlt-models-seq[plot]>=0.1,<1"` brings. The figure belongs
    to no window; `figure.savefig(path)` writes it.

    Args:
        memory: A built memory.
        x: Samples `(n, features)` to mark at their nearest prototypes; `None` for none.
        labels: Their classes `(n,)`, shown by colour; `None` for one colour.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.

    Example:
        >>> from dl_techniques.models.som_memory import SOMMemory
        >>> from dl_techniques.models.som_memory.plot import plot_u_matrix
        >>> memory = SOMMemory((2, 3))
        >>> memory.build((None, 4))
        >>> plot_u_matrix(memory).axes[0].images[0].get_array().shape
        (2, 3)
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib: pip install "dlt-models-seq[plot]>=0.1,<1"'
        ) from error
    rows, columns = memory.map_size
    figure = Figure(figsize=(2 + 0.4 * columns, 1.2 + 0.4 * rows), layout="constrained", dpi=120)
    axes = figure.subplots()
    image = axes.imshow(memory.u_matrix(), cmap="Greys", origin="upper")
    figure.colorbar(image, ax=axes, label="mean distance to neighbours")
    if x is not None:
        places = memory.predict(np.asarray(x), verbose=0)["place"]
        # Samples of one cell are moved apart.
        places = places + np.random.default_rng(0).uniform(-0.35, 0.35, places.shape)
        axes.scatter(places[:, 1], places[:, 0], s=8, c=labels, cmap="tab10")
    axes.set_xlabel("column")
    axes.set_ylabel("row")
    return figure
