"""Which distribution of this family brings which component: data for hints, nothing else.

Only for telling what to install. What is installed is known from manifests, never from here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE


class Distribution(NamedTuple):
    """One distribution of the family."""

    requirement: str
    """What to give to pip. The ceiling matters: other projects publish under similar names."""
    packages: tuple[str, ...]
    """The import packages that it owns."""
    components: str = ""
    """Bare names of the components that it brings or will bring, separated by white space."""


DISTRIBUTIONS: Final[dict[str, Distribution]] = {
    "dlt-core": Distribution(
        "dlt-core>=0.1,<1",
        ("dl_techniques.core", "dl_techniques.utils"),
    ),
    "dlt-keras": Distribution(
        "dlt-keras>=0.1,<1",
        ("dl_techniques.keras_reference",),
    ),
    "dlt-layers": Distribution(
        "dlt-layers>=0.1,<1",
        (
            "dl_techniques.layers",
            "dl_techniques.initializers",
            "dl_techniques.regularizers",
            "dl_techniques.constraints",
        ),
        """
        A2C2fBlock AdaptiveMultiHeadAttention AdaptiveSoftmax AdaptiveTemperatureSoftmax
        AdvancedLaplacianFilter AdvancedLogicGateLayer AreaAttention AttentionBlock BandLogitNorm
        BandRMS BasisFunction BatchConditionalOutputLayer BinaryPreferenceRegularizer BitLinear
        Bottleneck C3k2Block C3kBlock CBAM CLAHE Canny CapsuleBlock ChannelAttention ComplexConv2D
        ComplexDense ComplexReLU ConditionalOutput Conv2DBuilder ConvBlock ConvNeXtV1Block
        ConvNeXtV2Block ConvolutionalKAN ConvolutionalTransformerBlock CoupledRMSNorm
        DecoupledMaxLogit DepthwiseConvolution DifferentialAttention DifferentialFFN
        DifferentialMultiHeadAttention Downsample DyTLayer DynamicTanh EntropyRegularizer
        FuzzyANDGateLayer FuzzyORGateLayer GELU GLUFFN GRN GatedMLP GaussianFilter
        GlobalResponseNorm GlobalResponseNormalization GradientRoutingLayer GroupQueryAttention
        GroupedQueryAttention HaarWaveletInitializer HeOrthonormalInitializer
        HierarchicalCapsuleStem HierarchicalMLPStem HopfieldAttention KAN KANLinear KMeansLayer
        LaplacianFilter LayerScale LearnableMultiplier LogitNorm MDNLayer MLPBlock MPSLayer
        MaxLogitNorm Mish MixedSequentialBlock MobileMQA NonLocalAttention OrthoBlock
        OrthonormalInitializer PatchEmbedding PatchEmbedding1d PixelShuffle PositionalEmbedding
        PowerMLPLayer PrimaryCapsule QuantileHead RBF RMSNorm ReLUK ResidualBlock
        RotaryPositionEmbedding RoutingCapsule SOM2dLayer SRIPRegularizer Sampling SaturatedMish
        SelectiveGradientMask ShearletTransform SiLU SoftOrthogonal SoftOrthonormal SpaceToDepth
        SparseAttention SpatialAttention SquashLayer StochasticDepth SwiGLUFFN SwinConvBlock
        SwinMLP SwinTransformerBlock TriStatePreferenceRegularizer UIB UniversalInvertedBottleneck
        Upsample ValueRangeConstraint VisionTransformerLayer WindowAttention
        YOLOv12ClassificationHead YOLOv12DetectionHead YOLOv12SegmentationHead conv2d_builder
        decode_yolov12_detections downsample upsample xATLU xGELU xSiLU
        """,
    ),
    "dlt-losses": Distribution(
        "dlt-losses>=0.1,<1",
        ("dl_techniques.losses", "dl_techniques.metrics"),
        """
        AccuracyLoss AnyLoss ApproximationFunction BalancedAccuracyLoss BoundaryLoss
        BrierScoreLoss BrierSpiegelhalterLoss CLIPAccuracy CLIPContrastiveLoss CapsuleMarginLoss
        ClusteringLoss ComboLoss DiceCELoss DiceFocalLoss DiceLoss ExpectedCalibrationError F1Loss
        FBetaLoss FocalLoss FocalTverskyLoss GeneralizedDiceLoss GeometricMeanLoss
        GoodhartAwareLoss HausdorffDTLoss JaccardLoss LovaszLoss SigLipLoss SpiegelhalterZLoss
        TverskyLoss YOLOv12MultiTaskLoss YOLOv12ObjectDetectionLoss jaccard_index
        retrieval_recall
        """,
    ),
    "dlt-models-vision": Distribution(
        "dlt-models-vision>=0.1,<1",
        ("dl_techniques.models",),
        """
        CLIP CapsNet CoShNet ConvNeXtV1 ConvNeXtV2 ConvUNext DepthAnything MobileNetV4 SCUNet
        SwinTransformer VAE ViT ViTHMLP YOLOv12
        """,
    ),
    "dlt-models-seq": Distribution(
        "dlt-models-seq>=0.1,<1",
        ("dl_techniques.models",),
        "HolographicMPSNet MDN PowerMLP SOMMemory TiRex TiRexCore",
    ),
    "dlt-weightwatcher": Distribution(
        "dlt-weightwatcher>=0.1,<1",
        ("dl_techniques.weightwatcher",),
        """
        AlphaCallback WeightWatcher alpha analyze_model compare_models concentration_score
        describe_model eigenvalues fit_powerlaw matrix_entropy mp_fit sharpen_model smooth_model
        stable_rank
        """,
    ),
    "dlt-train": Distribution(
        "dlt-train>=0.1,<1",
        ("dl_techniques.optimization", "dl_techniques.callbacks"),
        "DeepSupervision WarmupSchedule optimizer_builder schedule_builder",
    ),
    "dlt-analyzer": Distribution(
        "dlt-analyzer>=0.1,<1",
        ("dl_techniques.analyzer", "dl_techniques.visualization"),
        "ActivationDistributionAnalyzer ModelAnalyzer VisualizationManager",
    ),
    "dlt-datasets": Distribution(
        "dlt-datasets>=0.1,<1",
        ("dl_techniques.datasets",),
        "cifar10 mnist",
    ),
}


def owner_of(identifier: str) -> str | None:
    """The first-party distribution that brings a component, installed or not.

    Args:
        identifier: `dl_techniques>Name`, or a bare name.

    Example:
        >>> owner_of("dl_techniques>TiRex")
        'dlt-models-seq'
    """
    namespace, separator, name = identifier.partition(">")
    if not separator:
        name = namespace
    elif namespace != FIRST_PARTY_NAMESPACE:
        return None
    for distribution, facts in DISTRIBUTIONS.items():
        if name in facts.components.split():
            return distribution
    return None
