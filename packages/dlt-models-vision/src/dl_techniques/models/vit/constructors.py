"""Functions that make one variant each."""

from __future__ import annotations

from typing import Final

from dl_techniques.models.vision.constructor import Constructor, constructor
from dl_techniques.models.vit.vit import ViT
from dl_techniques.models.vit.vit_hmlp import ViTHMLP

ViTTiny: Final[Constructor[ViT]] = constructor("ViTTiny", ViT, "tiny")
ViTSmall: Final[Constructor[ViT]] = constructor("ViTSmall", ViT, "small")
ViTBase: Final[Constructor[ViT]] = constructor("ViTBase", ViT, "base")
ViTLarge: Final[Constructor[ViT]] = constructor("ViTLarge", ViT, "large")
ViTHuge: Final[Constructor[ViT]] = constructor("ViTHuge", ViT, "huge")
ViTHMLPTiny: Final[Constructor[ViTHMLP]] = constructor("ViTHMLPTiny", ViTHMLP, "tiny")
ViTHMLPSmall: Final[Constructor[ViTHMLP]] = constructor("ViTHMLPSmall", ViTHMLP, "small")
ViTHMLPBase: Final[Constructor[ViTHMLP]] = constructor("ViTHMLPBase", ViTHMLP, "base")
ViTHMLPLarge: Final[Constructor[ViTHMLP]] = constructor("ViTHMLPLarge", ViTHMLP, "large")
