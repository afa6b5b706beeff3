"""Loss of anchor-free detection heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from keras import ops

from dl_techniques.core import Count, Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import (
    is_number,
    require_integers,
    require_nonnegative,
)
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.boxes.bbox_iou import overlap
from dl_techniques.losses.detection.anchors import anchor_points
from dl_techniques.losses.detection.task_aligned_assigner import task_aligned_assigner
from dl_techniques.losses.masks import mask_of


@component(
    "dl_techniques>YOLOv12ObjectDetectionLoss",
    kind="loss",
    tags=("detection",),
    paper="arXiv:2502.12524",
    since="0.1",
)
class YOLOv12ObjectDetectionLoss(BatchLoss):
    """Detection loss of YOLOv12: boxes, classes and distributions of box sides.

    loss = box_gain L_box + cls_gain L_cls + dfl_gain L_dfl, with target scores t_ak from
    `task_aligned_assigner`, t_a = sum_k t_ak and S = max(1, sum_ak t_ak) of the batch:
    L_box = sum_a t_a (1 - CIoU_a) / S, L_cls = sum_ak BCE(z_ak, t_ak) / S,
    L_dfl = sum_a t_a mean_side(-sum_r max(0, 1 - |r - d|) log p_r) / S

    A side is the expectation of a distribution over 0 to `reg_max` - 1 cells; d is the true
    distance. It is the loss of YOLOv8 and v11, too. All shapes are static. Unlike in the reference
    implementation, the value is not multiplied with the size of the batch.

    S is of the whole batch: the loss does not add up over batches. Weight 2 is the same as an
    image given twice; anchors that a mask of `y_pred` hides do not count.

    Args:
        num_classes: Number of classes.
        input_shape: Height and width of the images in pixels, multiples of all strides.
        strides: Pixels of a cell of each level, in the order of the anchors.
        reg_max: Number of bins of a side.
        topk: See `task_aligned_assigner`.
        alpha: See `task_aligned_assigner`.
        beta: See `task_aligned_assigner`.
        box_gain: Weight of L_box; not negative.
        cls_gain: Weight of L_cls; not negative.
        dfl_gain: Weight of L_dfl; not negative.
        min_box_size: See `task_aligned_assigner`; recent versions of the reference use 16.
        class_weights: One factor of L_cls for each class, or `None`.
        reduction: Without effect: the value is one number.
        name: Name of the loss.
        dtype: Dtype of the result; the computation is in float32 at least.

    Input shape:
        `y_pred`: `(batch, anchors, 4 * reg_max + num_classes)`, logits: the bins of left, top,
        right and bottom, then the classes; levels one after the other, cells along rows.
        `y_true`: `(batch, objects, 5)`: class, left, top, right, bottom in pixels, the class -1
        for padding. `sample_weight`: `(batch,)`.

    Output shape:
        `()`.

    Raises:
        ValueError: If a setting is out of range, or shapes do not fit.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import YOLOv12ObjectDetectionLoss
        >>> loss = YOLOv12ObjectDetectionLoss(num_classes=2, input_shape=(32, 32), reg_max=4)
        >>> objects = np.array([[[0, 4.0, 4.0, 20.0, 20.0], [-1, 0, 0, 0, 0]]])
        >>> value = loss(objects, np.zeros((1, loss.num_anchors, 18)))
        >>> loss.num_anchors, bool(value > 0)
        (21, True)

    References:
        Tian, Ye and Doermann, "YOLOv12: Attention-Centric Real-Time Object Detectors",
        arXiv:2502.12524. Feng et al., arXiv:2108.07755 (assignment). Zheng et al.,
        arXiv:1911.08287 (CIoU). Li et al., "Generalized Focal Loss", arXiv:2006.04388.
    """

    def __init__(
        self,
        num_classes: Count,
        input_shape: Sequence[int],
        strides: Sequence[int] = (8, 16, 32),
        reg_max: int = 16,
        topk: Count = 10,
        alpha: float = 0.5,
        beta: float = 6.0,
        box_gain: float = 7.5,
        cls_gain: float = 0.5,
        dfl_gain: float = 1.5,
        min_box_size: float | None = None,
        class_weights: Sequence[float] | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "yolov12_object_detection_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        require_integers(2, reg_max=reg_max)
        require_nonnegative(alpha=alpha, beta=beta)
        require_nonnegative(box_gain=box_gain, cls_gain=cls_gain, dfl_gain=dfl_gain)
        if not strides or not all(isinstance(s, int) and s > 0 for s in strides):
            raise ValueError(f"`strides` must be positive integers. Received: strides={strides!r}")
        fits = len(input_shape) == 2 and all(
            isinstance(side, int) and side > 0 and side % stride == 0
            for side in input_shape
            for stride in strides
        )
        if not fits:
            raise ValueError(
                "`input_shape` must be a height and a width that all strides divide. "
                f"Received: input_shape={input_shape!r}, strides={strides!r}"
            )
        if class_weights is not None and not (
            len(class_weights) == num_classes and all(is_number(w) for w in class_weights)
        ):
            raise ValueError(
                "`class_weights` must be None or one number for each class. "
                f"Received: class_weights={class_weights!r}"
            )
        self.num_classes = num_classes
        self.input_shape = list(input_shape)
        self.strides = list(strides)
        self.reg_max = reg_max
        self.topk = topk
        self.alpha = alpha
        self.beta = beta
        self.box_gain = box_gain
        self.cls_gain = cls_gain
        self.dfl_gain = dfl_gain
        self.min_box_size = min_box_size
        self.class_weights = class_weights

    @property
    def num_anchors(self) -> int:
        """The number of anchors that predictions must have."""
        height, width = self.input_shape
        return sum((height // s) * (width // s) for s in self.strides)

    def rows(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the value of the batch as one row.

        Args:
            y_true: Objects.
            y_pred: Predictions.
            sample_weight: Weights of images.
        """
        parts = self.parts(y_true, y_pred, sample_weight)
        total = ops.reshape(parts["box"] + parts["cls"] + parts["dfl"], (1,))
        return total, ops.ones_like(total)

    def parts(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the three parts with their gains: `box`, `cls` and `dfl`.

        Args:
            y_true: Objects.
            y_pred: Predictions.
            sample_weight: Weights of images.
        """
        shown = self._shown(y_pred)
        z = ops.cast(ops.convert_to_tensor(y_pred), "float32")
        objects = ops.cast(ops.convert_to_tensor(y_true), "float32")
        self._require_shapes(objects, z)
        weight = ops.ones_like(z[:, 0, 0])
        if sample_weight is not None:
            weight = weight * ops.reshape(ops.cast(sample_weight, z.dtype), (-1,))
        z = ops.where(ops.equal(weight, 0)[:, None, None], ops.zeros_like(z), z)
        counted = weight[:, None] * (ops.ones_like(z[:, :, 0]) if shown is None else shown)
        points, sizes = (
            ops.convert_to_tensor(t) for t in anchor_points(self.input_shape, self.strides)
        )
        bins = ops.reshape(z[..., : 4 * self.reg_max], (-1, self.num_anchors, 4, self.reg_max))
        logits = z[..., 4 * self.reg_max :]
        boxes = self._decode(bins, points)
        found = task_aligned_assigner(
            ops.sigmoid(logits),
            boxes * sizes,
            points * sizes,
            objects[..., 1:],
            ops.round(objects[..., 0]),
            self.topk,
            self.alpha,
            self.beta,
            self.min_box_size,
            shown,
        )
        total = ops.maximum(ops.sum(counted[..., None] * found.scores), 1.0)
        positive = ops.sum(found.scores, axis=-1) * counted / total
        cls = ops.sum(counted[..., None] * self._entropies(logits, found.scores)) / total
        targets = found.boxes / sizes
        foreground = ops.greater(found.foreground, 0)[..., None]
        # CIoU of harmless boxes where there is no object: NaN times zero would be NaN.
        unit = ops.convert_to_tensor([0.0, 0.0, 1.0, 1.0], dtype="float32")
        ciou = overlap(
            ops.where(foreground, boxes, unit), ops.where(foreground, targets, unit), "ciou"
        )
        box = ops.sum(positive * (1.0 - ciou))
        dfl = ops.sum(positive * self._distribution_losses(bins, points, targets))
        return {
            "box": self.box_gain * box,
            "cls": self.cls_gain * cls,
            "dfl": self.dfl_gain * dfl,
        }

    def _shown(self, y_pred: Tensor) -> Tensor | None:
        mask = mask_of(y_pred)
        return None if mask is None else ops.cast(mask, "float32")

    def _decode(self, bins: Tensor, points: Tensor) -> Tensor:
        """Return corners in cells from the distributions of sides."""
        steps = ops.arange(self.reg_max, dtype="float32")
        sides = ops.sum(ops.softmax(bins) * steps, axis=-1)
        return ops.concatenate([points - sides[..., :2], points + sides[..., 2:]], axis=-1)

    def _entropies(self, logits: Tensor, scores: Tensor) -> Tensor:
        entropies = ops.softplus(logits) - scores * logits
        if self.class_weights is None:
            return entropies
        return entropies * ops.convert_to_tensor(self.class_weights, dtype="float32")

    def _distribution_losses(self, bins: Tensor, points: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of the two bins beside each true side, mean over sides."""
        sides = ops.concatenate([points - targets[..., :2], targets[..., 2:] - points], axis=-1)
        sides = ops.clip(sides, 0.0, self.reg_max - 1 - 0.01)
        steps = ops.arange(self.reg_max, dtype="float32")
        shares = ops.relu(1.0 - ops.abs(steps - sides[..., None]))
        return ops.mean(-ops.sum(shares * ops.log_softmax(bins), axis=-1), axis=-1)

    def _require_shapes(self, objects: Tensor, z: Tensor) -> None:
        columns = 4 * self.reg_max + self.num_classes
        if len(z.shape) != 3 or tuple(z.shape[1:]) != (self.num_anchors, columns):
            raise ValueError(
                f"`y_pred` must be (batch, {self.num_anchors}, {columns}) for these settings. "
                f"Received: y_pred of shape {tuple(z.shape)}"
            )
        if len(objects.shape) != 3 or objects.shape[-1] != 5 or objects.shape[1] == 0:
            raise ValueError(
                "`y_true` must be (batch, objects, 5), with one object at least. "
                f"Received: y_true of shape {tuple(objects.shape)}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two objects in images of 32 pixels."""
        objects = TensorSpec((2, 3, 5), low=0.0, high=24.0)
        predictions = TensorSpec((2, 21, 67))
        config = {"num_classes": 3, "input_shape": (32, 32)}
        yield Example(cls, config, (objects, predictions))

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Shapes that strides do not divide, gains below zero."""
        fine = {"num_classes": 2, "input_shape": (64, 64)}
        yield Rejection(cls, {**fine, "input_shape": (60, 64)}, "input_shape")
        yield Rejection(cls, {**fine, "box_gain": -1.0}, "box_gain")
        yield Rejection(cls, {**fine, "strides": ()}, "strides")
        yield Rejection(cls, {**fine, "class_weights": [1.0]}, "class_weights")
