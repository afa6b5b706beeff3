from dl_techniques.layers.prototype.kmeans_layer import KMeansLayer as KMeansLayer
from dl_techniques.layers.prototype.rbf import RBF as RBF
from dl_techniques.layers.prototype.som2d_layer import SOM2dLayer as SOM2dLayer

__all__ = [
    "KMeansLayer",
    "RBF",
    "SOM2dLayer",
]
