from dl_techniques.losses.multi_task.multi_task_model import MultiTaskModel as MultiTaskModel
from dl_techniques.losses.multi_task.uncertainty_weighting import UncertaintyWeighting as UncertaintyWeighting
from dl_techniques.losses.multi_task.yolov12_multi_task_loss import YOLOv12MultiTaskLoss as YOLOv12MultiTaskLoss

__all__ = [
    "MultiTaskModel",
    "UncertaintyWeighting",
    "YOLOv12MultiTaskLoss",
]
