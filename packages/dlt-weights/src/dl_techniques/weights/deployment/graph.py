"""Graphs of Keras layers as lists of calls, and their rewriting by public means."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

Action = Callable[..., Any]
"""Takes an operation and the arguments of one call; returns what stands for its output."""


@dataclass
class Call:
    """One call of a layer or operation in a graph."""

    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any
    inputs: tuple[int | None, ...]
    """The calls that made the tensors it gets; `None` for an input of the model."""
    consumers: list[int] = field(default_factory=list)
    is_output: bool = False

    @property
    def is_layer(self) -> bool:
        """Tell whether it is a layer, not a bare operation."""
        return isinstance(self.operation, keras.layers.Layer)

    @property
    def plain(self) -> bool:
        """Tell whether it gets tensors only, and nothing asks for training."""
        given = any(value not in (None, False) for value in self.kwargs.values())
        tensors = all(isinstance(x, keras.KerasTensor) for x in self.args)
        return not given and bool(self.args) and tensors

    def only_consumer(self) -> int | None:
        """The one call that reads what this one makes, if nothing else does."""
        return self.consumers[0] if len(self.consumers) == 1 and not self.is_output else None


def functional(model: Any, inputs: Any) -> Any:
    """The graph of a model's own call.

    Args:
        model: A built model.
        inputs: Symbolic tensors.
    """
    return keras.Model(inputs, unrolled(model, (inputs,)), name=model.name)


def unrolled(layer: Any, args: tuple[Any, ...]) -> Any:
    """Run the code of a layer on symbolic tensors, so that the layers in it stand in the graph.

    Args:
        layer: A built layer.
        args: Symbolic tensors.
    """
    # At inference Keras overrides what a call in a graph says of training, as `predict` does.
    return layer.call(*args, **at_inference(layer))


def at_inference(layer: Any) -> dict[str, bool]:
    """The argument of `call` that says so, if it takes one.

    Args:
        layer: A layer.
    """
    takes_training = "training" in inspect.signature(layer.call).parameters
    return {"training": False} if takes_training else {}


def calls_of(graph: Any) -> list[Call]:
    """The calls of a graph, in the order in which `rewrite` meets them.

    Args:
        graph: A functional model.
    """
    calls: list[Call] = []
    makers: dict[int, int] = {}

    def note(operation: Any, *args: Any, **kwargs: Any) -> Any:
        output = operation(*args, **kwargs)
        inputs = tuple(makers.get(id(x)) for x in tensors_in((args, kwargs)))
        for index in inputs:
            if index is not None:
                calls[index].consumers.append(len(calls))
        for tensor in tensors_in(output):
            makers[id(tensor)] = len(calls)
        calls.append(Call(operation, args, kwargs, output, inputs))
        return output

    again = keras.models.clone_model(graph, clone_function=_same, call_function=note)
    for tensor in again.outputs:
        maker = makers.get(id(tensor))
        if maker is not None:
            calls[maker].is_output = True
    return calls


def counted(calls: list[Call]) -> Counter[int]:
    """Count the calls of each operation, by its id.

    Args:
        calls: Of a graph.
    """
    return Counter(id(call.operation) for call in calls)


def rewrite(graph: Any, actions: Mapping[int, Action]) -> Any:
    """Make the graph again, with something else in the place of some calls.

    Args:
        graph: A functional model; its layers are used again.
        actions: Index of a call -> what to do instead.
    """
    index = iter(range(1 << 62))

    def call(operation: Any, *args: Any, **kwargs: Any) -> Any:
        action = actions.get(next(index))
        if action is not None:
            return action(operation, *args, **kwargs)
        return operation(*args, **kwargs)

    return keras.models.clone_model(graph, clone_function=_same, call_function=call)


def skip(operation: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG001  # an action
    """The action that leaves a call out.

    Args:
        operation: What is not called.
        *args: The tensor, first.
        **kwargs: Not used.
    """
    return args[0]


def instead(layer: Any) -> Action:
    """The action that calls another layer.

    Args:
        layer: Which.
    """
    return lambda _, *args, **kwargs: layer(*args, **kwargs)


def tensors_in(value: Any) -> Iterator[Any]:
    """The symbolic tensors in nested containers.

    Args:
        value: A container or a tensor.
    """
    return (x for x in keras.tree.flatten(value) if isinstance(x, keras.KerasTensor))


def constants_in(call: Call) -> list[Any]:
    """Variables and arrays among the arguments of a call, which no configuration can hold.

    Args:
        call: The call.
    """
    return [
        x
        for x in keras.tree.flatten((call.args, call.kwargs))
        if isinstance(x, keras.Variable) or (hasattr(x, "dtype") and hasattr(x, "__array__"))
        if not isinstance(x, keras.KerasTensor)
    ]


def _same(layer: Any) -> Any:
    return layer
