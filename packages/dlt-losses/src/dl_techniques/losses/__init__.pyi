from dl_techniques.losses.any_loss.accuracy_loss import AccuracyLoss as AccuracyLoss
from dl_techniques.losses.any_loss.any_loss import AnyLoss as AnyLoss
from dl_techniques.losses.any_loss.approximation_function import ApproximationFunction as ApproximationFunction
from dl_techniques.losses.any_loss.balanced_accuracy_loss import BalancedAccuracyLoss as BalancedAccuracyLoss
from dl_techniques.losses.any_loss.f1_loss import F1Loss as F1Loss
from dl_techniques.losses.any_loss.f_beta_loss import FBetaLoss as FBetaLoss
from dl_techniques.losses.any_loss.geometric_mean_loss import GeometricMeanLoss as GeometricMeanLoss
from dl_techniques.losses.any_loss.jaccard import jaccard_index as jaccard_index
from dl_techniques.losses.boxes.bbox_iou import bbox_iou as bbox_iou
from dl_techniques.losses.boxes.bbox_nms import bbox_nms as bbox_nms
from dl_techniques.losses.calibration.brier_score_loss import BrierScoreLoss as BrierScoreLoss
from dl_techniques.losses.calibration.brier_spiegelhalter_loss import BrierSpiegelhalterLoss as BrierSpiegelhalterLoss
from dl_techniques.losses.calibration.goodhart_aware_loss import GoodhartAwareLoss as GoodhartAwareLoss
from dl_techniques.losses.calibration.spiegelhalter_z_loss import SpiegelhalterZLoss as SpiegelhalterZLoss
from dl_techniques.losses.capsule_margin_loss import CapsuleMarginLoss as CapsuleMarginLoss
from dl_techniques.losses.clip_contrastive_loss import CLIPContrastiveLoss as CLIPContrastiveLoss
from dl_techniques.losses.clustering.clustering_loss import ClusteringLoss as ClusteringLoss
from dl_techniques.losses.clustering.dec_loss import DECLoss as DECLoss
from dl_techniques.losses.clustering.dec_targets import dec_targets as dec_targets
from dl_techniques.losses.clustering.student_t_assignments import student_t_assignments as student_t_assignments
from dl_techniques.losses.detection.task_aligned_assigner import task_aligned_assigner as task_aligned_assigner
from dl_techniques.losses.detection.yolov12_object_detection_loss import YOLOv12ObjectDetectionLoss as YOLOv12ObjectDetectionLoss
from dl_techniques.losses.multi_task.multi_task_model import MultiTaskModel as MultiTaskModel
from dl_techniques.losses.multi_task.uncertainty_weighting import UncertaintyWeighting as UncertaintyWeighting
from dl_techniques.losses.multi_task.yolov12_multi_task_loss import YOLOv12MultiTaskLoss as YOLOv12MultiTaskLoss
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
    "AccuracyLoss",
    "AnyLoss",
    "ApproximationFunction",
    "BalancedAccuracyLoss",
    "BoundaryLoss",
    "BrierScoreLoss",
    "BrierSpiegelhalterLoss",
    "CLIPContrastiveLoss",
    "CapsuleMarginLoss",
    "ClusteringLoss",
    "ComboLoss",
    "DECLoss",
    "DiceCrossEntropyLoss",
    "DiceFocalLoss",
    "DiceLoss",
    "F1Loss",
    "FBetaLoss",
    "FocalLoss",
    "FocalTverskyLoss",
    "GeneralizedDiceLoss",
    "GeometricMeanLoss",
    "GoodhartAwareLoss",
    "HausdorffDistanceLoss",
    "JaccardLoss",
    "LovaszLoss",
    "MultiTaskModel",
    "SpiegelhalterZLoss",
    "TverskyLoss",
    "UncertaintyWeighting",
    "YOLOv12MultiTaskLoss",
    "YOLOv12ObjectDetectionLoss",
    "bbox_iou",
    "bbox_nms",
    "dec_targets",
    "jaccard_index",
    "signed_distance_map",
    "student_t_assignments",
    "task_aligned_assigner",
]
