"""Mixtures of experts whose matrices are stacked in one tensor."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from dl_techniques.weightwatcher.parts import Part, make_part

_NAMED: Final = re.compile(r"(^|[._])(\w*experts?|\w+_exps)([._](?!\d)|$)", re.IGNORECASE)
_IN_MIXTURE: Final = re.compile(r"(^|[._])(\w*moe\w*|switch_mlp|\w*mixture\w*)[._]", re.IGNORECASE)
_LEAF: Final = re.compile(
    r"(^|[._])(w[123]|v1|wi|wo|wi_[01]|fc[12]|(gate|up|down|gate_up)_proj|(input|output)_linear)"
    r"([._](weight|kernel))?$"
)
_LINEAR: Final = re.compile(r"(^|[._])(input|output)_linear([._]weight)?$")
_FLAT: Final = re.compile(r"(^|[._])experts[._]mlp[._](w1|v1|w2)$")


def expert_parts(
    path: str, shape: tuple[int, ...], architecture: Mapping[str, Any], each: bool
) -> list[Part] | None:
    """Split a tensor of experts: the first axis counts them, whatever its size.

    Args:
        path: The name of the weight.
        shape: Its shape.
        architecture: Facts from the model's configuration.
        each: Whether to make a part of each expert, instead of one with all eigenvalues.

    Returns:
        The parts, or `None` if the names do not speak of experts.
    """
    name = path.replace("/", ".")
    count = architecture.get("experts", 0)
    if len(shape) == 2 and _FLAT.search(name) and count and shape[0] % count == 0:
        stack = (count, shape[0] // count, shape[1])  # DBRX: one under another
    elif len(shape) == 3 and _speaks_of_experts(name):
        stack = (shape[0], shape[1], shape[2])
    else:
        return None
    experts, rows, columns = stack
    if math.prod(stack) == 0 or min(rows, columns) == 1:
        return None
    whole = (("reshape", stack),)
    if not each:
        return [make_part("", whole, experts, rows, columns, f"{experts} experts")]
    return [
        make_part(f"[expert {i}]", (*whole, ("slice", 0, i, i + 1)), 1, rows, columns)
        for i in range(experts)
    ]


def _speaks_of_experts(name: str) -> bool:
    mixture = _IN_MIXTURE.search(name) and _LEAF.search(name)
    return bool(_NAMED.search(name) or mixture or _LINEAR.search(name))
