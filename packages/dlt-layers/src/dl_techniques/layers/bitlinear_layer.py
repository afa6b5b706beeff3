"""Module path of `BitLinear` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.quantized.bit_linear import BitLinear

__all__ = ["BitLinear"]
