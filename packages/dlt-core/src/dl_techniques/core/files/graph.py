"""The graphs of functional models, checked before Keras follows them.

A graph is a list of layers with the calls that connect them. Keras makes the calls in passes over
the list until none is left: an order that no writer would choose costs passes without number, and
before Keras 3.12 a call that can never be made keeps it going for ever. A call without a tensor of
the model is no part of a graph: Keras carries it out at once, in the sizes that the file chooses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeGuard

from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files.archive import CONFIG
from dl_techniques.core.files.config_walk import Audit, Builtin, Use
from dl_techniques.core.text import short_repr

_HINT: Final = "Save the model again with `save_model`."
_BEGINS_WITH_A_CALL: Final = frozenset({"InputLayer", "Functional", "Model", "Sequential"})

Tensors = list[tuple[str, int]]
"""What a call takes: the layer that made each tensor, and at which of its calls."""


class _Layer(NamedTuple):
    """One layer of a graph."""

    calls: list[Tensors]
    made: int
    """How many calls it has had, or may have had, from the beginning."""


class _Fault(Exception):  # noqa: N818  # it carries a finding, and does not leave this module
    """What is wrong with a graph, and where."""

    def __init__(self, message: str, location: str) -> None:
        super().__init__(message)
        self.location = location


def faults(audit: Audit, *, label: str) -> Iterator[ModelFileError]:
    """What is wrong with the graphs of a configuration, one finding a graph.

    Args:
        audit: What the configuration names; without problems.
        label: How messages call the file.
    """
    named: tuple[Builtin | Use, ...] = (*audit.builtins, *audit.uses)
    for item in named:
        config = item.node.get("config") if item.node else None
        if is_graph(config):
            try:
                _follow(_layers(config, f"{item.location}.config"), item.location)
            except _Fault as fault:
                yield ModelFileError(
                    str(fault), path=label, member=CONFIG, location=fault.location, hint=_HINT
                )


def is_graph(config: Any) -> TypeGuard[dict[str, Any]]:
    """Whether a configuration is that of a functional model.

    Args:
        config: What the file holds for `config`.
    """
    return isinstance(config, dict) and {"input_layers", "output_layers"} <= config.keys()


class Watched:
    """Stands for `keras.Model` where Keras does not notice that it goes round in circles.

    Raises:
        RuntimeError: From `from_config`, if Keras tries to make calls much more often than there
            are any. Also an `IndexError` of a layer makes it try again.
    """

    def from_config(self, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A functional model from its configuration.

        Args:
            config: The configuration.
            custom_objects: See `keras.Model.from_config`.
        """
        import keras

        calls = [call for layer in config["layers"] for call in layer["inbound_nodes"]]
        left = [_most_attempts(len(calls))]
        layers = [
            {**layer, "inbound_nodes": [_Counted(left, call) for call in layer["inbound_nodes"]]}
            for layer in config["layers"]
        ]
        return keras.Model.from_config({**config, "layers": layers}, custom_objects)


class _Counted(dict[str, Any]):
    """A call that counts how often it is read."""

    def __init__(self, left: list[int], call: dict[str, Any]) -> None:
        super().__init__(call)
        self._left = left

    def __getitem__(self, key: str) -> Any:
        self._left[0] -= key == "args"
        if self._left[0] < 0:
            raise RuntimeError("the model's graph has calls that can never be made")
        return super().__getitem__(key)


def _most_attempts(calls: int) -> int:
    """How often Keras may try to make a call, all together; a shared layer's take two."""
    return 1000 + 4 * calls


def _layers(config: dict[str, Any], location: str) -> dict[str, _Layer]:
    if not isinstance(config.get("layers"), list):
        raise _Fault("has no list of layers.", location)
    layers: dict[str, _Layer] = {}
    for index, layer in enumerate(config["layers"]):
        place = f"{location}.layers[{index}]"
        node = layer if isinstance(layer, dict) else {}
        name, calls = node.get("name"), node.get("inbound_nodes")
        if not isinstance(name, str) or not isinstance(calls, list) or name in layers:
            raise _Fault("has no name of its own, or no list of calls.", place)
        tensors = [_tensors(call, f"{place}.inbound_nodes[{i}]") for i, call in enumerate(calls)]
        component = ">" in str(node.get("registered_name"))
        begins = component or str(node.get("class_name")) in _BEGINS_WITH_A_CALL
        layers[name] = _Layer(tensors, int(begins))
    return layers


def _tensors(call: Any, location: str) -> Tensors:
    """The tensors of the model that a call takes."""
    if not isinstance(call, dict) or not {"args", "kwargs"} <= call.keys():
        raise _Fault("is a call without `args` and `kwargs`.", location)
    found: Tensors = []
    stack = [call["args"], call["kwargs"]]
    while stack:
        item = stack.pop()
        if isinstance(item, list):
            stack.extend(item)
        elif isinstance(item, dict) and item.get("class_name") != "__keras_tensor__":
            stack.extend(item.values())
        elif isinstance(item, dict) and isinstance(item.get("config"), dict):
            layer, number, _ = item["config"].get("keras_history") or (None, 0, 0)
            found += [] if layer is None else [(layer, number)]
    if not found:
        raise _Fault(
            "is a call without a tensor of the model, which would be carried out at once.", location
        )
    return found


def _follow(layers: dict[str, _Layer], location: str) -> None:
    """Go through the calls as Keras does: in passes, those of each layer in their order."""
    made = {name: layer.made for name, layer in layers.items()}
    waiting = {name: deque(layer.calls) for name, layer in layers.items() if layer.calls}
    left = _most_attempts(sum(len(calls) for calls in waiting.values()))
    while waiting:
        moved = False
        for name, calls in [*waiting.items()]:
            while calls and _ready(calls[0], made, location):
                calls.popleft()
                made[name] += 1
                left -= 1
                moved = True
            if calls:
                left -= 1
            else:
                del waiting[name]
        if not moved:
            names = ", ".join(short_repr(name) for name in [*waiting][:5])
            raise _Fault(f"has calls that can never be made: those of {names}.", location)
        if left < 0:
            raise _Fault("lists its layers in an order that takes too long to follow.", location)


def _ready(tensors: Tensors, made: dict[str, int], location: str) -> bool:
    for name, number in tensors:
        if name not in made:
            raise _Fault(f"has no layer {short_repr(name)}, whose output it uses.", location)
        if made[name] <= number:
            return False
    return True
