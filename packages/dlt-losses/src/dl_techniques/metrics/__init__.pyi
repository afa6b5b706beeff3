from dl_techniques.metrics.calibration.adaptive_calibration_error_metric import AdaptiveCalibrationError as AdaptiveCalibrationError
from dl_techniques.metrics.calibration.brier_score_metric import BrierScore as BrierScore
from dl_techniques.metrics.calibration.calibration_error import adaptive_calibration_error as adaptive_calibration_error
from dl_techniques.metrics.calibration.calibration_error import expected_calibration_error as expected_calibration_error
from dl_techniques.metrics.calibration.expected_calibration_error_metric import ExpectedCalibrationError as ExpectedCalibrationError
from dl_techniques.metrics.calibration.reliability_curve import reliability_curve as reliability_curve
from dl_techniques.metrics.calibration.scores import brier_decomposition as brier_decomposition
from dl_techniques.metrics.calibration.scores import brier_score as brier_score
from dl_techniques.metrics.calibration.scores import negative_log_likelihood as negative_log_likelihood
from dl_techniques.metrics.calibration.scores import spiegelhalter_z as spiegelhalter_z
from dl_techniques.metrics.calibration.spiegelhalter_z_metric import SpiegelhalterZ as SpiegelhalterZ
from dl_techniques.metrics.clip_accuracy import CLIPAccuracy as CLIPAccuracy
from dl_techniques.metrics.retrieval_recall import retrieval_recall as retrieval_recall
from dl_techniques.metrics.segmentation.segmentation_dice import SegmentationDice as SegmentationDice
from dl_techniques.metrics.segmentation.segmentation_iou import SegmentationIoU as SegmentationIoU

__all__ = [
    "AdaptiveCalibrationError",
    "BrierScore",
    "CLIPAccuracy",
    "ExpectedCalibrationError",
    "SegmentationDice",
    "SegmentationIoU",
    "SpiegelhalterZ",
    "adaptive_calibration_error",
    "brier_decomposition",
    "brier_score",
    "expected_calibration_error",
    "negative_log_likelihood",
    "reliability_curve",
    "retrieval_recall",
    "spiegelhalter_z",
]
