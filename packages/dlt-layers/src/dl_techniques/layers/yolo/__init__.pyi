from dl_techniques.layers.yolo.bottleneck import Bottleneck as Bottleneck
from dl_techniques.layers.yolo.c3k2_block import C3k2Block as C3k2Block
from dl_techniques.layers.yolo.c3k_block import C3kBlock as C3kBlock
from dl_techniques.layers.yolo.conv_block import ConvBlock as ConvBlock

__all__ = [
    "Bottleneck",
    "C3k2Block",
    "C3kBlock",
    "ConvBlock",
]
