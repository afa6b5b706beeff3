"""Module path of `ConvolutionalKAN` in the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.conv.convolutional_kan import ConvolutionalKAN

__all__ = ["ConvolutionalKAN"]
