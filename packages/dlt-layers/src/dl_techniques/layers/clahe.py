"""Module path of `CLAHE` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.image.clahe import CLAHE

__all__ = ["CLAHE"]
