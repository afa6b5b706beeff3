from dl_techniques.layers.logic.advanced_logic_gate_layer import AdvancedLogicGateLayer as AdvancedLogicGateLayer
from dl_techniques.layers.logic.fuzzy_and_gate_layer import FuzzyANDGateLayer as FuzzyANDGateLayer
from dl_techniques.layers.logic.fuzzy_equiv_gate_layer import FuzzyEQUIVGateLayer as FuzzyEQUIVGateLayer
from dl_techniques.layers.logic.fuzzy_implies_gate_layer import FuzzyIMPLIESGateLayer as FuzzyIMPLIESGateLayer
from dl_techniques.layers.logic.fuzzy_nand_gate_layer import FuzzyNANDGateLayer as FuzzyNANDGateLayer
from dl_techniques.layers.logic.fuzzy_nor_gate_layer import FuzzyNORGateLayer as FuzzyNORGateLayer
from dl_techniques.layers.logic.fuzzy_not_gate_layer import FuzzyNOTGateLayer as FuzzyNOTGateLayer
from dl_techniques.layers.logic.fuzzy_or_gate_layer import FuzzyORGateLayer as FuzzyORGateLayer
from dl_techniques.layers.logic.fuzzy_xnor_gate_layer import FuzzyXNORGateLayer as FuzzyXNORGateLayer
from dl_techniques.layers.logic.fuzzy_xor_gate_layer import FuzzyXORGateLayer as FuzzyXORGateLayer
from dl_techniques.layers.logic.logic_operations import logic_op as logic_op

__all__ = [
    "AdvancedLogicGateLayer",
    "FuzzyANDGateLayer",
    "FuzzyEQUIVGateLayer",
    "FuzzyIMPLIESGateLayer",
    "FuzzyNANDGateLayer",
    "FuzzyNORGateLayer",
    "FuzzyNOTGateLayer",
    "FuzzyORGateLayer",
    "FuzzyXNORGateLayer",
    "FuzzyXORGateLayer",
    "logic_op",
]
