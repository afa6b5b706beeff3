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
AdaptiveTemperatureSoftmax = AdaptiveSoftmax
DifferentialMultiHeadAttention = DifferentialAttention
GroupedQueryAttention = GroupQueryAttention

__all__ = [
    "AdaptiveMultiHeadAttention",
    "AdaptiveSoftmax",
    "AdaptiveTemperatureSoftmax",
    "CBAM",
    "ChannelAttention",
    "DifferentialAttention",
    "DifferentialMultiHeadAttention",
    "GroupQueryAttention",
    "GroupedQueryAttention",
    "HopfieldAttention",
    "MobileMQA",
    "MobileMQABlock",
    "NonLocalAttention",
    "SparseAttention",
    "SpatialAttention",
    "WindowAttention",
]
