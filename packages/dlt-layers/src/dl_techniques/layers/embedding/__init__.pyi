from dl_techniques.layers.embedding.class_token import ClassToken as ClassToken
from dl_techniques.layers.embedding.hierarchical_capsule_stem import HierarchicalCapsuleStem as HierarchicalCapsuleStem
from dl_techniques.layers.embedding.hierarchical_mlp_stem import HierarchicalMLPStem as HierarchicalMLPStem
from dl_techniques.layers.embedding.patch_embedding1d import PatchEmbedding1d as PatchEmbedding1d
from dl_techniques.layers.embedding.patch_embedding import PatchEmbedding as PatchEmbedding
from dl_techniques.layers.embedding.patch_merging import PatchMerging as PatchMerging
from dl_techniques.layers.embedding.positional_embedding import PositionalEmbedding as PositionalEmbedding
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding as RotaryPositionEmbedding

__all__ = [
    "ClassToken",
    "HierarchicalCapsuleStem",
    "HierarchicalMLPStem",
    "PatchEmbedding",
    "PatchEmbedding1d",
    "PatchMerging",
    "PositionalEmbedding",
    "RotaryPositionEmbedding",
]
