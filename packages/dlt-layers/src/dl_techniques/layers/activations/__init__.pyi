from dl_techniques.layers.activations.basis_function import BasisFunction as BasisFunction
from dl_techniques.layers.activations.gelu import GELU as GELU
from dl_techniques.layers.activations.mish import Mish as Mish
from dl_techniques.layers.activations.quick_gelu import QuickGELU as QuickGELU
from dl_techniques.layers.activations.relu_k import ReLUK as ReLUK
from dl_techniques.layers.activations.saturated_mish import SaturatedMish as SaturatedMish
from dl_techniques.layers.activations.silu import SiLU as SiLU
from dl_techniques.layers.activations.xatlu import xATLU as xATLU
from dl_techniques.layers.activations.xgelu import xGELU as xGELU
from dl_techniques.layers.activations.xsilu import xSiLU as xSiLU

__all__ = [
    "BasisFunction",
    "GELU",
    "Mish",
    "QuickGELU",
    "ReLUK",
    "SaturatedMish",
    "SiLU",
    "xATLU",
    "xGELU",
    "xSiLU",
]
