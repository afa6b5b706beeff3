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
    used: set[str] = set()
    consumed: set[int] = set()
    for variable in model.weights:
        if id(variable) in consumed:
            continue
        owner = owners.get(id(variable))
        for weight in _weights(variable, owner, model, keras, skipped, consumed):
            weights.append(_unique(weight, used))
    return Source(model.name, weights, skipped)


def _weights(
    variable: Any,
    owner: _Owner | None,
    model: Any,
    keras: Any,
    skipped: list[Skipped],
    consumed: set[int],
) -> Iterator[Weight]:
    layer = owner.layer if owner else None
    path = _path(variable, model)
    values: Values = _values(variable, keras)
    kind = type(layer).__name__ if layer is not None else ""
    name = layer.name if layer is not None else path.rpartition("/")[0]
    facts = _facts(layer)
    if variable.path.rpartition("/")[2] == "kernel" and "equation" not in facts:
        equation = attention_equation(name, values.shape) if kind == "EinsumDense" else None
        facts.update({"equation": equation} if equation else {})
    scale = getattr(layer, "kernel_scale", None)
    if scale is not None and values.dtype == "int8":
        consumed.add(id(scale))
        divisor = _values(scale, keras)
        skipped.append(
            Skipped(_path(scale, model), divisor.shape, divisor.dtype, f"the scale of {path}")
        )
        if getattr(layer, "quantization_mode", "int8") != "int8":
            reason = f"packed {layer.quantization_mode} weights are not unpacked"
            skipped.append(Skipped(path, values.shape, values.dtype, reason))
            return
        values = Scaled(values, divisor, divide=True)
    factors = [getattr(layer, f"lora_kernel_{part}", None) for part in "ab"]
    if None in factors or variable is factors[0] or variable is factors[1]:
        yield Weight(path, values, name, kind, "keras", facts)
        return
    if variable.path.rpartition("/")[2] != "kernel":
        yield Weight(path, values, name, kind, "keras", facts)
        return
    left, right = (_values(factor, keras) for factor in factors)
    scaling = _lora_scaling(layer)
    for factor in factors:
        consumed.add(id(factor))
        shape, dtype = tuple(factor.shape), str(factor.dtype)
        skipped.append(
            Skipped(_path(factor, model), shape, dtype, f"a factor of {path}_lora_delta")
        )
    yield Weight(path, values, name, kind, "keras", facts)
    yield Weight(f"{path}_lora_delta", LowRank(left, right, scaling), name, kind, "keras", facts)
    effective = LowRank(left, right, scaling, values)
    yield Weight(f"{path}_lora_effective", effective, name, kind, "keras", facts)


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


def _path(variable: Any, model: Any) -> str:
    path = str(variable.path)
    prefix = f"{model.name}/"
    return path.removeprefix(prefix) if path.count("/") > 1 else path


def _unique(weight: Weight, used: set[str]) -> Weight:
    """Keras allows two weights of one path; numbers tell them apart."""
    path, count = weight.path, 1
    while path in used:
        count += 1
        path = f"{weight.path}#{count}"
    used.add(path)
    if path == weight.path:
        return weight
    return Weight(path, weight.values, weight.layer, weight.kind, weight.layout, weight.facts)


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
