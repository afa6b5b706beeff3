from dl_techniques.layers.kan.kan_linear import KANLinear as KANLinear
KAN = KANLinear

__all__ = [
    "KAN",
    "KANLinear",
]
