"""Functions that make one variant each."""

from __future__ import annotations

from typing import Final

from dl_techniques.models.convnext.convnext_v1 import ConvNeXtV1
from dl_techniques.models.convnext.convnext_v2 import ConvNeXtV2
from dl_techniques.models.vision.constructor import Constructor, constructor

ConvNextV1Tiny: Final[Constructor[ConvNeXtV1]] = constructor("ConvNextV1Tiny", ConvNeXtV1, "tiny")
ConvNextV1Small: Final[Constructor[ConvNeXtV1]] = constructor(
    "ConvNextV1Small", ConvNeXtV1, "small"
)
ConvNextV1Base: Final[Constructor[ConvNeXtV1]] = constructor("ConvNextV1Base", ConvNeXtV1, "base")
ConvNextV1Large: Final[Constructor[ConvNeXtV1]] = constructor(
    "ConvNextV1Large", ConvNeXtV1, "large"
)
ConvNextV1XLarge: Final[Constructor[ConvNeXtV1]] = constructor(
    "ConvNextV1XLarge", ConvNeXtV1, "xlarge"
)
ConvNextV2Atto: Final[Constructor[ConvNeXtV2]] = constructor("ConvNextV2Atto", ConvNeXtV2, "atto")
ConvNextV2Femto: Final[Constructor[ConvNeXtV2]] = constructor(
    "ConvNextV2Femto", ConvNeXtV2, "femto"
)
ConvNextV2Pico: Final[Constructor[ConvNeXtV2]] = constructor("ConvNextV2Pico", ConvNeXtV2, "pico")
ConvNextV2Nano: Final[Constructor[ConvNeXtV2]] = constructor("ConvNextV2Nano", ConvNeXtV2, "nano")
ConvNextV2Tiny: Final[Constructor[ConvNeXtV2]] = constructor("ConvNextV2Tiny", ConvNeXtV2, "tiny")
ConvNextV2Base: Final[Constructor[ConvNeXtV2]] = constructor("ConvNextV2Base", ConvNeXtV2, "base")
ConvNextV2Large: Final[Constructor[ConvNeXtV2]] = constructor(
    "ConvNextV2Large", ConvNeXtV2, "large"
)
ConvNextV2Huge: Final[Constructor[ConvNeXtV2]] = constructor("ConvNextV2Huge", ConvNeXtV2, "huge")
