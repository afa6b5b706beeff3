from dl_techniques.losses.calibration.brier_score_loss import BrierScoreLoss as BrierScoreLoss
from dl_techniques.losses.calibration.brier_spiegelhalter_loss import BrierSpiegelhalterLoss as BrierSpiegelhalterLoss
from dl_techniques.losses.calibration.goodhart_aware_loss import GoodhartAwareLoss as GoodhartAwareLoss
from dl_techniques.losses.calibration.spiegelhalter_z_loss import SpiegelhalterZLoss as SpiegelhalterZLoss

__all__ = [
    "BrierScoreLoss",
    "BrierSpiegelhalterLoss",
    "GoodhartAwareLoss",
    "SpiegelhalterZLoss",
]
