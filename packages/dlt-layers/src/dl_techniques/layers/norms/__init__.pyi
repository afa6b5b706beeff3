from dl_techniques.layers.norms.global_response_normalization import GlobalResponseNormalization as GlobalResponseNormalization
from dl_techniques.layers.norms.rms_norm import RMSNorm as RMSNorm
GRN = GlobalResponseNormalization
GlobalResponseNorm = GlobalResponseNormalization

__all__ = [
    "GRN",
    "GlobalResponseNorm",
    "GlobalResponseNormalization",
    "RMSNorm",
]
