from dl_techniques.models.mdn.mdn_model import MDNModel as MDNModel

__all__ = [
    "MDNModel",
]
