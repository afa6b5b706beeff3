from dl_techniques.metrics.segmentation.segmentation_dice import SegmentationDice as SegmentationDice
from dl_techniques.metrics.segmentation.segmentation_iou import SegmentationIoU as SegmentationIoU

__all__ = [
    "SegmentationDice",
    "SegmentationIoU",
]
