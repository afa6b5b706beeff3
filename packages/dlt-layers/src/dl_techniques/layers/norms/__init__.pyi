from dl_techniques.layers.norms.band_logit_norm import BandLogitNorm as BandLogitNorm
from dl_techniques.layers.norms.band_rms import BandRMS as BandRMS
from dl_techniques.layers.norms.coupled_rms_norm import CoupledRMSNorm as CoupledRMSNorm
from dl_techniques.layers.norms.decoupled_max_logit import DecoupledMaxLogit as DecoupledMaxLogit
from dl_techniques.layers.norms.dyt_layer import DyTLayer as DyTLayer
from dl_techniques.layers.norms.global_response_normalization import GlobalResponseNormalization as GlobalResponseNormalization
from dl_techniques.layers.norms.logit_norm import LogitNorm as LogitNorm
from dl_techniques.layers.norms.max_logit_norm import MaxLogitNorm as MaxLogitNorm
from dl_techniques.layers.norms.rms_norm import RMSNorm as RMSNorm
DynamicTanh = DyTLayer
GRN = GlobalResponseNormalization
GlobalResponseNorm = GlobalResponseNormalization

__all__ = [
    "BandLogitNorm",
    "BandRMS",
    "CoupledRMSNorm",
    "DecoupledMaxLogit",
    "DyTLayer",
    "DynamicTanh",
    "GRN",
    "GlobalResponseNorm",
    "GlobalResponseNormalization",
    "LogitNorm",
    "MaxLogitNorm",
    "RMSNorm",
]
