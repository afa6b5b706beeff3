from dl_techniques.layers.probabilistic.mdn_layer import MDNLayer as MDNLayer
from dl_techniques.layers.probabilistic.mixtures import mdn_moments as mdn_moments
from dl_techniques.layers.probabilistic.mixtures import mdn_nll as mdn_nll
from dl_techniques.layers.probabilistic.mixtures import mdn_sample as mdn_sample
from dl_techniques.layers.probabilistic.quantile_head import QuantileHead as QuantileHead
from dl_techniques.layers.probabilistic.sampling import Sampling as Sampling

__all__ = [
    "MDNLayer",
    "QuantileHead",
    "Sampling",
    "mdn_moments",
    "mdn_nll",
    "mdn_sample",
]
