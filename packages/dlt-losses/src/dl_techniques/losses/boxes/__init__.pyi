from dl_techniques.losses.boxes.bbox_iou import bbox_iou as bbox_iou
from dl_techniques.losses.boxes.bbox_nms import bbox_nms as bbox_nms

__all__ = [
    "bbox_iou",
    "bbox_nms",
]
