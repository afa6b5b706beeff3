"""Infer what Keras's files omit: the class of a layer and the names of its weights."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from dl_techniques.weightwatcher.readers.quantized import mode_of

_CLASSES: Final = [
    "Dense",
    "EinsumDense",
    "Embedding",
    "ReversibleEmbedding",
    "Conv1D",
    "Conv2D",
    "Conv3D",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "SeparableConv1D",
    "SeparableConv2D",
    "LSTM",
    "GRU",
    "SimpleRNN",
    "LSTMCell",
    "GRUCell",
    "SimpleRNNCell",
    "MultiHeadAttention",
    "GroupedQueryAttention",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
]
_RECURRENT: Final = ("kernel", "recurrent_kernel", "bias")
_VARIABLES: Final[dict[str, Sequence[str]]] = {
    "Embedding": ("embeddings",),
    "ReversibleEmbedding": ("embeddings",),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel", "bias"),
    **{f"{name}Cell": _RECURRENT for name in ("LSTM", "GRU", "SimpleRNN")},
}


class Facts(NamedTuple):
    """The configuration's facts about one layer."""

    kind: str
    facts: dict[str, Any]


def facts_of_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a layer's configuration that say how to read its kernel.

    Args:
        config: The layer's own configuration.
    """
    wanted = ("equation", "groups")
    facts = {key: config[key] for key in wanted if config.get(key) is not None}
    mode = mode_of(config)
    return facts if mode is None else {**facts, "quantization": mode}


def layers_of_config(text: str) -> dict[str, Facts]:
    """Name of each layer that a model's config.json spells out -> what it says.

    Names that stand for layers of different classes are left out.

    Args:
        text: The content of config.json.
    """
    found: dict[str, Facts] = {}
    clashing: set[str] = set()
    stack: list[Any] = [json.loads(text)]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            stack.extend(node.values())
            config = node.get("config")
            if isinstance(config, dict) and isinstance(config.get("name"), str):
                name = config["name"]
                facts = Facts(str(node.get("class_name", "")), facts_of_config(config))
                if found.setdefault(name, facts) != facts:
                    clashing.add(name)
    return {name: facts for name, facts in found.items() if name not in clashing}


def class_of_group(group: str, shapes: Sequence[tuple[int, ...]]) -> str:
    """The class of a layer, from the name of its group in the file.

    Keras names the groups of listed layers after their classes (`conv2d_1`), and those of
    attributes after the attributes (`cell`).

    Args:
        group: The path of the group, such as `layers/lstm_1/cell`.
        shapes: The shapes of its weights.
    """
    parts = [re.sub(r"_\d+$", "", part) for part in group.split("/")]
    kind = _BY_GROUP.get(parts[-1], "")
    if kind in {"LSTM", "GRU", "SimpleRNN"}:
        return f"{kind}Cell"
    if parts[-1] in {"cell", "lstm_cell", "gru_cell", "simple_rnn_cell"}:
        return _cell(shapes)
    if parts[-1] in {"query_dense", "key_dense", "value_dense", "output_dense"}:
        return "EinsumDense"
    return kind


def variable_name(kind: str, index: int, shapes: Sequence[tuple[int, ...]]) -> str:
    """Return a weight's name in its layer; its place where only the layer's code knows.

    Args:
        kind: The layer's class.
        index: Its place among the layer's weights.
        shapes: The shapes of all of these.
    """
    if not kind and len(shapes) == 2 and len(shapes[0]) > 1 and shapes[1] == shapes[0][-1:]:
        return ("kernel", "bias")[index]
    known: Sequence[str] = _VARIABLES.get(kind, ("kernel", "bias") if kind in _CLASSES else ())
    if index < len(known):
        return known[index]
    return str(index)


def attention_equation(group: str, shape: tuple[int, ...]) -> str | None:
    """The equation of a projection of Keras's attention layers, which no file states.

    Args:
        group: The path of its group, or the name of the layer.
        shape: The shape of its kernel.
    """
    name = group.rpartition("/")[2]
    if len(shape) != 3:
        return None
    if name in {"query_dense", "key_dense", "value_dense", "query", "key", "value"}:
        return "abc,cde->abde"
    if name in {"output_dense", "attention_output"}:
        return "abcd,cde->abe"
    return None


def _snake(name: str) -> str:
    text = re.sub(r"\W+", "", name)
    text = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", text)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", text).lower()


_BY_GROUP: Final = {_snake(name): name for name in _CLASSES}


def _cell(shapes: Sequence[tuple[int, ...]]) -> str:
    """Return which recurrent cell has weights of these shapes."""
    for rows, columns in (shape for shape in shapes[1:2] if len(shape) == 2):
        return {4: "LSTMCell", 3: "GRUCell", 1: "SimpleRNNCell"}.get(columns // rows, "")
    return ""
