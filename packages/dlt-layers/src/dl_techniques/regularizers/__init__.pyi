from dl_techniques.regularizers.soft_orthonormal import SoftOrthonormal as SoftOrthonormal

__all__ = [
    "SoftOrthonormal",
]
