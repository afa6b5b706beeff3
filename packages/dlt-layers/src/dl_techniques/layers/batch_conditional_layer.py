"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.routing.batch_conditional_output_layer import BatchConditionalOutputLayer

__all__ = ["BatchConditionalOutputLayer"]
