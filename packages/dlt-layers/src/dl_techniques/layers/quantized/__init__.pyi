from dl_techniques.layers.quantized.bit_linear import BitLinear as BitLinear
from dl_techniques.layers.quantized.packed_bit_linear import PackedBitLinear as PackedBitLinear

__all__ = [
    "BitLinear",
    "PackedBitLinear",
]
