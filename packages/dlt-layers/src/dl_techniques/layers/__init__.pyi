from dl_techniques.layers.activations.basis_function import BasisFunction as BasisFunction
from dl_techniques.layers.activations.gelu import GELU as GELU
from dl_techniques.layers.activations.mish import Mish as Mish
from dl_techniques.layers.activations.quick_gelu import QuickGELU as QuickGELU
from dl_techniques.layers.activations.relu_k import ReLUK as ReLUK
from dl_techniques.layers.activations.saturated_mish import SaturatedMish as SaturatedMish
from dl_techniques.layers.activations.silu import SiLU as SiLU
from dl_techniques.layers.activations.xatlu import xATLU as xATLU
from dl_techniques.layers.activations.xgelu import xGELU as xGELU
from dl_techniques.layers.activations.xsilu import xSiLU as xSiLU
from dl_techniques.layers.attention.adaptive_multi_head_attention import AdaptiveMultiHeadAttention as AdaptiveMultiHeadAttention
from dl_techniques.layers.attention.adaptive_softmax import AdaptiveSoftmax as AdaptiveSoftmax
from dl_techniques.layers.attention.cbam import CBAM as CBAM
from dl_techniques.layers.attention.channel_attention import ChannelAttention as ChannelAttention
from dl_techniques.layers.attention.differential_attention import DifferentialAttention as DifferentialAttention
from dl_techniques.layers.attention.group_query_attention import GroupQueryAttention as GroupQueryAttention
from dl_techniques.layers.attention.hopfield_attention import HopfieldAttention as HopfieldAttention
from dl_techniques.layers.attention.mobile_mqa import MobileMQA as MobileMQA
from dl_techniques.layers.attention.mobile_mqa_block import MobileMQABlock as MobileMQABlock
from dl_techniques.layers.attention.non_local_attention import NonLocalAttention as NonLocalAttention
from dl_techniques.layers.attention.sparse_attention import SparseAttention as SparseAttention
from dl_techniques.layers.attention.spatial_attention import SpatialAttention as SpatialAttention
from dl_techniques.layers.attention.window_attention import WindowAttention as WindowAttention
from dl_techniques.layers.capsules.capsule_block import CapsuleBlock as CapsuleBlock
from dl_techniques.layers.capsules.primary_capsule import PrimaryCapsule as PrimaryCapsule
from dl_techniques.layers.capsules.routing_capsule import RoutingCapsule as RoutingCapsule
from dl_techniques.layers.capsules.squash_layer import SquashLayer as SquashLayer
from dl_techniques.layers.complex.complex_conv2d import ComplexConv2D as ComplexConv2D
from dl_techniques.layers.complex.complex_dense import ComplexDense as ComplexDense
from dl_techniques.layers.complex.complex_relu import ComplexReLU as ComplexReLU
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
from dl_techniques.layers.embedding.class_token import ClassToken as ClassToken
from dl_techniques.layers.embedding.hierarchical_capsule_stem import HierarchicalCapsuleStem as HierarchicalCapsuleStem
from dl_techniques.layers.embedding.hierarchical_mlp_stem import HierarchicalMLPStem as HierarchicalMLPStem
from dl_techniques.layers.embedding.patch_embedding1d import PatchEmbedding1d as PatchEmbedding1d
from dl_techniques.layers.embedding.patch_embedding import PatchEmbedding as PatchEmbedding
from dl_techniques.layers.embedding.patch_merging import PatchMerging as PatchMerging
from dl_techniques.layers.embedding.positional_embedding import PositionalEmbedding as PositionalEmbedding
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding as RotaryPositionEmbedding
from dl_techniques.layers.ffn.differential_ffn import DifferentialFFN as DifferentialFFN
from dl_techniques.layers.ffn.gated_mlp import GatedMLP as GatedMLP
from dl_techniques.layers.ffn.glu_ffn import GLUFFN as GLUFFN
from dl_techniques.layers.ffn.mlp_block import MLPBlock as MLPBlock
from dl_techniques.layers.ffn.residual_block import ResidualBlock as ResidualBlock
from dl_techniques.layers.ffn.swiglu_ffn import SwiGLUFFN as SwiGLUFFN
from dl_techniques.layers.ffn.swin_mlp import SwinMLP as SwinMLP
from dl_techniques.layers.image.advanced_laplacian_filter import AdvancedLaplacianFilter as AdvancedLaplacianFilter
from dl_techniques.layers.image.canny import Canny as Canny
from dl_techniques.layers.image.clahe import CLAHE as CLAHE
from dl_techniques.layers.image.gaussian_filter import GaussianFilter as GaussianFilter
from dl_techniques.layers.image.laplacian_filter import LaplacianFilter as LaplacianFilter
from dl_techniques.layers.image.shearlet_transform import ShearletTransform as ShearletTransform
from dl_techniques.layers.io.range_rescaling import RangeRescaling as RangeRescaling
from dl_techniques.layers.io.ranges import clip_tensor as clip_tensor
from dl_techniques.layers.io.ranges import denormalize_tensor as denormalize_tensor
from dl_techniques.layers.io.ranges import normalize_tensor as normalize_tensor
from dl_techniques.layers.kan.kan_linear import KANLinear as KANLinear
from dl_techniques.layers.layer_scale import LayerScale as LayerScale
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
from dl_techniques.layers.norms.band_logit_norm import BandLogitNorm as BandLogitNorm
from dl_techniques.layers.norms.band_rms import BandRMS as BandRMS
from dl_techniques.layers.norms.coupled_rms_norm import CoupledRMSNorm as CoupledRMSNorm
from dl_techniques.layers.norms.decoupled_max_logit import DecoupledMaxLogit as DecoupledMaxLogit
from dl_techniques.layers.norms.dyt_layer import DyTLayer as DyTLayer
from dl_techniques.layers.norms.global_response_normalization import GlobalResponseNormalization as GlobalResponseNormalization
from dl_techniques.layers.norms.logit_norm import LogitNorm as LogitNorm
from dl_techniques.layers.norms.max_logit_norm import MaxLogitNorm as MaxLogitNorm
from dl_techniques.layers.norms.rms_norm import RMSNorm as RMSNorm
from dl_techniques.layers.ortho_block import OrthoBlock as OrthoBlock
from dl_techniques.layers.power_mlp_layer import PowerMLPLayer as PowerMLPLayer
from dl_techniques.layers.probabilistic.mdn_layer import MDNLayer as MDNLayer
from dl_techniques.layers.probabilistic.mixtures import mdn_moments as mdn_moments
from dl_techniques.layers.probabilistic.mixtures import mdn_nll as mdn_nll
from dl_techniques.layers.probabilistic.mixtures import mdn_sample as mdn_sample
from dl_techniques.layers.probabilistic.quantile_head import QuantileHead as QuantileHead
from dl_techniques.layers.probabilistic.sampling import Sampling as Sampling
from dl_techniques.layers.prototype.kmeans_layer import KMeansLayer as KMeansLayer
from dl_techniques.layers.prototype.rbf import RBF as RBF
from dl_techniques.layers.prototype.som2d_layer import SOM2dLayer as SOM2dLayer
from dl_techniques.layers.quantized.bit_linear import BitLinear as BitLinear
from dl_techniques.layers.quantized.packed_bit_linear import PackedBitLinear as PackedBitLinear
from dl_techniques.layers.routing.batch_conditional_output_layer import BatchConditionalOutputLayer as BatchConditionalOutputLayer
from dl_techniques.layers.routing.gradient_routing_layer import GradientRoutingLayer as GradientRoutingLayer
from dl_techniques.layers.stochastic_depth import StochasticDepth as StochasticDepth
from dl_techniques.layers.tensor_network.mps_layer import MPSLayer as MPSLayer
from dl_techniques.layers.transformer.convolutional_transformer_block import ConvolutionalTransformerBlock as ConvolutionalTransformerBlock
from dl_techniques.layers.transformer.mixed_sequential_block import MixedSequentialBlock as MixedSequentialBlock
from dl_techniques.layers.transformer.swin_conv_block import SwinConvBlock as SwinConvBlock
from dl_techniques.layers.transformer.swin_transformer_block import SwinTransformerBlock as SwinTransformerBlock
from dl_techniques.layers.transformer.vision_transformer_layer import VisionTransformerLayer as VisionTransformerLayer
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
AdaptiveTemperatureSoftmax = AdaptiveSoftmax
ConditionalOutput = BatchConditionalOutputLayer
Conv2DBuilder = conv2d_builder
DifferentialMultiHeadAttention = DifferentialAttention
Downsample = downsample
DynamicTanh = DyTLayer
GRN = GlobalResponseNormalization
GlobalResponseNorm = GlobalResponseNormalization
GroupedQueryAttention = GroupQueryAttention
KAN = KANLinear
LearnableMultiplier = LayerScale
SelectiveGradientMask = GradientRoutingLayer
UniversalInvertedBottleneck = UIB
Upsample = upsample

__all__ = [
    "A2C2fBlock",
    "AdaptiveMultiHeadAttention",
    "AdaptiveSoftmax",
    "AdaptiveTemperatureSoftmax",
    "AdvancedLaplacianFilter",
    "AdvancedLogicGateLayer",
    "AreaAttention",
    "AttentionBlock",
    "BandLogitNorm",
    "BandRMS",
    "BasisFunction",
    "BatchConditionalOutputLayer",
    "BitLinear",
    "Bottleneck",
    "C3k2Block",
    "C3kBlock",
    "CBAM",
    "CLAHE",
    "Canny",
    "CapsuleBlock",
    "ChannelAttention",
    "ClassToken",
    "ComplexConv2D",
    "ComplexDense",
    "ComplexReLU",
    "ConditionalOutput",
    "Conv2DBuilder",
    "ConvBlock",
    "ConvNeXtV1Block",
    "ConvNeXtV2Block",
    "ConvolutionalKAN",
    "ConvolutionalTransformerBlock",
    "CoupledRMSNorm",
    "DecoupledMaxLogit",
    "DepthwiseConvolution",
    "DifferentialAttention",
    "DifferentialFFN",
    "DifferentialMultiHeadAttention",
    "Downsample",
    "DyTLayer",
    "DynamicTanh",
    "FuzzyANDGateLayer",
    "FuzzyEQUIVGateLayer",
    "FuzzyIMPLIESGateLayer",
    "FuzzyNANDGateLayer",
    "FuzzyNORGateLayer",
    "FuzzyNOTGateLayer",
    "FuzzyORGateLayer",
    "FuzzyXNORGateLayer",
    "FuzzyXORGateLayer",
    "GELU",
    "GLUFFN",
    "GRN",
    "GatedMLP",
    "GaussianFilter",
    "GlobalResponseNorm",
    "GlobalResponseNormalization",
    "GradientRoutingLayer",
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "HierarchicalCapsuleStem",
    "HierarchicalMLPStem",
    "HopfieldAttention",
    "KAN",
    "KANLinear",
    "KMeansLayer",
    "LaplacianFilter",
    "LayerScale",
    "LearnableMultiplier",
    "LogitNorm",
    "MDNLayer",
    "MLPBlock",
    "MPSLayer",
    "MaxLogitNorm",
    "Mish",
    "MixedSequentialBlock",
    "MobileMQA",
    "MobileMQABlock",
    "NonLocalAttention",
    "OrthoBlock",
    "PackedBitLinear",
    "PatchEmbedding",
    "PatchEmbedding1d",
    "PatchMerging",
    "PixelShuffle",
    "PositionalEmbedding",
    "PowerMLPLayer",
    "PrimaryCapsule",
    "QuantileHead",
    "QuickGELU",
    "RBF",
    "RMSNorm",
    "RangeRescaling",
    "ReLUK",
    "ResidualBlock",
    "RotaryPositionEmbedding",
    "RoutingCapsule",
    "SOM2dLayer",
    "Sampling",
    "SaturatedMish",
    "SelectiveGradientMask",
    "ShearletTransform",
    "SiLU",
    "SpaceToDepth",
    "SparseAttention",
    "SpatialAttention",
    "SquashLayer",
    "StochasticDepth",
    "SwiGLUFFN",
    "SwinConvBlock",
    "SwinMLP",
    "SwinTransformerBlock",
    "UIB",
    "UniversalInvertedBottleneck",
    "Upsample",
    "VisionTransformerLayer",
    "WindowAttention",
    "YOLOv12ClassificationHead",
    "YOLOv12DetectionHead",
    "YOLOv12SegmentationHead",
    "clip_tensor",
    "conv2d_builder",
    "decode_yolov12_detections",
    "denormalize_tensor",
    "downsample",
    "logic_op",
    "mdn_moments",
    "mdn_nll",
    "mdn_sample",
    "normalize_tensor",
    "upsample",
    "xATLU",
    "xGELU",
    "xSiLU",
]
