"""One loss for the heads of a multi-task detector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from dl_techniques.core import Example, Loss, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_nonnegative, require_one_of
from dl_techniques.losses.segmentation.dice_focal_loss import DiceFocalLoss
from dl_techniques.losses.segmentation.focal_loss import FocalLoss

TASKS = ("classification", "detection", "segmentation")
_BY_RANK = {2: "classification", 3: "detection", 4: "segmentation"}


@component(
    "dl_techniques>YOLOv12MultiTaskLoss",
    kind="loss",
    tags=("multi-task", "detection", "segmentation", "classification"),
    paper="arXiv:2502.12524",
    since="0.1",
)
class YOLOv12MultiTaskLoss(Loss):
    """Multi-task loss: for each head the loss of its task, times a fixed weight.

    loss = weight_t L_t, of the task t that an output belongs to; called with mappings, the sum

    Keras calls a single loss once for each output of a model, so that it sees one head at a time.
    Say which with `task`, one loss an output:
    `compile(loss={"boxes": YOLOv12MultiTaskLoss("detection", detection=...), ...})`. Without it
    the rank of the predictions decides: two is classification, three detection, four
    segmentation; anything else is refused.

    A head of weight zero is skipped: its loss does not count even if it is infinite. Weights are
    fixed. Learned ones need a model, because a variable inside a loss never trains: see
    `MultiTaskModel` and `UncertaintyWeighting`.

    Args:
        task: `"classification"`, `"detection"`, `"segmentation"`, or `None` for the rank.
        classification: Its loss; by default cross-entropy of logits, `FocalLoss(gamma=0)`.
        detection: Its loss, usually a `YOLOv12ObjectDetectionLoss`.
        segmentation: Its loss; by default `DiceFocalLoss` of logits.
        weights: Name of a task -> its weight, not negative; 1 for those that are not named.
        use_uncertainty: Must be false; learned weights cannot live in a loss.
        reduction: Without effect: the losses of the tasks have their own.
        name: Name of the loss.
        dtype: Dtype of the result.

    Input shape:
        Those of the task's loss; or, called directly, mappings of task names to them.

    Output shape:
        `()`.

    Raises:
        ValueError: If a setting is out of range, a task has no loss, or the rank fits no task.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import YOLOv12MultiTaskLoss
        >>> loss = YOLOv12MultiTaskLoss("classification", weights={"classification": 2.0})
        >>> round(float(loss(np.array([0, 1]), np.zeros((2, 2)))), 4)  # 2 log 2
        1.3863

    References:
        Tian, Ye and Doermann, "YOLOv12: Attention-Centric Real-Time Object Detectors",
        arXiv:2502.12524. Kendall, Gal and Cipolla, arXiv:1705.07115.
    """

    def __init__(
        self,
        task: str | None = None,
        classification: Any = None,
        detection: Any = None,
        segmentation: Any = None,
        weights: Mapping[str, float] | None = None,
        use_uncertainty: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "yolov12_multi_task_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        require_one_of((None, *TASKS), task=task)
        if use_uncertainty:
            raise ValueError(
                "`use_uncertainty` must be False, because a variable inside a loss never trains; "
                "use a MultiTaskModel, or an UncertaintyWeighting layer in `compute_loss`. "
                f"Received: use_uncertainty={use_uncertainty!r}"
            )
        for key, value in (weights or {}).items():
            require_one_of(TASKS, weights=key)
            require_nonnegative(weights=value)
        self.task = task
        self.classification = classification
        self.detection = detection
        self.segmentation = segmentation
        self.weights = weights
        self.use_uncertainty = use_uncertainty
        self._losses = {
            "classification": classification
            or FocalLoss(gamma=0.0, alpha=None, from_logits=True, dtype=dtype),
            "detection": detection,
            "segmentation": segmentation or DiceFocalLoss(from_logits=True, dtype=dtype),
        }

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """Return the weighted loss.

        Args:
            y_true: Targets of a head, or a mapping of task names to them.
            y_pred: Predictions likewise.
            sample_weight: Weights likewise.
        """
        if isinstance(y_pred, Mapping):
            given = sample_weight if isinstance(sample_weight, Mapping) else {}
            if sample_weight is not None and not isinstance(sample_weight, Mapping):
                given = dict.fromkeys(y_pred, sample_weight)
            parts = [self._of(t, y_true[t], y_pred[t], given.get(t)) for t in y_pred]
            return sum(parts[1:], start=parts[0])
        task = self.task or _BY_RANK.get(len(y_pred.shape))
        if task is None:
            raise ValueError(
                "`task` must be given where the rank of predictions fits no task. "
                f"Received: y_pred of shape {tuple(y_pred.shape)}"
            )
        return self._of(task, y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Tensor:
        """Return the weighted loss.

        Args:
            y_true: Targets.
            y_pred: Predictions.
        """
        return self(y_true, y_pred)

    def _of(self, task: str, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor) -> Tensor:
        require_one_of(TASKS, task=task)
        loss = self._losses[task]
        if loss is None:
            raise ValueError(f"`{task}` must be the loss of this task. Received: {task}=None")
        weight = (self.weights or {}).get(task, 1.0)
        if weight == 0:
            return ops.zeros((), self.dtype)
        return ops.cast(weight * loss(y_true, y_pred, sample_weight), self.dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Classification by rank, segmentation by name."""
        numbers = TensorSpec((6,), dtype="int32", low=0, high=3)
        yield Example(cls, {}, (numbers, TensorSpec((6, 3))), name="classification")
        maps = (TensorSpec((3, 4, 4), dtype="int32", low=0, high=2), TensorSpec((3, 4, 4, 2)))
        config = {"task": "segmentation", "weights": {"segmentation": 0.5}}
        yield Example(cls, config, maps, name="segmentation")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown tasks, weights below zero, learned weights."""
        yield Rejection(cls, {"task": "depth"}, "task")
        yield Rejection(cls, {"weights": {"detection": -1.0}}, "weights")
        yield Rejection(cls, {"use_uncertainty": True}, "use_uncertainty")
