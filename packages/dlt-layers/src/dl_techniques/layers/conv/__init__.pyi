from dl_techniques.layers.conv.depthwise import DepthwiseConvolution as DepthwiseConvolution

__all__ = [
    "DepthwiseConvolution",
]
