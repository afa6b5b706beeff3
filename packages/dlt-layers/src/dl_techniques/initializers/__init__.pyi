from dl_techniques.initializers.orthonormal_initializer import OrthonormalInitializer as OrthonormalInitializer

__all__ = [
    "OrthonormalInitializer",
]
