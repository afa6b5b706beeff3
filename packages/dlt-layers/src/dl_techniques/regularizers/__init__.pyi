from dl_techniques.regularizers.binary_preference import BinaryPreferenceRegularizer as BinaryPreferenceRegularizer
from dl_techniques.regularizers.entropy_regularizer import EntropyRegularizer as EntropyRegularizer
from dl_techniques.regularizers.soft_orthogonal import SoftOrthogonal as SoftOrthogonal
from dl_techniques.regularizers.soft_orthonormal import SoftOrthonormal as SoftOrthonormal
from dl_techniques.regularizers.srip import SRIPRegularizer as SRIPRegularizer
from dl_techniques.regularizers.tri_state_preference import TriStatePreferenceRegularizer as TriStatePreferenceRegularizer

__all__ = [
    "BinaryPreferenceRegularizer",
    "EntropyRegularizer",
    "SRIPRegularizer",
    "SoftOrthogonal",
    "SoftOrthonormal",
    "TriStatePreferenceRegularizer",
]
