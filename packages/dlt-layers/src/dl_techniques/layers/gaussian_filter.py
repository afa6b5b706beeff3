"""Module path of `GaussianFilter` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.image.gaussian_filter import GaussianFilter

__all__ = ["GaussianFilter"]
