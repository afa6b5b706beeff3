"""Learned weights of several losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from dl_techniques.core import (
    Example,
    Layer,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.losses.arguments import require_one_of

KINDS = ("regression", "classification")
_PENALTIES = ("log", "log1p")
_LIMIT = 10.0


@component(
    "dl_techniques>UncertaintyWeighting",
    kind="layer",
    tags=("multi-task",),
    paper="arXiv:1705.07115",
    since="0.1",
)
class UncertaintyWeighting(Layer):
    """Uncertainty weighting: a sum of losses whose weights are learned as noise of their tasks.

    sum_t c_t exp(-s_t) L_t + s_t / 2, with the learned s_t = log sigma_t^2, c_t = 1/2 for
    regression and 1 for classification; with `penalty="log1p"`, log(1 + exp(s_t)) / 2 replaces
    s_t / 2

    For a fixed L the optimum is s = log L (regression) or log 2L (classification). The sum can
    go below zero for small losses; with `"log1p"` it cannot. A task that is missing from a batch
    contributes neither its loss nor its penalty.

    It is a layer because a variable inside a loss never trains. Call it in the `compute_loss` of
    a model, or let `MultiTaskModel` do so.

    Args:
        tasks: Name of each task -> `"regression"` or `"classification"`.
        penalty: `"log"` or `"log1p"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        losses: See below.
        present: Mapping of names of tasks to numbers, or `None`; a task of zero contributes
            neither its loss nor its penalty, as one that is missing.

    Input shape:
        A mapping of names to losses, any part of the tasks; or a list of one loss for each task,
        in their order. Losses have one shape, usually `()`.

    Output shape:
        That of a loss.

    Raises:
        ValueError: If there is no task, a kind is unknown, or losses are not those of tasks.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.losses import UncertaintyWeighting
        >>> weighting = UncertaintyWeighting({"depth": "regression", "label": "classification"})
        >>> total = weighting({"depth": ops.array(2.0), "label": ops.array(3.0)})
        >>> float(ops.convert_to_numpy(total))
        4.0

    References:
        Kendall, Gal and Cipolla, "Multi-Task Learning Using Uncertainty to Weigh Losses for Scene
        Geometry and Semantics", arXiv:1705.07115. Liebel and Körner, "Auxiliary Tasks in
        Multi-task Learning", arXiv:1805.06334 (log1p).
    """

    def __init__(self, tasks: Mapping[str, str], penalty: str = "log", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(tasks, Mapping) or not tasks:
            raise ValueError(f"`tasks` must map names to kinds. Received: tasks={tasks!r}")
        for kind in tasks.values():
            require_one_of(KINDS, tasks=kind)
        require_one_of(_PENALTIES, penalty=penalty)
        self.tasks = dict(tasks)
        self.penalty = penalty

    def build(self, input_shape: Any) -> None:
        """Create one weight a task.

        Args:
            input_shape: Ignored.
        """
        del input_shape
        self.log_variances = self.add_weight(
            shape=(len(self.tasks),), initializer="zeros", dtype="float32", name="log_variances"
        )

    def call(self, losses: Any, present: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the weighted sum.

        Args:
            losses: Losses by the name or in the order of their tasks.
            present: Zero for each task that has no target in this batch.
        """
        names = list(self.tasks)
        if not isinstance(losses, Mapping):
            if len(losses) != len(names):
                raise ValueError(
                    f"`losses` must hold one loss for each of {names}. Received: {len(losses)}"
                )
            losses = dict(zip(names, losses, strict=True))
        unknown = sorted(set(losses) - set(names))
        if unknown or not losses:
            raise ValueError(f"`losses` must be of the tasks {names}. Received: {sorted(losses)}")
        s = ops.clip(upcast(ops.convert_to_tensor(self.log_variances)), -_LIMIT, _LIMIT)
        total: Any = 0.0
        for index, (name, kind) in enumerate(self.tasks.items()):
            if name in losses:
                factor = 0.5 if kind == "regression" else 1.0
                loss = upcast(losses[name])
                own = ops.cast(s[index], loss.dtype)
                penalty = own if self.penalty == "log" else ops.softplus(own)
                term = factor * ops.exp(-own) * loss + 0.5 * penalty
                if present is not None and name in present:
                    term = ops.where(ops.greater(present[name], 0), term, ops.zeros_like(term))
                total = total + term
        return ops.cast(total, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        """Return the shape of a loss."""
        shapes = input_shape.values() if isinstance(input_shape, Mapping) else input_shape
        return tuple(next(iter(shapes)))

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Two tasks, with both penalties."""
        tasks = {"depth": "regression", "label": "classification"}
        losses = [TensorSpec((4,), low=0.5, high=2.0), TensorSpec((4,), low=0.5, high=2.0)]
        yield Example(cls, {"tasks": tasks}, losses)
        yield Example(cls, {"tasks": tasks, "penalty": "log1p"}, losses, name="log1p")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No task, unknown kinds and penalties."""
        yield Rejection(cls, {"tasks": {}}, "tasks")
        yield Rejection(cls, {"tasks": {"a": "ranking"}}, "tasks")
        yield Rejection(cls, {"tasks": {"a": "regression"}, "penalty": "l2"}, "penalty")
