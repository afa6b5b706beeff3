"""Functions that make one variant each."""

from __future__ import annotations

from typing import Final

from dl_techniques.models.mobilenet_v4.mobilenet_v4 import MobileNetV4
from dl_techniques.models.vision.constructor import Constructor, constructor

MobileNetV4ConvSmall: Final[Constructor[MobileNetV4]] = constructor(
    "MobileNetV4ConvSmall", MobileNetV4, "conv_small"
)
MobileNetV4ConvMedium: Final[Constructor[MobileNetV4]] = constructor(
    "MobileNetV4ConvMedium", MobileNetV4, "conv_medium"
)
MobileNetV4ConvLarge: Final[Constructor[MobileNetV4]] = constructor(
    "MobileNetV4ConvLarge", MobileNetV4, "conv_large"
)
MobileNetV4HybridMedium: Final[Constructor[MobileNetV4]] = constructor(
    "MobileNetV4HybridMedium", MobileNetV4, "hybrid_medium"
)
MobileNetV4HybridLarge: Final[Constructor[MobileNetV4]] = constructor(
    "MobileNetV4HybridLarge", MobileNetV4, "hybrid_large"
)
