"""Module path of `MPSLayer` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.tensor_network.mps_layer import MPSLayer

__all__ = ["MPSLayer"]
