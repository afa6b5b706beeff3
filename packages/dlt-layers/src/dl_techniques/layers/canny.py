"""Module path of `Canny` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.image.canny import Canny

__all__ = ["Canny"]
