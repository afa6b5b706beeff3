from dl_techniques.layers.embedding.patch_embedding import PatchEmbedding as PatchEmbedding
from dl_techniques.layers.embedding.rotary_position_embedding import RotaryPositionEmbedding as RotaryPositionEmbedding

__all__ = [
    "PatchEmbedding",
    "RotaryPositionEmbedding",
]
