from dl_techniques.losses.detection.task_aligned_assigner import task_aligned_assigner as task_aligned_assigner
from dl_techniques.losses.detection.yolov12_object_detection_loss import YOLOv12ObjectDetectionLoss as YOLOv12ObjectDetectionLoss

__all__ = [
    "YOLOv12ObjectDetectionLoss",
    "task_aligned_assigner",
]
