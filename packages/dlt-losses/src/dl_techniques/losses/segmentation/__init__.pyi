from dl_techniques.losses.segmentation.boundary_loss import BoundaryLoss as BoundaryLoss
from dl_techniques.losses.segmentation.combo_loss import ComboLoss as ComboLoss
from dl_techniques.losses.segmentation.dice_cross_entropy_loss import DiceCrossEntropyLoss as DiceCrossEntropyLoss
from dl_techniques.losses.segmentation.dice_focal_loss import DiceFocalLoss as DiceFocalLoss
from dl_techniques.losses.segmentation.dice_loss import DiceLoss as DiceLoss
from dl_techniques.losses.segmentation.focal_loss import FocalLoss as FocalLoss
from dl_techniques.losses.segmentation.focal_tversky_loss import FocalTverskyLoss as FocalTverskyLoss
from dl_techniques.losses.segmentation.generalized_dice_loss import GeneralizedDiceLoss as GeneralizedDiceLoss
from dl_techniques.losses.segmentation.hausdorff_distance_loss import HausdorffDistanceLoss as HausdorffDistanceLoss
from dl_techniques.losses.segmentation.jaccard_loss import JaccardLoss as JaccardLoss
from dl_techniques.losses.segmentation.lovasz_loss import LovaszLoss as LovaszLoss
from dl_techniques.losses.segmentation.signed_distance_map import signed_distance_map as signed_distance_map
from dl_techniques.losses.segmentation.tversky_loss import TverskyLoss as TverskyLoss

__all__ = [
    "BoundaryLoss",
    "ComboLoss",
    "DiceCrossEntropyLoss",
    "DiceFocalLoss",
    "DiceLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "HausdorffDistanceLoss",
    "JaccardLoss",
    "LovaszLoss",
    "TverskyLoss",
    "signed_distance_map",
]
