from dl_techniques.layers.activations.mish import Mish as Mish

__all__ = [
    "Mish",
]
