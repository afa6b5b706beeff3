"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.logic.advanced_logic_gate_layer import AdvancedLogicGateLayer

__all__ = ["AdvancedLogicGateLayer"]
