"""LoRA and its kin: the update that a model adds, from the factors that a file holds.

Names are those of PEFT, loralib, diffusers, kohya and LyCORIS, torchtune and MLX.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.joins.tensors import Tensors
from dl_techniques.weightwatcher.readers.array import Array
from dl_techniques.weightwatcher.readers.computed import Computed, LowRank, NormRatio
from dl_techniques.weightwatcher.readers.scaled import Scaled
from dl_techniques.weightwatcher.readers.values import Held, Values

Scaling = Callable[[str, str, int], float | None]
"""(stem, adapter, rank) -> what the update is multiplied by, as a configuration says it."""

_END: Final = r"(?:\.(?!weight$)(?P<adapter>[^.]+))?(?:\.weight)?$"
_ROLES: Final = [
    re.compile(rf"^(?P<stem>.+)\.lora_(?P<role>embedding_[AB]|[ABE]){_END}"),
    re.compile(r"^(?P<stem>.+)[._]lora_(?P<role>[ab])(?P<dot>\.weight)?$"),
    re.compile(r"^(?P<stem>.+?)[._]lora_(?P<role>down|up|mid)(?:\.weight)?$"),
    re.compile(r"^(?P<stem>.+?)[._]lora\d*(?:_linear_layer)?\.(?P<role>down|up)(?:\.weight)?$"),
    re.compile(rf"^(?P<stem>.+)\.(?P<role>hada_(?:w[12]_[ab]|t[12])){_END}"),
    re.compile(rf"^(?P<stem>.+)\.(?P<role>lokr_(?:w[12](?:_[ab])?|t2)){_END}"),
    re.compile(rf"^(?P<stem>.+)\.(?P<role>lora_magnitude_vector|dora_scale|magnitude){_END}"),
]
_MAGNITUDES: Final = ("lora_magnitude_vector", "dora_scale", "magnitude")
_OTHERS: Final = re.compile(
    r"\.(vera_[AB]|vera_lambda_[bd]|oft_\w+|boft_\w+|ia3_\w+|hra_u|randlora_\w+|ranknum)(\.|$)"
)
_CONV1D: Final = re.compile(r"\.(c_attn|c_fc)\.(base_layer\.)?weight$")
_OF_CONV1D: Final = re.compile(r"(^|\.)(c_attn|c_proj|c_fc|q_attn)$")


class _Adapter(NamedTuple):
    """The tensors of one adapter at one layer."""

    stem: str
    adapter: str
    names: dict[str, str]
    """What each is -> its name."""


def join_adapters(
    tensors: Tensors,
    scaling: Scaling,
    turned: Callable[[str], bool | None] = lambda _: None,
) -> None:
    """Replace factors by the updates that they make, and add the weights in effect.

    Args:
        tensors: The tensors; changed in place. Rows named `X.lora_delta` are the update of the
            layer X, and `X.lora_effective` its weight with the update, where the base is there.
        scaling: Factor of an update, unless the tensors themselves state it.
        turned: Whether the base of a layer is stored as (in, out); None where nothing says it.
    """
    groups = _groups(tensors)
    several = {g.stem for g in groups if sum(o.stem == g.stem for o in groups) > 1}
    conv1d = any(
        _CONV1D.search(n) and len(v.shape) == 2 and v.shape[0] < v.shape[1]
        for n, v in tensors.values.items()
    )
    for group in groups:
        label = f"[{group.adapter}]" if group.stem in several and group.adapter else ""
        _join(tensors, group, label, scaling, lambda stem: _turned(stem, turned(stem), conv1d))
    for name in list(tensors.values):
        if _OTHERS.search(name):
            tensors.take(name, "a part of an adapter that is not multiplied out")


def _turned(stem: str, said: bool | None, conv1d: bool) -> bool:
    """Return whether a square base is that of a Conv1D of GPT-2."""
    return bool(_OF_CONV1D.search(stem)) and conv1d if said is None else said


def _groups(tensors: Tensors) -> list[_Adapter]:
    found: dict[tuple[str, str], _Adapter] = {}
    for name in tensors.values:
        match = next((m for pattern in _ROLES if (m := pattern.match(name))), None)
        if match is None:
            continue
        facts = match.groupdict()
        key = (facts["stem"], facts.get("adapter") or "")
        role = facts["role"]
        # MLX multiplies from the right, and writes no `.weight`.
        role = f"{role}_mlx" if role in {"a", "b"} and not facts["dot"] else role
        found.setdefault(key, _Adapter(*key, {})).names[role] = name
    return [g for g in found.values() if set(g.names) - {"magnitude"}]


def _join(
    tensors: Tensors,
    group: _Adapter,
    label: str,
    scaling: Scaling,
    turned: Callable[[str], bool],
) -> None:
    kind = next((r.partition("_")[0] for r in group.names if r.startswith(("hada", "lokr"))), "")
    target = f"{group.stem}.{ {'hada': 'loha', 'lokr': 'lokr'}.get(kind, 'lora') }_delta{label}"
    parts = {role: tensors.values[name] for role, name in group.names.items()}
    alpha = tensors.values.get(f"{group.stem}.alpha")

    def scale(rank: int) -> float:
        if alpha is not None and np.size(alpha.read()) == 1:
            return float(alpha.read().reshape(())) / rank
        said = scaling(group.stem, group.adapter, rank)
        return 1.0 if said is None else said

    try:
        delta = _delta(parts, scale)
    except ValueError as error:
        for name in group.names.values():
            tensors.take(name, f"a factor of {target}: {error}")
        return
    for role, name in group.names.items():
        what = "the magnitude" if role in _MAGNITUDES else "a factor"
        tensors.take(name, f"{what} of {target}")
    if alpha is not None:
        tensors.take(f"{group.stem}.alpha", f"the scale of {target}")
    magnitude = next((parts[role] for role in _MAGNITUDES if role in parts), None)
    tensors.made[target] = delta
    flat = turned(group.stem)
    for base in _bases(tensors, group.stem):
        effective = _effective(base, delta, flat, magnitude)
        if effective is not None:
            tensors.made[target.replace("_delta", "_effective")] = effective


def _bases(tensors: Tensors, stem: str) -> Iterator[Values]:
    """The weight that an update is added to, if it is there and its numbers can be read."""
    plain = stem.removeprefix("base_model.model.")
    ends = (".weight", ".base_layer.weight", ".base_layer.base_layer.weight", "")
    for name in (f"{s}{end}" for s in (stem, plain) for end in ends):
        value = tensors.values.get(name)
        if value is not None:
            packed = value.dtype.startswith(("uint", "int")) and not isinstance(value, Scaled)
            if not packed:
                yield value
            return


def _effective(base: Values, delta: Values, flat: bool, magnitude: Values | None) -> Values | None:
    if len(base.shape) > 2 == len(delta.shape) and np.prod(base.shape[2:]) == 1:
        base = _reshaped(base, base.shape[:2])  # a convolution of one tap
    if base.shape not in {delta.shape, delta.shape[::-1]}:
        return None
    square = delta.shape == delta.shape[::-1]
    turned = flat if square else base.shape != delta.shape
    if isinstance(delta, LowRank):
        effective: Values = LowRank(delta.left, delta.right, delta.scaling, base, turned)
    elif turned:
        return None
    else:
        whole = len(base.shape) == 2
        effective = Computed(_sum, (base, delta), base.shape, base.dtype, blockwise=whole)
    return effective if magnitude is None else _with_magnitude(effective, magnitude, turned)


def _sum(first: Array, second: Array) -> Array:
    total: Array = first.astype(np.float64) + second
    return total


def _with_magnitude(effective: Values, magnitude: Values, turned: bool) -> Values | None:
    """DoRA: the rows of the weight in effect get lengths of their own."""
    if len(effective.shape) != 2:
        return None
    outputs = 1 if turned else 0
    of_inputs = len(magnitude.shape) == 2 and magnitude.shape[0] == 1 < magnitude.shape[1]
    axis = 1 - outputs if of_inputs else outputs
    if int(np.prod(magnitude.shape)) != effective.shape[axis]:
        return None
    return Scaled(effective, NormRatio(magnitude, effective, axis))


def _delta(parts: dict[str, Values], scale: Callable[[int], float]) -> Values:
    roles = parts.keys()
    if roles & {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}:
        return _hadamard(parts, scale)
    if any(role.startswith("lokr") for role in roles):
        return _kronecker(parts, scale)
    for left, right in (("B", "A"), ("embedding_B", "embedding_A"), ("b", "a"), ("up", "down")):
        if left in roles and right in roles:
            return _low_rank(parts[left], parts[right], parts, scale)
    if {"a_mlx", "b_mlx"} <= roles:
        return _from_either_side(parts["b_mlx"], parts["a_mlx"], scale)
    raise ValueError("its partner is missing")


def _from_either_side(b: Values, a: Values, scale: Callable[[int], float]) -> Values:
    """MLX has a (in, r) and b (r, out); others write the same names in torch's order."""
    if len(a.shape) == len(b.shape) == 2 and a.shape[1] == b.shape[0]:
        return LowRank(_transposed(b), _transposed(a), scale(a.shape[1]))
    return _low_rank(b, a, {}, scale)


def _low_rank(
    left: Values, right: Values, parts: dict[str, Values], scale: Callable[[int], float]
) -> Values:
    """B (out, r) and A (r, in), or those of a convolution, with axes for its taps."""
    out, inner = left.shape[0] if left.shape else 0, left.shape[1:2]
    if len(left.shape) < 2 or len(right.shape) < 2 or inner != right.shape[:1]:
        raise ValueError(f"the factors {left.shape} and {right.shape} do not fit")
    rank = right.shape[0]
    if "mid" in parts:
        return _through_the_middle(left, parts["mid"], right, scale(rank))
    if np.prod(left.shape[2:]) != 1:
        raise ValueError(f"a factor of shape {left.shape} has taps of its own")
    left = left if len(left.shape) == 2 else _reshaped(left, (out, rank))
    if len(right.shape) > 2 and np.prod(right.shape[2:]) == 1:
        right = _reshaped(right, right.shape[:2])
    factor = scale(rank)
    if "E" in parts:  # AdaLoRA: singular values of their own
        if int(np.prod(parts["E"].shape)) != rank:
            raise ValueError("the factors do not fit")
        right = Computed(_rows_times, (right, parts["E"]), right.shape, right.dtype)
    return LowRank(left, right, factor)


def _rows_times(right: Array, values: Array) -> Array:
    product: Array = right * values.reshape(-1, 1)
    return product


def _through_the_middle(left: Values, mid: Values, right: Values, factor: float) -> Values:
    if len(mid.shape) != 4 or mid.shape[:2] != (left.shape[1], right.shape[0]):
        raise ValueError("the factors do not fit")
    shape = (left.shape[0], right.shape[1], *mid.shape[2:])
    function = partial(_tucker, factor)
    return Computed(function, (left, mid, right), shape, left.dtype)


def _tucker(factor: float, left: Array, mid: Array, right: Array) -> Array:
    up = left.reshape(left.shape[:2]).astype(np.float64)
    down = right.reshape(right.shape[:2]).astype(np.float64)
    return np.asarray(factor * np.einsum("or,rskl,si->oikl", up, mid, down, optimize=True))


def _hadamard(parts: dict[str, Values], scale: Callable[[int], float]) -> Values:
    """LoHa: (w1_a w1_b) * (w2_a w2_b), element by element."""
    names = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b")
    if not set(names) <= parts.keys():
        raise ValueError("its partner is missing")
    if {"hada_t1", "hada_t2"} & parts.keys():
        raise ValueError("Tucker factors are not multiplied out")
    first = _low_rank(parts[names[0]], parts[names[1]], {}, lambda _: 1.0)
    second = _low_rank(parts[names[2]], parts[names[3]], {}, lambda _: 1.0)
    if first.shape != second.shape:
        raise ValueError("the factors do not fit")
    function = partial(_product, scale(parts[names[1]].shape[0]))
    return Computed(function, (first, second), first.shape, parts[names[0]].dtype, blockwise=True)


def _product(factor: float, first: Array, second: Array) -> Array:
    product: Array = factor * first * second
    return product


def _kronecker(parts: dict[str, Values], scale: Callable[[int], float]) -> Values:
    """LoKr: the Kronecker product of two matrices, either of which may be a product."""
    sides: list[Values] = []
    rank = 0
    for side in ("lokr_w1", "lokr_w2"):
        if side in parts:
            sides.append(parts[side])
        elif {f"{side}_a", f"{side}_b"} <= parts.keys() and "lokr_t2" not in parts:
            left, right = parts[f"{side}_a"], parts[f"{side}_b"]
            rank = right.shape[0] if right.shape else 0
            sides.append(_low_rank(left, right, {}, lambda _: 1.0))
        else:
            raise ValueError("its partner is missing, or is a Tucker factor")
    first, second = sides
    if len(first.shape) != 2 or len(second.shape) < 2:
        raise ValueError("the factors do not fit")
    # Whole matrices have no rank, and are scaled by one.
    factor = scale(rank) if rank else 1.0
    pairs = zip((*first.shape, *(1 for _ in second.shape[2:])), second.shape, strict=True)
    shape = tuple(a * b for a, b in pairs)
    return Computed(partial(_kron, factor), (first, second), shape, first.dtype)


def _kron(factor: float, first: Array, second: Array) -> Array:
    wide = first.reshape(*first.shape, *(1 for _ in second.shape[2:])).astype(np.float64)
    return np.asarray(factor * np.kron(wide, second.astype(np.float64)))


def _transposed(values: Values) -> Values:
    if isinstance(values, Held):
        return Held(values.array.T)
    return Computed(np.transpose, (values,), values.shape[::-1], values.dtype)


def _reshaped(values: Values, shape: tuple[int, ...]) -> Values:
    if isinstance(values, Held):
        return Held(values.array.reshape(shape))
    return Computed(partial(_to_shape, shape), (values,), shape, values.dtype)


def _to_shape(shape: tuple[int, ...], array: Array) -> Array:
    return array.reshape(shape)
