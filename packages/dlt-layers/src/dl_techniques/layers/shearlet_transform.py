"""Module path of `ShearletTransform` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.image.shearlet_transform import ShearletTransform

__all__ = ["ShearletTransform"]
