"""Weights of live Keras models and layers, on whichever backend they run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from dl_techniques.weights.readers.values import numpy_dtype
from dl_techniques.weightwatcher.readers.computed import LowRank
from dl_techniques.weightwatcher.readers.keras_names import attention_equation, facts_of_config
from dl_techniques.weightwatcher.readers.quantized import Named, join_scale, skip
from dl_techniques.weightwatcher.readers.values import Held, Values
from dl_techniques.weightwatcher.readers.weight import Skipped, Source, SourceError, Weight

_DEPTH: Final = 64
_KERNELS: Final = ("kernel", "embeddings")


class _Variable(NamedTuple):
    """A variable of the model, and the layer that holds it."""

    path: str
    name: str
    layer: Any
    own: Any
    """The Keras variable itself."""


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
    owners: dict[int, Any] = {}
    _find_owners(model, keras, owners, set(), 0)
    pairs = zip(model.weights, unique_paths(model), strict=True)
    variables = [_Variable(path, _name(v), owners.get(id(v)), v) for v, path in pairs]
    reading = _Reading(keras, variables)
    return Source(model.name, list(reading.weights()), reading.skipped)


class _Reading:
    """The variables of one model on their way to weights.

    Args:
        keras: The imported Keras module.
        variables: All of them.
    """

    def __init__(self, keras: Any, variables: list[_Variable]) -> None:
        self.keras = keras
        self.variables = variables
        self.skipped: list[Skipped] = []
        self._consumed: set[int] = set()
        self._joined: dict[int, Values] = {}

    def weights(self) -> Iterator[Weight]:
        """Every variable that does not belong to another one."""
        for variable in self.variables:
            if getattr(variable.layer, "quantization_mode", None) is not None:
                self._join(variable)
        for variable in self.variables:
            if id(variable.own) not in self._consumed:
                yield from self._weights(variable)

    def _join(self, variable: _Variable) -> None:
        """Join a quantized weight with its scale, or account for what is packed."""
        layer, values = variable.layer, self._values(variable)
        if values.dtype not in {"int8", "uint8"} or _belongs(variable.name):
            return
        parts = [v for v in self.variables if v.layer is layer and _belongs(v.name)]
        named = [Named(v.path, v.name, self._values(v)) for v in (variable, *parts)]
        kind, facts = _kind(layer), _facts(layer, values.shape)
        facts["quantization"] = layer.quantization_mode
        left = {v.path: v.values for v in join_scale(named, kind, facts, self.skipped)}
        self._consumed |= {id(v.own) for v in (variable, *parts) if v.path not in left}
        self._joined.update({id(variable.own): left[variable.path]} if left else {})

    def _weights(self, variable: _Variable) -> Iterator[Weight]:
        layer, values = variable.layer, self._values(variable)
        kernel = variable.name in _KERNELS
        kind, facts = _kind(layer), _facts(layer, values.shape if kernel else ())
        name = layer.name if layer is not None else variable.path.rpartition("/")[0]
        values = self._joined.get(id(variable.own), values)
        yield Weight(variable.path, values, name, kind, "keras", facts)
        factors = self._factors(variable) if kernel else []
        if len(factors) < 2:
            return
        for factor in factors:
            self._consumed.add(id(factor.own))
            item = Named(factor.path, factor.name, self._values(factor))
            skip(item, f"a factor of {variable.path}_lora_delta", self.skipped)
        left, right = map(self._values, factors)
        scaling = _lora_scaling(layer)
        for suffix, base in (("delta", None), ("effective", values)):
            update = LowRank(left, right, scaling, base)
            yield Weight(f"{variable.path}_lora_{suffix}", update, name, kind, "keras", facts)

    def _factors(self, variable: _Variable) -> list[_Variable]:
        names = [f"lora_{variable.name}_{part}" for part in "ab"]
        own = [v for v in self.variables if v.layer is variable.layer and v.name in names]
        return sorted(own, key=lambda v: v.name) if variable.layer is not None else []

    def _values(self, variable: _Variable) -> Values:
        array = self.keras.ops.convert_to_numpy(variable.own)
        dtype = self.keras.backend.standardize_dtype(variable.own.dtype)
        # On PyTorch, bfloat16 comes back as float32; what is stored is what counts.
        if array.dtype.name != dtype and dtype.startswith(("bfloat16", "float8")):
            array = array.astype(numpy_dtype(dtype))
        return Held(array)


def _belongs(name: str) -> bool:
    """Return whether a variable of a quantized layer says how to read another one."""
    return name.endswith(("_scale", "_zero")) or name == "g_idx"


def _kind(layer: Any) -> str:
    return type(layer).__name__ if layer is not None else ""


def _name(variable: Any) -> str:
    return str(variable.path).rpartition("/")[2]


def _lora_scaling(layer: Any) -> float:
    rank = getattr(layer, "lora_rank", None)
    alpha = getattr(layer, "lora_alpha", None)
    return float(alpha) / float(rank) if alpha and rank else 1.0


def _facts(layer: Any, shape: tuple[int, ...]) -> dict[str, Any]:
    names = ("equation", "groups")
    facts = facts_of_config({name: getattr(layer, name, None) for name in names})
    if _kind(layer) == "EinsumDense" and "equation" not in facts:
        equation = attention_equation(layer.name, shape)
        facts.update({"equation": equation} if equation else {})
    return facts


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


def _find_owners(item: Any, keras: Any, owners: dict[int, Any], seen: set[int], depth: int) -> None:
    """The layer that holds each variable itself: the deepest one on the way to it."""
    if depth > _DEPTH or id(item) in seen:
        return
    seen.add(id(item))
    if isinstance(item, keras.layers.Layer):
        for value in list(vars(item).values()):
            for variable in _variables(value, keras):
                owners.setdefault(id(variable), item)
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
