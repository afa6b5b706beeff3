"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.complex.complex_conv2d import ComplexConv2D
from dl_techniques.layers.complex.complex_dense import ComplexDense
from dl_techniques.layers.complex.complex_relu import ComplexReLU

__all__ = ["ComplexConv2D", "ComplexDense", "ComplexReLU"]
