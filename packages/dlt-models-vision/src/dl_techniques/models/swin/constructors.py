"""Functions that make one variant each."""

from __future__ import annotations

from typing import Final

from dl_techniques.models.swin.swin_transformer import SwinTransformer
from dl_techniques.models.vision.constructor import Constructor, constructor

SwinTiny: Final[Constructor[SwinTransformer]] = constructor("SwinTiny", SwinTransformer, "tiny")
SwinSmall: Final[Constructor[SwinTransformer]] = constructor("SwinSmall", SwinTransformer, "small")
SwinBase: Final[Constructor[SwinTransformer]] = constructor("SwinBase", SwinTransformer, "base")
SwinLarge: Final[Constructor[SwinTransformer]] = constructor("SwinLarge", SwinTransformer, "large")
