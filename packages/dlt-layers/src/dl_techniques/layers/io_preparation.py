"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.io.ranges import clip_tensor, denormalize_tensor, normalize_tensor

__all__ = ["clip_tensor", "denormalize_tensor", "normalize_tensor"]
