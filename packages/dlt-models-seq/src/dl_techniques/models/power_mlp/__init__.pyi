from dl_techniques.models.power_mlp.power_mlp import PowerMLP as PowerMLP

__all__ = [
    "PowerMLP",
]
