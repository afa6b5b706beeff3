"""Signed distance maps for the boundary loss, in a data pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.ndimage import distance_transform_edt

from dl_techniques.core import component


@component(
    "dl_techniques>signed_distance_map",
    kind="function",
    tags=("segmentation", "boundary"),
    paper="arXiv:1812.07032",
    since="0.1",
)
def signed_distance_map(masks: Any, sampling: Sequence[float] | None = None) -> Any:
    """Signed distance of each pixel to the border of a region, for `BoundaryLoss`.

    phi = edt(1 - g) (1 - g) - (edt(g) - 1) g: above zero outside of the region g, zero on its first
    pixels inside, below zero further inside; zero everywhere if g is empty or full

    It runs on the CPU, on NumPy arrays, before training: `BoundaryLoss(precomputed=True)` takes
    what it returns.

    Args:
        masks: `(batch, ..., classes)`, with 1 inside of the region; any number of spatial axes.
        sampling: Size of a pixel along each spatial axis; `None` for 1.

    Returns:
        A float32 array of the shape of `masks`.

    Raises:
        ValueError: If there is no spatial axis.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import signed_distance_map
        >>> mask = np.array([1, 1, 1, 0, 0]).reshape(1, 5, 1)
        >>> signed_distance_map(mask).ravel().tolist()
        [-2.0, -1.0, 0.0, 1.0, 2.0]

    References:
        Kervadec et al., "Boundary loss for highly unbalanced segmentation", arXiv:1812.07032.
    """
    regions = np.asarray(masks) > 0.5
    if regions.ndim < 3:
        raise ValueError(
            "`masks` must have a batch axis, spatial axes and a class axis. "
            f"Received: masks of shape {regions.shape}"
        )
    distances = np.zeros(regions.shape, "float32")
    for sample, kind in np.ndindex(regions.shape[0], regions.shape[-1]):
        region = regions[sample, ..., kind]
        if region.any() and not region.all():
            outside = distance_transform_edt(~region, sampling)
            inside = distance_transform_edt(region, sampling)
            distances[sample, ..., kind] = outside * ~region - (inside - 1.0) * region
    return distances
