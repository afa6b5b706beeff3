from dl_techniques.layers.complex.complex_conv2d import ComplexConv2D as ComplexConv2D
from dl_techniques.layers.complex.complex_dense import ComplexDense as ComplexDense
from dl_techniques.layers.complex.complex_relu import ComplexReLU as ComplexReLU

__all__ = [
    "ComplexConv2D",
    "ComplexDense",
    "ComplexReLU",
]
