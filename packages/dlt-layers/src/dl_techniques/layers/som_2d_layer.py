"""Module path of `SOM2dLayer` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.prototype.som2d_layer import SOM2dLayer

__all__ = ["SOM2dLayer"]
