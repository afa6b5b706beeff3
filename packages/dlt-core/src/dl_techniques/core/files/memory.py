"""How much memory a configuration asks for, before anything is built.

`units: 15000` costs five characters and, twice in a row, 0.9 GiB. What a model asks for must be
in proportion to the weights that its file really holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from dl_techniques.core.files.config_walk import Audit, is_operation

_FLOAT: Final = 4
_COUNTING: Final = re.compile(
    r"(.*_)?(id|seed|axis|axes|groups|name|rank|strides|dilation_rate|max_tokens)"
)


def least_bytes(audit: Audit) -> tuple[int, str]:
    """Bytes that building the model surely allocates, and where most of them go.

    Exact for Keras's own large layers that were built when they were saved, and for its metrics;
    others count zero.

    Args:
        audit: What the configuration names.
    """
    total, largest, where = 0, 0, ""
    for item in audit.builtins:
        count = _exact(item.name.rpartition(".")[2], item.node) * _FLOAT
        total += count
        if count > largest:
            largest, where = count, item.location
    return total, where


def most_bytes(audit: Audit, config: dict[str, Any]) -> int:
    """A rough upper bound of the same: the product of each object's two largest numbers.

    Args:
        audit: What the configuration names.
        config: The configuration itself.
    """
    nodes = [item.node for item in audit.builtins if not is_operation(item.name)]
    nodes += [use.node for use in audit.uses if use.node is not None]
    widest = max(_sizes(config), default=1)
    total = 0
    for node in nodes:
        own = node.get("config")
        sizes = [*_sizes(own, nested=False), *_sizes(node.get("build_config"))]
        if isinstance(own, dict) and _SIZED & own.keys() and not node.get("build_config"):
            sizes.append(widest)  # built by being called, on whatever comes in
        first, second = [*sorted(sizes, reverse=True), 1, 1][:2]
        kernel = own.get("kernel_size", 1) if isinstance(own, dict) else 1
        total += first * second * _product(kernel) * _FLOAT
    return total


_SIZED: Final = frozenset({"units", "filters", "dim", "hidden_dim", "output_dim", "embed_dim"})


def _exact(name: str, node: dict[str, Any]) -> int:
    """Numbers in a built-in's weights or tables; zero where that is not known or malformed."""
    config, build = node.get("config"), node.get("build_config")
    if name not in _COUNTS or not isinstance(config, dict):
        return 0
    shape = build.get("input_shape") if isinstance(build, dict) else None
    try:
        return max(0, int(_COUNTS[name](config, shape)))
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        # Malformed: Keras will refuse it before it allocates anything.
        return 0


def _dense(config: dict[str, Any], shape: Any) -> int:
    return int(shape[-1]) * int(config["units"])


def _convolution(config: dict[str, Any], shape: Any) -> int:
    channels = shape[1] if config.get("data_format") == "channels_first" else shape[-1]
    kernel = _product(config["kernel_size"])
    return kernel * int(channels) * int(config["filters"]) // int(config.get("groups") or 1)


def _embedding(config: dict[str, Any], _: Any) -> int:
    return int(config["input_dim"]) * int(config["output_dim"])


def _recurrent(gates: int) -> Callable[[dict[str, Any], Any], int]:
    def count(config: dict[str, Any], shape: Any) -> int:
        units = int(config["units"])
        return gates * units * (units + int(shape[-1]) if shape else units)

    return count


def _einsum(config: dict[str, Any], shape: Any) -> int:
    outputs = config["output_shape"]
    outputs = outputs if isinstance(outputs, list) else [outputs]
    inputs, rest = config["equation"].split(",")
    kernel, result = rest.split("->")
    sizes = dict(zip(reversed(inputs), reversed(shape), strict=False))
    sizes.update(zip(reversed(result), reversed(outputs), strict=False))
    return math.prod(int(sizes[letter] or 1) for letter in kernel if letter != ".")


def _spectrogram(config: dict[str, Any], _: Any) -> int:
    return int(config["fft_length"]) * int(config.get("num_mel_bins") or config["fft_length"])


def _normalization(config: dict[str, Any], shape: Any) -> int:
    """Mean and variance, which are spread over the axes when they are given."""
    axes = config["axis"]
    axes = axes if isinstance(axes, list) else [axes]
    return _GIVEN_AND_SPREAD * math.prod(int(shape[axis]) for axis in axes if axis is not None)


def _metric(config: dict[str, Any], _: Any) -> int:
    """A confusion matrix, or a list of thresholds with what is counted at each."""
    thresholds = int(config.get("num_thresholds") or 0) * int(config.get("num_labels") or 1)
    return int(config.get("num_classes") or 0) ** 2 + _FOR_A_THRESHOLD * thresholds


def _ngrams(config: dict[str, Any], _: Any) -> int:
    ngrams = config.get("ngrams")
    return _FOR_A_NUMBER * int(ngrams) if isinstance(ngrams, int) else 0


# In floats of four bytes. Python's own numbers take ten, in a list.
_GIVEN_AND_SPREAD: Final = 4
_FOR_A_NUMBER: Final = 10
_FOR_A_THRESHOLD: Final = 20

_COUNTS: Final[dict[str, Callable[[dict[str, Any], Any], int]]] = {
    "Dense": _dense,
    "EinsumDense": _einsum,
    "Embedding": _embedding,
    "ReversibleEmbedding": _embedding,
    "SimpleRNN": _recurrent(1),
    "GRU": _recurrent(3),
    "LSTM": _recurrent(4),
    "MelSpectrogram": _spectrogram,
    "STFTSpectrogram": _spectrogram,
    "Normalization": _normalization,
    "TextVectorization": _ngrams,
    **dict.fromkeys(
        (
            "AUC",
            "IoU",
            "MeanIoU",
            "OneHotIoU",
            "OneHotMeanIoU",
            "PrecisionAtRecall",
            "RecallAtPrecision",
            "SensitivityAtSpecificity",
            "SpecificityAtSensitivity",
        ),
        _metric,
    ),
    **{
        f"{name}{rank}D{suffix}": _convolution
        for name in ("Conv", "Convolution")
        for rank in (1, 2, 3)
        for suffix in ("", "Transpose")
    },
}


def _sizes(value: Any, *, nested: bool = True) -> Iterable[int]:
    """All numbers that may be sizes; without `nested`, those of other objects are left out."""
    stack = [("", value)]
    while stack:
        key, item = stack.pop()
        if isinstance(item, dict):
            if nested or "class_name" not in item:
                stack.extend(item.items())
        elif isinstance(item, list):
            stack.extend((key, element) for element in item)
        elif _is_number(item) and item > 0 and not _COUNTING.fullmatch(key):
            yield item


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _product(value: Any) -> int:
    values = value if isinstance(value, list) else [value]
    return math.prod(item for item in values if isinstance(item, int) and item > 0)
