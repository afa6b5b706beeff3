"""Module path of the Laplacian filters in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.image.advanced_laplacian_filter import AdvancedLaplacianFilter
from dl_techniques.layers.image.laplacian_filter import LaplacianFilter

__all__ = ["AdvancedLaplacianFilter", "LaplacianFilter"]
