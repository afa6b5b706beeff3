"""Module path of the original dl_techniques, kept for its users."""

from __future__ import annotations

from dl_techniques.layers.logic.fuzzy_and_gate_layer import FuzzyANDGateLayer
from dl_techniques.layers.logic.fuzzy_equiv_gate_layer import FuzzyEQUIVGateLayer
from dl_techniques.layers.logic.fuzzy_implies_gate_layer import FuzzyIMPLIESGateLayer
from dl_techniques.layers.logic.fuzzy_nand_gate_layer import FuzzyNANDGateLayer
from dl_techniques.layers.logic.fuzzy_nor_gate_layer import FuzzyNORGateLayer
from dl_techniques.layers.logic.fuzzy_not_gate_layer import FuzzyNOTGateLayer
from dl_techniques.layers.logic.fuzzy_or_gate_layer import FuzzyORGateLayer
from dl_techniques.layers.logic.fuzzy_xnor_gate_layer import FuzzyXNORGateLayer
from dl_techniques.layers.logic.fuzzy_xor_gate_layer import FuzzyXORGateLayer

__all__ = [
    "FuzzyANDGateLayer",
    "FuzzyEQUIVGateLayer",
    "FuzzyIMPLIESGateLayer",
    "FuzzyNANDGateLayer",
    "FuzzyNORGateLayer",
    "FuzzyNOTGateLayer",
    "FuzzyORGateLayer",
    "FuzzyXNORGateLayer",
    "FuzzyXORGateLayer",
]
