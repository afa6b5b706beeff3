from dl_techniques.initializers.haar_wavelet_initializer import HaarWaveletInitializer as HaarWaveletInitializer
from dl_techniques.initializers.he_orthonormal_initializer import HeOrthonormalInitializer as HeOrthonormalInitializer
from dl_techniques.initializers.orthonormal_initializer import OrthonormalInitializer as OrthonormalInitializer

__all__ = [
    "HaarWaveletInitializer",
    "HeOrthonormalInitializer",
    "OrthonormalInitializer",
]
