from dl_techniques.layers.tensor_network.mps_layer import MPSLayer as MPSLayer

__all__ = [
    "MPSLayer",
]
