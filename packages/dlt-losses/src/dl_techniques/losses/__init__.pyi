from dl_techniques.losses.any_loss.accuracy_loss import AccuracyLoss as AccuracyLoss
from dl_techniques.losses.any_loss.any_loss import AnyLoss as AnyLoss
from dl_techniques.losses.any_loss.approximation_function import ApproximationFunction as ApproximationFunction
from dl_techniques.losses.any_loss.balanced_accuracy_loss import BalancedAccuracyLoss as BalancedAccuracyLoss
from dl_techniques.losses.any_loss.f1_loss import F1Loss as F1Loss
from dl_techniques.losses.any_loss.f_beta_loss import FBetaLoss as FBetaLoss
from dl_techniques.losses.any_loss.geometric_mean_loss import GeometricMeanLoss as GeometricMeanLoss
from dl_techniques.losses.any_loss.jaccard import jaccard_index as jaccard_index

__all__ = [
    "AccuracyLoss",
    "AnyLoss",
    "ApproximationFunction",
    "BalancedAccuracyLoss",
    "F1Loss",
    "FBetaLoss",
    "GeometricMeanLoss",
    "jaccard_index",
]
