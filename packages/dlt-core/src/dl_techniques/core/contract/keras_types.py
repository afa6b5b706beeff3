"""Keras's base classes as type checkers should see them.

Keras ships no types, so a strict checker sees `Any` wherever one of its classes is subclassed.
Here the part of each class that component code uses is declared for the checker; at run time
the names are Keras's own classes and nothing else.
"""

# ruff: noqa: D102 -- only declared here for type checkers; Keras documents the methods.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of whichever backend is active, symbolic or not."""

Shape: TypeAlias = tuple[int | None, ...]
"""A shape; `None` stands for a dimension that is not known yet."""

InitializerLike: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
"""An initializer: its name, its configuration, a class or an instance."""

RegularizerLike: TypeAlias = str | Mapping[str, Any] | Callable[[Any], Any]
"""A regularizer: its name, its configuration or an instance."""

ConstraintLike: TypeAlias = str | Mapping[str, Any] | Callable[[Any], Any]
"""A constraint: its name, its configuration or an instance."""

ActivationLike: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
"""An activation: its name, its configuration, a function, a layer or its class."""

LayerLike: TypeAlias = str | Mapping[str, Any] | Callable[..., Any]
"""A layer as `resolve` takes it: its name, its configuration, a class or an instance."""

if TYPE_CHECKING:

    class Variable:
        """A weight."""

        name: str
        path: str
        shape: tuple[int, ...]
        dtype: str
        trainable: bool
        value: Tensor

        def assign(self, value: Tensor) -> Tensor: ...
        def assign_add(self, value: Tensor) -> Tensor: ...
        def numpy(self) -> Any: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...

    class KerasLayer:
        """The surface of `keras.layers.Layer` that component code uses."""

        name: str
        built: bool
        trainable: bool
        supports_masking: bool
        autocast: bool
        dtype_policy: Any
        input_spec: Any

        def __init__(
            self,
            *,
            activity_regularizer: Any = None,
            trainable: bool = True,
            dtype: Any = None,
            autocast: bool = True,
            name: str | None = None,
            **kwargs: Any,
        ) -> None: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...
        def build(self, input_shape: Any) -> None: ...
        def add_weight(
            self,
            shape: Sequence[int] | None = None,
            initializer: Any = None,
            dtype: Any = None,
            trainable: bool = True,
            autocast: bool = True,
            regularizer: Any = None,
            constraint: Any = None,
            aggregation: str = "none",
            name: str | None = None,
        ) -> Variable: ...
        def add_loss(self, loss: Tensor) -> None: ...
        def compute_mask(self, inputs: Any, previous_mask: Any) -> Any: ...
        def compute_output_shape(self, input_shape: Any) -> Any: ...
        def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any: ...
        def count_params(self) -> int: ...
        def get_weights(self) -> list[Any]: ...
        def set_weights(self, weights: Sequence[Any]) -> None: ...
        def get_config(self) -> dict[str, Any]: ...
        def get_build_config(self) -> dict[str, Any] | None: ...
        def build_from_config(self, config: dict[str, Any] | None) -> None: ...
        def save_own_variables(self, store: Any) -> None: ...
        def load_own_variables(self, store: Any) -> None: ...
        @property
        def dtype(self) -> str: ...
        @property
        def compute_dtype(self) -> str: ...
        @property
        def variable_dtype(self) -> str: ...
        @property
        def losses(self) -> list[Tensor]: ...
        @property
        def variables(self) -> list[Variable]: ...
        @property
        def weights(self) -> list[Variable]: ...
        @property
        def trainable_variables(self) -> list[Variable]: ...
        @property
        def trainable_weights(self) -> list[Variable]: ...
        @property
        def non_trainable_variables(self) -> list[Variable]: ...

    class KerasModel(KerasLayer):
        """The surface of `keras.Model` that component code uses."""

        layers: list[Any]
        inputs: Any
        outputs: Any
        optimizer: Any

        def get_layer(self, name: str | None = None, index: int | None = None) -> Any: ...
        def compile(self, *args: Any, **kwargs: Any) -> None: ...
        def fit(self, *args: Any, **kwargs: Any) -> Any: ...
        def evaluate(self, *args: Any, **kwargs: Any) -> Any: ...
        def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any: ...
        def compute_loss(
            self,
            x: Any = None,
            y: Any = None,
            y_pred: Any = None,
            sample_weight: Any = None,
            training: bool = True,
        ) -> Tensor: ...
        def summary(self, *args: Any, **kwargs: Any) -> None: ...
        def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
        def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...
        def load_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None: ...

    class KerasLoss:
        """The surface of `keras.Loss` that component code uses."""

        name: str
        reduction: str | None

        def __init__(
            self,
            name: str | None = None,
            reduction: str | None = "sum_over_batch_size",
            dtype: Any = None,
        ) -> None: ...
        def __call__(
            self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor = None
        ) -> Tensor: ...
        def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor: ...
        def get_config(self) -> dict[str, Any]: ...
        @property
        def dtype(self) -> str: ...

    class KerasMetric:
        """The surface of `keras.Metric` that component code uses."""

        name: str

        def __init__(self, dtype: Any = None, name: str | None = None) -> None: ...
        def __call__(self, *args: Any, **kwargs: Any) -> Tensor: ...
        def add_variable(
            self,
            shape: Sequence[int],
            initializer: Any,
            dtype: Any = None,
            aggregation: str = "sum",
            name: str | None = None,
        ) -> Variable: ...
        def update_state(self, *args: Any, **kwargs: Any) -> None: ...
        def result(self) -> Tensor: ...
        def reset_state(self) -> None: ...
        def get_config(self) -> dict[str, Any]: ...
        @property
        def dtype(self) -> str: ...
        @property
        def variables(self) -> list[Variable]: ...

    class KerasInitializer:
        """The surface of `keras.initializers.Initializer` that component code uses."""

        def __call__(self, shape: Sequence[int], dtype: Any = None) -> Tensor: ...
        def get_config(self) -> dict[str, Any]: ...

    class KerasRegularizer:
        """The surface of `keras.regularizers.Regularizer` that component code uses."""

        def __call__(self, x: Tensor) -> Tensor: ...
        def get_config(self) -> dict[str, Any]: ...

    class KerasConstraint:
        """The surface of `keras.constraints.Constraint` that component code uses."""

        def __call__(self, w: Tensor) -> Tensor: ...
        def get_config(self) -> dict[str, Any]: ...

    Activation: TypeAlias = Callable[[Tensor], Tensor]
else:
    try:
        import keras
    except ModuleNotFoundError as error:
        # Keras imports its backend; without one its own message names neither cause nor remedy.
        raise ModuleNotFoundError(
            f"Keras could not be imported because {error.name!r} is missing. Components need "
            "Keras with one backend: install dlt-core[tensorflow], dlt-core[jax] or "
            "dlt-core[torch], and set KERAS_BACKEND to match.",
            name=error.name,
        ) from error

    Activation = Callable
    Variable = keras.Variable
    KerasLayer = keras.layers.Layer
    KerasModel = keras.Model
    KerasLoss = keras.losses.Loss
    KerasMetric = keras.metrics.Metric
    KerasInitializer = keras.initializers.Initializer
    KerasRegularizer = keras.regularizers.Regularizer
    KerasConstraint = keras.constraints.Constraint
