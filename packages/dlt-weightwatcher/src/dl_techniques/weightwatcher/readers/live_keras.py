"""Weights of live Keras models and layers, on whichever backend they run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from dl_techniques.weightwatcher.readers.keras_names import attention_equation, facts_of_config
from dl_techniques.weightwatcher.readers.values import Held, LowRank, Scaled, Values
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, SourceError, Weight

_DEPTH: Final = 64


class _Owner(NamedTuple):
    layer: Any
    attribute: str


def read_live_keras(model: Any, keras: Any) -> Source:
    """All weights of a built model or layer.

    Args:
        model: A `keras.layers.Layer`, such as a model.
        keras: The imported Keras module.

    Raises:
        SourceError: If it is not built.
    """
    if not model.weights and (not model.built or getattr(model, "layers", True)):
        raise SourceError(
            f"{type(model).__name__} {model.name!r} has no weights yet. Call `build()` with an "
            "input shape, or call the model once."
        )
    owners: dict[int, _Owner] = {}
    _find_owners(model, keras, owners, set(), 0)
    skipped: list[Skipped] = []
    weights: list[Weight] = []
    consumed: set[int] = set()
    for variable, path in zip(model.weights, unique_paths(model), strict=True):
        if id(variable) not in consumed:
            owner = owners.get(id(variable))
            weights += _weights(variable, path, owner, model, keras, skipped, consumed)
    return Source(model.name, weights, skipped)


def _weights(
    variable: Any,
    path: str,
    owner: _Owner | None,
    model: Any,
    keras: Any,
    skipped: list[Skipped],
    consumed: set[int],
) -> Iterator[Weight]:
    layer = owner.layer if owner else None
    values: Values = _values(variable, keras)
    kind = type(layer).__name__ if layer is not None else ""
    name = layer.name if layer is not None else path.rpartition("/")[0]
    facts = _facts(layer)
    kernel = str(variable.path).rpartition("/")[2] == "kernel"
    if kernel and "equation" not in facts:
        equation = attention_equation(name, values.shape) if kind == "EinsumDense" else None
        facts.update({"equation": equation} if equation else {})
    if kernel and values.dtype in {"int8", "uint8"}:
        joined = _dequantized(values, layer, path, model, keras, skipped, consumed)
        if joined is None:
            return
        values = joined
    yield Weight(path, values, name, kind, "keras", facts)
    factors = [getattr(layer, f"lora_kernel_{part}", None) for part in "ab"]
    if not kernel or any(factor is None for factor in factors):
        return
    left, right = (_values(factor, keras) for factor in factors)
    for factor, held in zip(factors, (left, right), strict=True):
        consumed.add(id(factor))
        reason = f"a factor of {path}_lora_delta"
        skipped.append(Skipped(path_of(factor, model), held.shape, held.dtype, reason))
    scaling = _lora_scaling(layer)
    for suffix, base in (("delta", None), ("effective", values)):
        update = LowRank(left, right, scaling, base)
        yield Weight(f"{path}_lora_{suffix}", update, name, kind, "keras", facts)


def _dequantized(
    values: Values,
    layer: Any,
    path: str,
    model: Any,
    keras: Any,
    skipped: list[Skipped],
    consumed: set[int],
) -> Values | None:
    """A quantized kernel joined with its scale; `None` where it cannot be."""
    mode = getattr(layer, "quantization_mode", None)
    scale = getattr(layer, "kernel_scale", None)
    if scale is None:
        return values
    divisor = _values(scale, keras)
    consumed.add(id(scale))
    reason = f"the scale of {path}"
    skipped.append(Skipped(path_of(scale, model), divisor.shape, divisor.dtype, reason))
    if mode not in {None, "int8"}:
        reason = f"packed {mode} weights are not unpacked"
        skipped.append(Skipped(path, values.shape, values.dtype, reason))
        return None
    return Scaled(values, divisor, divide=True)


def _lora_scaling(layer: Any) -> float:
    rank = getattr(layer, "lora_rank", None)
    alpha = getattr(layer, "lora_alpha", None)
    return float(alpha) / float(rank) if alpha and rank else 1.0


def _values(variable: Any, keras: Any) -> Held:
    array = keras.ops.convert_to_numpy(variable)
    dtype = keras.backend.standardize_dtype(variable.dtype)
    # On PyTorch, bfloat16 comes back as float32; what is stored is what counts.
    if array.dtype.name != dtype and dtype.startswith(("bfloat16", "float8")):
        from dl_techniques.weightwatcher.readers.values import numpy_dtype

        array = array.astype(numpy_dtype(dtype))
    return Held(array)


def _facts(layer: Any) -> dict[str, Any]:
    names = ("equation", "groups")
    return facts_of_config({name: getattr(layer, name, None) for name in names})


def path_of(variable: Any, model: Any) -> str:
    """The path of a variable, without the name of the model itself.

    Args:
        variable: The variable.
        model: The model that it belongs to.
    """
    path = str(variable.path)
    prefix = f"{model.name}/"
    return path.removeprefix(prefix) if path.count("/") > 1 else path


def unique_paths(model: Any) -> list[str]:
    """The paths of all weights; Keras allows two of one path, which numbers tell apart.

    Args:
        model: The model.
    """
    counts: dict[str, int] = {}
    found = []
    for variable in model.weights:
        path = path_of(variable, model)
        counts[path] = counts.get(path, 0) + 1
        found.append(path if counts[path] == 1 else f"{path}#{counts[path]}")
    return found


def _find_owners(
    item: Any, keras: Any, owners: dict[int, _Owner], seen: set[int], depth: int
) -> None:
    """The layer that holds each variable itself: the deepest one on the way to it."""
    if depth > _DEPTH or id(item) in seen:
        return
    seen.add(id(item))
    if isinstance(item, keras.layers.Layer):
        for name, value in list(vars(item).items()):
            for variable in _variables(value, keras):
                owners.setdefault(id(variable), _Owner(item, name))
            _find_owners(value, keras, owners, seen, depth + 1)
    elif isinstance(item, dict):
        for value in list(item.values()):
            _find_owners(value, keras, owners, seen, depth + 1)
    elif isinstance(item, list | tuple | set):
        for value in list(item):
            _find_owners(value, keras, owners, seen, depth + 1)


def _variables(value: Any, keras: Any) -> Iterator[Any]:
    if isinstance(value, keras.Variable):
        yield value
    elif isinstance(value, list | tuple):
        yield from (v for v in value if isinstance(v, keras.Variable))
    elif isinstance(value, dict):
        yield from (v for v in value.values() if isinstance(v, keras.Variable))
