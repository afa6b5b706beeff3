"""Module path of `RBF` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.prototype.rbf import RBF

__all__ = ["RBF"]
