"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.probabilistic.sampling import Sampling

__all__ = ["Sampling"]
