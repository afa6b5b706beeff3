"""Functions that make one variant each."""

from __future__ import annotations

from typing import Final

from dl_techniques.models.vision.constructor import Constructor, constructor
from dl_techniques.models.vit.vit import ViT

ViTTiny: Final[Constructor[ViT]] = constructor(ViT, "tiny", "ViTTiny", __name__)
ViTSmall: Final[Constructor[ViT]] = constructor(ViT, "small", "ViTSmall", __name__)
ViTBase: Final[Constructor[ViT]] = constructor(ViT, "base", "ViTBase", __name__)
ViTLarge: Final[Constructor[ViT]] = constructor(ViT, "large", "ViTLarge", __name__)
ViTHuge: Final[Constructor[ViT]] = constructor(ViT, "huge", "ViTHuge", __name__)
