"""Operations of fuzzy logic on truth values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NamedTuple

from keras import ops

from dl_techniques.core import Tensor, component
from dl_techniques.layers.arguments import require_one_of

_Binary = Callable[[Tensor, Tensor], Tensor]


class LogicSystem(NamedTuple):
    """A t-norm, its dual t-conorm, and the residuum of the t-norm."""

    conjunction: _Binary
    disjunction: _Binary
    residuum: _Binary


def _goedel_implies(x: Tensor, y: Tensor) -> Tensor:
    return ops.where(x <= y, ops.ones_like(y), y)


def _goguen_implies(x: Tensor, y: Tensor) -> Tensor:
    holds = x <= y
    # The divisor is replaced, not only the quotient: the gradient of 0 / 0 is NaN.
    return ops.where(holds, ops.ones_like(y), y / ops.where(holds, ops.ones_like(x), x))


SYSTEMS: Final = {
    "lukasiewicz": LogicSystem(
        lambda x, y: ops.maximum(x + y - 1.0, 0.0),
        lambda x, y: ops.minimum(x + y, 1.0),
        lambda x, y: ops.minimum(1.0 - x + y, 1.0),
    ),
    "goedel": LogicSystem(ops.minimum, ops.maximum, _goedel_implies),
    "product": LogicSystem(
        lambda x, y: x * y,
        lambda x, y: x + y - x * y,
        _goguen_implies,
    ),
}


def _xor(system: LogicSystem, x: Tensor, y: Tensor) -> Tensor:
    one, other = system.conjunction(x, 1.0 - y), system.conjunction(1.0 - x, y)
    return system.disjunction(one, other)


def _equiv(system: LogicSystem, x: Tensor, y: Tensor) -> Tensor:
    return system.conjunction(system.residuum(x, y), system.residuum(y, x))


def _all_of(system: LogicSystem, *truths: Tensor) -> Tensor:
    return functools.reduce(system.conjunction, truths)


def _any_of(system: LogicSystem, *truths: Tensor) -> Tensor:
    return functools.reduce(system.disjunction, truths)


# Name -> (number of truth values, or None for one or more; function of a system and these).
_OPERATIONS: Final[dict[str, tuple[int | None, Callable[..., Tensor]]]] = {
    "and": (None, _all_of),
    "or": (None, _any_of),
    "not": (1, lambda _, x: 1.0 - x),
    "residual_not": (1, lambda system, x: system.residuum(x, ops.zeros_like(x))),
    "nand": (None, lambda system, *truths: 1.0 - _all_of(system, *truths)),
    "nor": (None, lambda system, *truths: 1.0 - _any_of(system, *truths)),
    "xor": (2, _xor),
    "xnor": (2, lambda system, x, y: 1.0 - _xor(system, x, y)),
    "implies": (2, lambda system, x, y: system.residuum(x, y)),
    "equiv": (2, _equiv),
    "kleene_dienes": (2, lambda _, x, y: ops.maximum(1.0 - x, y)),
    "reichenbach": (2, lambda _, x, y: 1.0 - x + x * y),
}
OPERATIONS: Final = tuple(_OPERATIONS)


@component(
    "dl_techniques>logic_op",
    kind="function",
    tags=("logic",),
    paper="arXiv:2002.06100",
    since="0.1",
)
def logic_op(name: str, system: str = "lukasiewicz") -> Callable[..., Tensor]:
    """Return an operation of fuzzy logic as a differentiable function of truth values.

    | system | x AND y | x OR y | x IMPLIES y |
    |---|---|---|---|
    | `"lukasiewicz"` | max(0, x + y - 1) | min(1, x + y) | min(1, 1 - x + y) |
    | `"goedel"` | min(x, y) | max(x, y) | 1 if x <= y, else y |
    | `"product"` | x y | x + y - x y | 1 if x <= y, else y / x |

    NOT x is 1 - x in all of them, and the others follow: NAND and NOR negate AND and OR,
    x XOR y = (x AND NOT y) OR (NOT x AND y), XNOR negates XOR,
    x EQUIV y = (x IMPLIES y) AND (y IMPLIES x). So the product system has 0.4375 for
    0.5 XOR 0.5, where the probability that one of two independent events occurs is 0.5. On 0 and
    1 all systems are Boolean logic.

    The n-ary AND of Lukasiewicz has a gradient only where the truth values sum to more than
    n - 1, which independent uniform values do with the probability 1 / n!; the product system
    has one nearly everywhere.

    Args:
        name: `"and"`, `"or"`, `"nand"`, `"nor"` (one or more truth values); `"not"`, and
            `"residual_not"`, which is x IMPLIES 0 (one); `"xor"`, `"xnor"`, `"implies"`,
            `"equiv"`, and the implications `"kleene_dienes"`, max(1 - x, y), and
            `"reichenbach"`, 1 - x + x y, of any system (two).
        system: `"lukasiewicz"`, `"goedel"` or `"product"`.

    Returns:
        A function of tensors in [0, 1] of one shape.

    Raises:
        ValueError: If `name` or `system` is unknown; the function itself, if it is called with
            another number of truth values.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import logic_op
        >>> x, y = ops.array([0.0, 0.5, 1.0]), ops.array([1.0, 0.75, 1.0])
        >>> [ops.convert_to_numpy(logic_op("and", s)(x, y)).tolist()
        ...  for s in ("lukasiewicz", "goedel", "product")]
        [[0.0, 0.25, 1.0], [0.0, 0.5, 1.0], [0.0, 0.375, 1.0]]

    References:
        Hajek, "Metamathematics of Fuzzy Logic" (1998); van Krieken, Acar and van Harmelen,
        "Analyzing Differentiable Fuzzy Logic Operators", arXiv:2002.06100.
    """
    require_one_of(OPERATIONS, name=name)
    require_one_of(SYSTEMS, system=system)
    function = _OPERATIONS[name][1]

    def operation(*truths: Tensor) -> Tensor:
        require_arity(name, len(truths))
        return function(SYSTEMS[system], *map(ops.convert_to_tensor, truths))

    return operation


def require_arity(name: str, count: int) -> None:
    """Refuse a number of truth values that an operation does not take.

    Args:
        name: The operation.
        count: The number.

    Raises:
        ValueError: If the numbers differ.
    """
    arity = _OPERATIONS[name][0]
    if count < 1 or count != (arity or count):
        wanted = "at least one input" if arity is None else f"{arity} inputs"
        raise ValueError(f"The operation {name!r} takes {wanted}. Received: inputs={count}")
