"""A model with one loss for each of its tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras
from keras import ops

from dl_techniques.core import (
    Example,
    Fresh,
    Model,
    Rejection,
    Tensor,
    TensorSpec,
    component,
    resolve,
    upcast,
)
from dl_techniques.losses.arguments import require_nonnegative, require_one_of
from dl_techniques.losses.multi_task.uncertainty_weighting import KINDS, UncertaintyWeighting

_WEIGHTINGS = ("fixed", "uncertainty")


@component(
    "dl_techniques>MultiTaskModel",
    kind="model",
    tags=("multi-task",),
    paper="arXiv:1705.07115",
    since="0.1",
)
class MultiTaskModel(Model):
    """Multi-task model: trains the outputs of a model by a weighted sum of their losses.

    `"uncertainty"`: L = sum_t c_t exp(-s_t) L_t + s_t / 2, with learned s_t; see
    `UncertaintyWeighting`. `"fixed"`: L = sum_t w_t L_t

    The learned weights are trained by `fit`, beside those of the base. Call `compile` without a
    loss: `model.compile("adam")`; targets and weights of samples are mappings by task. `fit` also
    reports the loss of each task as `<task>_loss`.

    A task whose targets are missing, or have no sample of positive weight in a batch, contributes
    neither its loss nor its penalty. A fixed weight of zero skips a task. Exclude the learned
    weights from weight decay: `optimizer.exclude_from_weight_decay(var_names=["log_variances"])`.

    Args:
        base: A model whose output is a mapping with one entry for each task.
        losses: Name of each task -> its loss: a `keras.losses.Loss`, or what
            `dl_techniques.core.resolve` makes one of, such as `"MeanSquaredError"` or
            `"DiceLoss"`.
        weighting: `"uncertainty"` or `"fixed"`.
        kinds: Name of a task -> `"regression"` or `"classification"`, for learned weights;
            `"regression"` for those that are not named.
        task_weights: Name of a task -> w, not negative, for fixed weights; 1 for those that are
            not named.
        penalty: `"log"` or `"log1p"`; see `UncertaintyWeighting`.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        That of the base.

    Output shape:
        That of the base.

    Raises:
        ValueError: If there is no task, a setting is unknown or out of range, or a loss or weight
            is of no task.

    Example:
        >>> import keras, numpy as np
        >>> from dl_techniques.losses import MultiTaskModel
        >>> x = keras.Input((4,))
        >>> heads = {"depth": keras.layers.Dense(1)(x), "label": keras.layers.Dense(3)(x)}
        >>> label = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        >>> model = MultiTaskModel(
        ...     keras.Model(x, heads),
        ...     {"depth": "MeanSquaredError", "label": label},
        ...     kinds={"label": "classification"},
        ... )
        >>> model.compile("sgd")
        >>> y = {"depth": np.ones((2, 1)), "label": np.array([0, 2])}
        >>> history = model.fit(np.ones((2, 4)), y, verbose=0).history
        >>> sorted(history)
        ['depth_loss', 'label_loss', 'loss']

    References:
        Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
        Geometry and Semantics", arXiv:1705.07115.
    """

    def __init__(
        self,
        base: Any,
        losses: Mapping[str, Any],
        weighting: str = "uncertainty",
        kinds: Mapping[str, str] | None = None,
        task_weights: Mapping[str, float] | None = None,
        penalty: str = "log",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(losses, Mapping) or not losses:
            raise ValueError(f"`losses` must map tasks to losses. Received: losses={losses!r}")
        require_one_of(_WEIGHTINGS, weighting=weighting)
        for task, kind in (kinds or {}).items():
            require_one_of(tuple(losses), kinds=task)
            require_one_of(KINDS, kinds=kind)
        for task, weight in (task_weights or {}).items():
            require_one_of(tuple(losses), task_weights=task)
            require_nonnegative(task_weights=weight)
        self.base = base
        self.weighting = weighting
        self.kinds = None if kinds is None else dict(kinds)
        self.task_weights = None if task_weights is None else dict(task_weights)
        self.penalty = penalty
        self.task_losses = {task: _loss(loss) for task, loss in losses.items()}
        tasks = {task: (kinds or {}).get(task, "regression") for task in losses}
        # Made in any case, because it checks `penalty`.
        learned = UncertaintyWeighting(tasks, penalty, dtype="float32", name="uncertainty")
        self.uncertainty = learned if weighting == "uncertainty" else None
        if self.uncertainty is not None:
            self.uncertainty.build(None)
        self.trackers = {task: keras.metrics.Mean(name=f"{task}_loss") for task in losses}

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Call the base.

        Args:
            inputs: Inputs of the base.
            training: Whether the model is being trained.
        """
        del training  # Keras passes it on to the base
        return self.base(inputs)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the weighted sum of the losses, plus those of layers.

        Args:
            x: Ignored.
            y: Targets by task.
            y_pred: Output of the base.
            sample_weight: Weights by task, or those of all tasks, or `None`.
            training: Ignored.
        """
        del x, training
        compiled = getattr(self, "loss", None)
        if compiled is not None:
            raise ValueError(
                "`compile` must be called without a loss: the constructor has them. "
                f"Received: loss={compiled!r}"
            )
        self._require_tasks(y)
        losses, present = {}, {}
        for task in self.task_losses:
            if task in y and self._weight(task) != 0:
                weight = sample_weight
                if isinstance(sample_weight, Mapping):
                    weight = sample_weight.get(task)
                value = upcast(self.task_losses[task](y[task], y_pred[task], weight))
                found = ops.ones_like(value)
                if weight is not None:
                    found = ops.cast(ops.any(ops.greater(weight, 0)), value.dtype)
                self.trackers[task].update_state(value, found)
                losses[task], present[task] = value, found
        total = self._total(losses, present)
        for extra in self.losses:
            total = total + ops.cast(extra, total.dtype)
        return total

    def _weight(self, task: str) -> float:
        return (self.task_weights or {}).get(task, 1.0) if self.uncertainty is None else 1.0

    def _total(self, losses: dict[str, Tensor], present: dict[str, Tensor]) -> Tensor:
        if self.uncertainty is not None:
            return self.uncertainty(losses, present)
        parts = [self._weight(task) * loss for task, loss in losses.items()]
        return sum(parts, start=ops.zeros((), "float32"))

    def _require_tasks(self, y: Any) -> None:
        given = sorted(y) if isinstance(y, Mapping) else type(y).__name__
        if not isinstance(y, Mapping) or not y or set(y) - set(self.task_losses):
            raise ValueError(
                f"targets must be a mapping of the tasks {sorted(self.task_losses)}, or of some "
                f"of them. Received: {given}"
            )

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Learned weights, and fixed ones."""
        losses = {"depth": "MeanSquaredError", "score": "MeanAbsoluteError"}
        config = {"base": Fresh(_heads), "losses": losses}
        dead = ("uncertainty/log_variances",)
        yield Example(cls, config, TensorSpec((2, 3)), dead=dead)
        fixed = {"weighting": "fixed", "task_weights": {"score": 0.5}}
        yield Example(cls, {**config, **fixed}, TensorSpec((2, 3)), name="fixed")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No task, words that are unknown, weights below zero."""
        fine = {"base": Fresh(_heads), "losses": {"depth": "MeanSquaredError"}}
        yield Rejection(cls, {**fine, "losses": {}}, "losses")
        yield Rejection(cls, {**fine, "losses": {"depth": "gelu"}}, "losses")
        yield Rejection(cls, {**fine, "weighting": "learned"}, "weighting")
        yield Rejection(cls, {**fine, "kinds": {"label": "regression"}}, "kinds")
        yield Rejection(cls, {**fine, "kinds": {"depth": "ranking"}}, "kinds")
        yield Rejection(cls, {**fine, "task_weights": {"depth": -1.0}}, "task_weights")
        yield Rejection(cls, {**fine, "penalty": "l2"}, "penalty")


def _loss(given: Any) -> Any:
    """Return a loss object, which takes weights of samples."""
    loss = resolve(given, kind="loss", argument="losses")
    if not isinstance(loss, keras.losses.Loss):
        raise ValueError(
            "`losses` must be Loss objects or names of their classes, such as "
            f"'MeanSquaredError'. Received: {given!r}"
        )
    return loss


def _heads() -> Any:
    """Return a small model of two tasks."""
    inputs = keras.Input((3,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("depth", "score")}
    return keras.Model(inputs, outputs)
