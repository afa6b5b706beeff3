"""The earlier, misspelt address of `GELU`, `SiLU` and the activations with an expanded gate."""

from __future__ import annotations

from dl_techniques.layers.activations.gelu import GELU
from dl_techniques.layers.activations.silu import SiLU
from dl_techniques.layers.activations.xatlu import xATLU
from dl_techniques.layers.activations.xgelu import xGELU
from dl_techniques.layers.activations.xsilu import xSiLU

__all__ = ["GELU", "SiLU", "xATLU", "xGELU", "xSiLU"]
