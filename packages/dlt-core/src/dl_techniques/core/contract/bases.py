"""The base classes of components: Keras's own, plus what the contract adds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final, Self

from dl_techniques.core.contract.changed_parts import change_parts, changed_parts
from dl_techniques.core.contract.config import Configurable
from dl_techniques.core.contract.example import Example, Rejection
from dl_techniques.core.contract.functional import (
    functional_class,
    functional_variant,
    graph_config,
    is_graph,
    make_functional,
    takes_graph,
)
from dl_techniques.core.contract.keras_types import (
    KerasConstraint,
    KerasInitializer,
    KerasLayer,
    KerasLoss,
    KerasMetric,
    KerasModel,
    KerasRegularizer,
)

_PARTS: Final = "parts"
_GRAPH_PARTS: Final = "dl_parts"  # among the names of parameters


class Component(Configurable):
    """Mixin of every component class, beside its Keras class.

    The base of kinds that have no base class below, before their Keras class: callbacks,
    schedules, analyzers.

    Attributes:
        expected_failures: Conformance checks that cannot hold for this component, each with the
            reason. The kit is strict: an expected failure that passes is an error.
        transient: Parameters of the constructor that act once and that no configuration holds,
            such as the file that the first weights are read from.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {}
    transient: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Ready configurations with inputs: for the conformance kit, the docs, the benchmarks."""
        yield from ()

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Wrong arguments that the constructor or `build` must refuse by name."""
        yield from ()


class _Parts:
    """Mixin of `Layer` and `Model`: stores how their parts were changed."""

    def get_build_config(self) -> dict[str, Any] | None:
        """Return the input shapes and the changes of parts since; see `build_from_config`."""
        build: Any = super()
        config: dict[str, Any] | None = build.get_build_config()
        if config is None or isinstance(self, functional_class()):
            return config
        parts = changed_parts(self)
        return {**config, _PARTS: parts} if parts else config

    def build_from_config(self, config: dict[str, Any] | None) -> None:
        """Build as before saving, and quantize, adapt and freeze parts as they were.

        Args:
            config: `get_build_config()`'s answer; JSON may have turned tuples into lists.
        """
        shapes = {key: value for key, value in (config or {}).items() if key != _PARTS}
        build: Any = super()
        build.build_from_config(_tuples(shapes))
        if config and _PARTS in config:
            change_parts(self, config[_PARTS])


class Layer(_Parts, Component, KerasLayer):
    """`keras.layers.Layer` with a derived configuration."""


class Model(_Parts, Component, KerasModel):
    """`keras.Model` with a derived configuration.

    A subclass may also be functional-style: its constructor passes `inputs` and `outputs` to this
    one. `Model(inputs, outputs)` itself is a plain functional model of Keras.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Make a functional model if a class without a constructor is given a graph."""
        if cls is Model and takes_graph(args, kwargs):
            return KerasModel(*args, **kwargs)  # type: ignore[return-value]  # as Keras does
        has_graph = cls.__init__ is Model.__init__ and takes_graph(args, kwargs)
        made: type[Self] = functional_variant(cls) if has_graph else cls
        return super().__new__(made, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if takes_graph(args, kwargs):
            make_functional(type(self))
        super().__init__(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as JSON types; the graph, if it has only this constructor."""
        if type(self).__init__ is Model.__init__ and isinstance(self, functional_class()):
            return graph_config(self)
        config = super().get_config()
        # It is built by its constructor, so that nobody will ask it to build itself.
        parts = changed_parts(self) if isinstance(self, functional_class()) else {}
        return {**config, _GRAPH_PARTS: parts} if parts else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        """Make an instance from `get_config()`'s answer.

        Args:
            config: The configuration; nested Keras objects are deserialized.
            custom_objects: See `keras.Model.from_config`.
        """
        if is_graph(config) and cls.__init__ is Model.__init__:
            from_graph: Any = super(Configurable, cls).from_config  # type: ignore[misc]  # Keras's
            return from_graph(config, custom_objects)  # type: ignore[no-any-return]
        parts = config.get(_GRAPH_PARTS)
        model = super().from_config({k: v for k, v in config.items() if k != _GRAPH_PARTS})
        if parts:
            change_parts(model, parts)
        return model


class Loss(Component, KerasLoss):
    """`keras.Loss` with a derived configuration."""

    def _inherited_config(self) -> dict[str, Any]:
        # Keras accepts `dtype` in the constructor of a loss and leaves it out of the config.
        return {**super()._inherited_config(), "dtype": self.dtype}


class Metric(Component, KerasMetric):
    """`keras.Metric` with a derived configuration."""


class Initializer(Component, KerasInitializer):
    """`keras.initializers.Initializer` with a derived configuration."""


class Regularizer(Component, KerasRegularizer):
    """`keras.regularizers.Regularizer` with a derived configuration."""


class Constraint(Component, KerasConstraint):
    """`keras.constraints.Constraint` with a derived configuration."""


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list):
        items = [_tuples(item) for item in value]
        is_shape = all(item is None or isinstance(item, int) for item in items)
        return tuple(items) if is_shape else items
    return value
