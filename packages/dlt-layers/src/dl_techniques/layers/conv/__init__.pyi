from dl_techniques.layers.conv.conv2d_builder import conv2d_builder as conv2d_builder
from dl_techniques.layers.conv.convnext_v1_block import ConvNeXtV1Block as ConvNeXtV1Block
from dl_techniques.layers.conv.convnext_v2_block import ConvNeXtV2Block as ConvNeXtV2Block
from dl_techniques.layers.conv.convolutional_kan import ConvolutionalKAN as ConvolutionalKAN
from dl_techniques.layers.conv.depthwise import DepthwiseConvolution as DepthwiseConvolution
from dl_techniques.layers.conv.downsample import downsample as downsample
from dl_techniques.layers.conv.pixel_shuffle import PixelShuffle as PixelShuffle
from dl_techniques.layers.conv.space_to_depth import SpaceToDepth as SpaceToDepth
from dl_techniques.layers.conv.universal_inverted_bottleneck import UIB as UIB
from dl_techniques.layers.conv.upsample import upsample as upsample
Conv2DBuilder = conv2d_builder
Downsample = downsample
UniversalInvertedBottleneck = UIB
Upsample = upsample

__all__ = [
    "Conv2DBuilder",
    "ConvNeXtV1Block",
    "ConvNeXtV2Block",
    "ConvolutionalKAN",
    "DepthwiseConvolution",
    "Downsample",
    "PixelShuffle",
    "SpaceToDepth",
    "UIB",
    "UniversalInvertedBottleneck",
    "Upsample",
    "conv2d_builder",
    "downsample",
    "upsample",
]
