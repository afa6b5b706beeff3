"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.routing.gradient_routing_layer import GradientRoutingLayer

__all__ = ["GradientRoutingLayer"]
