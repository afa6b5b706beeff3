"""Pictures as files of a folder."""

from __future__ import annotations

import re
from pathlib import Path

from dl_techniques.core.atomic_write import replacing
from dl_techniques.weightwatcher.report.figures import (
    depth_figure,
    draw,
    flow_figure,
    heat_figure,
    to_png,
)
from dl_techniques.weightwatcher.result import Analysis


def write_pictures(result: Analysis, folder: Path) -> list[Path]:
    """Write the overviews and one spectrum for each layer as PNG files.

    Args:
        result: The analysis.
        folder: Where to; made where it does not exist.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        "alpha_by_depth": depth_figure,
        "flow": flow_figure,
        "metrics": heat_figure,
    }
    written = [_write(folder / f"{name}.png", make(result)) for name, make in figures.items()]
    for layer in result:
        if layer.esd.size > 1 and layer.esd[-1] > 0:
            name = re.sub(r"[^\w.-]+", "_", layer["longname"])[-80:]
            file = folder / f"esd_{layer['layer_id']:04d}_{name}.png"
            written.append(_write(file, draw(result, "esd", layer["longname"])))
    return written


def _write(path: Path, figure: object) -> Path:
    with replacing(path) as temporary:
        temporary.write_bytes(to_png(figure))
    return path
