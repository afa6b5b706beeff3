"""Find the model in a checkpoint: trainers store much beside it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

_NESTING: Final = 6
_TRAINING: Final = re.compile(
    r"^(optim\w*|\w*optimizers?(_states?|_state_dict)?|lr_schedulers?|schedulers?|scheduler_state\w*"
    r"|(grad_)?scaler|amp\w*|rng_states?|callbacks|loops|hyper_parameters|training_args)$",
    re.IGNORECASE,
)
_AVERAGE: Final = re.compile(
    r"^(ema|model_ema|ema_model|ema_state\w*|state_dict_ema|params_ema|\w+_ema|ema_\w+|swa_\w+"
    r"|averaged?_model)$",
    re.IGNORECASE,
)
OPTIMIZER: Final = "state of the optimizer, of a schedule or of the trainer"
AVERAGE: Final = "a moving average of the weights"


class Found(NamedTuple):
    """A tensor of a checkpoint."""

    name: str
    item: Any
    reason: str
    """Why it is no weight of the model; empty for one that is."""


def tensors_of(content: Any, is_tensor: Callable[[Any], bool]) -> list[Found]:
    """List the tensors of nested mappings and lists.

    Moments of an optimizer are recognised by the shape of its state (`state` and `param_groups`)
    or the names of trainers; moving averages are left out where the weights themselves are there.

    Args:
        content: The file's content.
        is_tensor: Whether an item is a tensor.
    """
    found = [_inner_average(f) for f in _walk(content, "", "", is_tensor, 0)]
    if any(not f.reason for f in found):
        return found
    # Averages only: they are the model.
    return [f._replace(reason="" if f.reason == AVERAGE else f.reason) for f in found]


def _inner_average(found: Found) -> Found:
    modules = found.name.split(".")[:-1]  # the last part is what the tensor is called
    average = any(_AVERAGE.match(part) for part in modules[:2])
    return found._replace(reason=AVERAGE) if average and not found.reason else found


def _walk(
    item: Any, name: str, reason: str, is_tensor: Callable[[Any], bool], depth: int
) -> Iterator[Found]:
    if is_tensor(item):
        yield Found(name or "tensor", item, reason)
        return
    if depth >= _NESTING:
        return
    if isinstance(item, Mapping):
        if {"state", "param_groups"} <= {str(key) for key in item}:
            reason = OPTIMIZER
        for key, value in item.items():
            why = reason or _reason(str(key), value, is_tensor)
            yield from _walk(value, _joined(name, key), why, is_tensor, depth + 1)
    elif isinstance(item, list | tuple):
        for index, value in enumerate(item):
            yield from _walk(value, _joined(name, index), reason, is_tensor, depth + 1)


def _joined(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)


def _reason(key: str, value: Any, is_tensor: Callable[[Any], bool]) -> str:
    """Return the meaning of a part's key; a tensor of a state dict may have any name."""
    if is_tensor(value):
        return ""
    if _TRAINING.match(key):
        return OPTIMIZER
    return AVERAGE if _AVERAGE.match(key) else ""
