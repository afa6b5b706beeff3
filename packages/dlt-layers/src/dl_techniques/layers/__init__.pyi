from dl_techniques.layers.activations.mish import Mish as Mish
from dl_techniques.layers.attention.group_query_attention import GroupQueryAttention as GroupQueryAttention
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
from dl_techniques.layers.embedding.patch_embedding import PatchEmbedding as PatchEmbedding
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding as RotaryPositionEmbedding
from dl_techniques.layers.ffn.swiglu_ffn import SwiGLUFFN as SwiGLUFFN
from dl_techniques.layers.layer_scale import LayerScale as LayerScale
from dl_techniques.layers.norms.global_response_normalization import GlobalResponseNormalization as GlobalResponseNormalization
from dl_techniques.layers.norms.rms_norm import RMSNorm as RMSNorm
from dl_techniques.layers.ortho_block import OrthoBlock as OrthoBlock
from dl_techniques.layers.stochastic_depth import StochasticDepth as StochasticDepth
from dl_techniques.layers.yolo.a2c2f_block import A2C2fBlock as A2C2fBlock
from dl_techniques.layers.yolo.area_attention import AreaAttention as AreaAttention
from dl_techniques.layers.yolo.attention_block import AttentionBlock as AttentionBlock
from dl_techniques.layers.yolo.bottleneck import Bottleneck as Bottleneck
from dl_techniques.layers.yolo.c3k2_block import C3k2Block as C3k2Block
from dl_techniques.layers.yolo.c3k_block import C3kBlock as C3kBlock
from dl_techniques.layers.yolo.classification_head import YOLOv12ClassificationHead as YOLOv12ClassificationHead
from dl_techniques.layers.yolo.conv_block import ConvBlock as ConvBlock
from dl_techniques.layers.yolo.decode import decode_yolov12_detections as decode_yolov12_detections
from dl_techniques.layers.yolo.detection_head import YOLOv12DetectionHead as YOLOv12DetectionHead
from dl_techniques.layers.yolo.segmentation_head import YOLOv12SegmentationHead as YOLOv12SegmentationHead
Conv2DBuilder = conv2d_builder
Downsample = downsample
GRN = GlobalResponseNormalization
GlobalResponseNorm = GlobalResponseNormalization
GroupedQueryAttention = GroupQueryAttention
LearnableMultiplier = LayerScale
UniversalInvertedBottleneck = UIB
Upsample = upsample

__all__ = [
    "A2C2fBlock",
    "AreaAttention",
    "AttentionBlock",
    "Bottleneck",
    "C3k2Block",
    "C3kBlock",
    "Conv2DBuilder",
    "ConvBlock",
    "ConvNeXtV1Block",
    "ConvNeXtV2Block",
    "ConvolutionalKAN",
    "DepthwiseConvolution",
    "Downsample",
    "GRN",
    "GlobalResponseNorm",
    "GlobalResponseNormalization",
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "LayerScale",
    "LearnableMultiplier",
    "Mish",
    "OrthoBlock",
    "PatchEmbedding",
    "PixelShuffle",
    "RMSNorm",
    "RotaryPositionEmbedding",
    "SpaceToDepth",
    "StochasticDepth",
    "SwiGLUFFN",
    "UIB",
    "UniversalInvertedBottleneck",
    "Upsample",
    "YOLOv12ClassificationHead",
    "YOLOv12DetectionHead",
    "YOLOv12SegmentationHead",
    "conv2d_builder",
    "decode_yolov12_detections",
    "downsample",
    "upsample",
]
