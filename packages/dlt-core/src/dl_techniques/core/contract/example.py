"""Examples of a component: configurations with inputs that the kit, docs and benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

TRAITS = (
    "changes_in_training",
    "couples_batch",
    "hides_nan",
    "stochastic",
    "not_differentiable",
    "permutation_equivariant",
    "permutation_invariant",
    "scale_invariant",
    "scale_equivariant",
    "norm_preserving",
    "monotone",
    "idempotent",
    "elementwise",
)


@dataclass(frozen=True)
class TensorSpec:
    """One input tensor, to be filled at random.

    Args:
        shape: Its shape, batch first, with at least two samples.
        dtype: A Keras dtype name.
        low: Smallest value, or `None` for standard normal numbers.
        high: Largest value (exclusive for integers); given whenever `low` is.
        batched: Whether the first axis is the batch; false for an input that all samples share,
            such as the mask of a window.
        values: `"random"`; `"binary"` (0 or 1); `"one_hot"` along the last axis;
            `"probabilities"` that sum to one along the last axis.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float | None = None
    high: float | None = None
    values: Literal["random", "binary", "one_hot", "probabilities"] = "random"
    batched: bool = True

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError(
                "`low` and `high` must be given together. "
                f"Received: low={self.low}, high={self.high}"
            )


@dataclass(frozen=True)
class Fresh:
    """A value of an example that must be made anew for each instance, such as a sub-layer.

    Args:
        make: Called without arguments for each instance.
    """

    make: Callable[[], Any]


Inputs = TensorSpec | tuple[TensorSpec, ...] | list[TensorSpec] | Mapping[str, TensorSpec] | None


@dataclass(frozen=True)
class Example:
    """One configuration of a component with the inputs that it takes.

    Args:
        cls: The component.
        config: Arguments of the constructor; wrap what must be made anew for each instance,
            such as a sub-layer, in `Fresh`.
        inputs: The input of a layer or model (one tensor, or several as a tuple for a layer
            that takes several positional arguments, as a list for one whose only argument is a
            list, or a mapping of argument names; where `call` has no arguments of these names,
            the mapping is its only one); the arguments of `__call__` of a loss, `update_state` of
            a metric; the weight that an initializer (its shape), a regularizer or a constraint is
            applied to.
        call: Further keyword arguments of the call, such as `{"use_causal_mask": True}`.
        traits: Properties of this configuration, words from `TRAITS`; the kit tests each claim.
        name: Its name in test ids; needed when a component yields several.
        dead: Weights without a gradient by design, as the ends of their paths, such as
            `"key/bias"`: softmax does not see a shift of all keys. The kit tests each claim.
    """

    cls: Any
    config: Mapping[str, Any] = field(default_factory=dict)
    inputs: Inputs = None
    call: Mapping[str, Any] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    name: str = "default"
    dead: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", frozenset(self.traits))
        unknown = self.traits - set(TRAITS)
        if unknown:
            raise ValueError(
                f"`traits` must be words from {TRAITS}. Received: traits={sorted(unknown)}"
            )

    def create(self, **overrides: Any) -> Any:
        """A fresh instance.

        Args:
            **overrides: Arguments that replace the example's, such as `dtype="mixed_float16"`.
        """
        config = {
            key: value.make() if isinstance(value, Fresh) else value
            for key, value in self.config.items()
        }
        return self.cls(**{**config, **overrides})

    @property
    def instance(self) -> Any:
        """A fresh instance with the example's own configuration."""
        return self.create()


@dataclass(frozen=True)
class Rejection:
    """Arguments that a component must refuse with a `ValueError` or `TypeError`.

    Args:
        cls: The component.
        config: Arguments of the constructor.
        argument: The argument that the message must name.
        build: The input shape (or shapes) to build with, when the fault shows only there.
    """

    cls: Any
    config: Mapping[str, Any]
    argument: str
    build: Any = None
