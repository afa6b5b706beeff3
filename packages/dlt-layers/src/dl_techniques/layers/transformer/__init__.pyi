from dl_techniques.layers.transformer.convolutional_transformer_block import ConvolutionalTransformerBlock as ConvolutionalTransformerBlock
from dl_techniques.layers.transformer.mixed_sequential_block import MixedSequentialBlock as MixedSequentialBlock
from dl_techniques.layers.transformer.swin_conv_block import SwinConvBlock as SwinConvBlock
from dl_techniques.layers.transformer.swin_transformer_block import SwinTransformerBlock as SwinTransformerBlock
from dl_techniques.layers.transformer.vision_transformer_layer import VisionTransformerLayer as VisionTransformerLayer

__all__ = [
    "ConvolutionalTransformerBlock",
    "MixedSequentialBlock",
    "SwinConvBlock",
    "SwinTransformerBlock",
    "VisionTransformerLayer",
]
