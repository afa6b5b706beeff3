"""Photographs that scikit-image and scikit-learn ship."""

from __future__ import annotations

from typing import Any

import numpy as np


def photos() -> dict[str, Any]:
    """Name -> (height, width, 3) of bytes."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    china, flower = load_sample_images().images
    camera = data.camera()
    return {
        "chelsea": data.chelsea(),
        "coffee": data.coffee(),
        "camera": np.stack([camera] * 3, axis=-1),
        "china": china,
        "flower": flower,
        "motorcycle": data.stereo_motorcycle()[0],
        "rocket": data.rocket(),
        "astronaut": data.astronaut(),
        "coins": np.stack([data.coins()] * 3, axis=-1),
    }
