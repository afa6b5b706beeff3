"""The notation of MobileNetV4's blocks, and the five published networks in it.

`C(k,s,c)` is a convolution k x k with strides s to c channels; `F(c)` a fused bottleneck: 3 x 3
with strides 2 to four times its input's channels, 1 x 1 to c; `U(a,b,s,e,c)` a universal inverted
bottleneck: depthwise kernels a and b (0 for none), strides s, expansion e, c channels
(`U(a,b,s,e)` keeps them); `M(h,d,r)` multi-query attention of h heads of the width d over keys of
strides r. `3*U(...)` stands for three of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_CODE: Final = re.compile(r"(?:(\d+)\*)?([CFUM])\(([\d,]+)\)")
_LENGTHS: Final = {"C": (3,), "F": (1,), "U": (4, 5), "M": (3,)}


class Block(NamedTuple):
    """One block: its letter and its numbers."""

    kind: str
    numbers: tuple[int, ...]


def parse_stage(codes: Sequence[str]) -> list[Block]:
    """Read the blocks of one stage.

    Args:
        codes: Texts of the notation above.

    Raises:
        ValueError: If a text is none of it.

    Example:
        >>> parse_stage(["2*C(3,1,8)", "M(4,64,1)"])[1:]
        [Block(kind='C', numbers=(3, 1, 8)), Block(kind='M', numbers=(4, 64, 1))]
    """
    blocks = []
    for code in codes:
        match = _CODE.fullmatch(code.replace(" ", ""))
        numbers = tuple(int(n) for n in match[3].split(",")) if match else ()
        if match is None or len(numbers) not in _LENGTHS[match[2]]:
            raise ValueError(
                "`stages` must hold C(k,s,c), F(c), U(a,b,s,e[,c]) or M(h,d,r), each with an "
                f"optional number of repeats as in 2*F(8). Received: {code!r}"
            )
        blocks += [Block(match[2], numbers)] * int(match[1] or 1)
    return blocks


class Size(NamedTuple):
    """The settings of a variant."""

    stem: int
    stages: tuple[tuple[str, ...], ...]
    activation: str = "relu"
    layer_scale_init: float | None = None
    image: int = 224
    crop_pct: float = 0.95


_TAIL: Final = ("C(1,1,960)",)
SIZES: Final[Mapping[str, Size]] = {
    "conv_small": Size(
        32,
        (
            ("C(3,2,32)", "C(1,1,32)"),
            ("C(3,2,96)", "C(1,1,64)"),
            ("U(5,5,2,3,96)", "4*U(0,3,1,2)", "U(3,0,1,4)"),
            ("U(3,3,2,6,128)", "U(5,5,1,4)", "U(0,5,1,4)", "U(0,5,1,3)", "2*U(0,3,1,4)"),
            _TAIL,
        ),
        crop_pct=0.875,
    ),
    "conv_medium": Size(
        32,
        (
            ("F(48)",),
            ("U(3,5,2,4,80)", "U(3,3,1,2)"),
            (
                *("U(3,5,2,6,160)", "2*U(3,3,1,4)", "U(3,5,1,4)", "U(3,3,1,4)", "U(3,0,1,4)"),
                *("U(0,0,1,2)", "U(3,0,1,4)"),
            ),
            (
                *("U(5,5,2,6,256)", "U(5,5,1,4)", "2*U(3,5,1,4)", "U(0,0,1,4)", "U(3,0,1,4)"),
                *("U(3,5,1,2)", "U(5,5,1,4)", "2*U(0,0,1,4)", "U(5,0,1,2)"),
            ),
            _TAIL,
        ),
        image=256,
    ),
    "conv_large": Size(
        24,
        (
            ("F(48)",),
            ("U(3,5,2,4,96)", "U(3,3,1,4)"),
            ("U(3,5,2,4,192)", "3*U(3,3,1,4)", "U(3,5,1,4)", "5*U(5,3,1,4)", "U(3,0,1,4)"),
            (
                *("U(5,5,2,4,512)", "3*U(5,5,1,4)", "U(5,0,1,4)", "U(5,3,1,4)", "2*U(5,0,1,4)"),
                *("U(5,3,1,4)", "U(5,5,1,4)", "3*U(5,0,1,4)"),
            ),
            _TAIL,
        ),
        image=384,
    ),
    "hybrid_medium": Size(
        32,
        (
            ("F(48)",),
            ("U(3,5,2,4,80)", "U(3,3,1,2)"),
            (
                *("U(3,5,2,6,160)", "U(0,0,1,2)", "U(3,3,1,4)", "U(3,5,1,4)"),
                *("M(4,64,2)", "U(3,3,1,4)", "M(4,64,2)", "U(3,0,1,4)"),
                *("M(4,64,2)", "U(3,3,1,4)", "M(4,64,2)", "U(3,0,1,4)"),
            ),
            (
                *("U(5,5,2,6,256)", "U(5,5,1,4)", "2*U(3,5,1,4)", "U(0,0,1,2)", "U(3,5,1,2)"),
                *("U(0,0,1,2)", "U(0,0,1,4)"),
                *("M(4,64,1)", "U(3,0,1,4)", "M(4,64,1)", "U(5,5,1,4)"),
                *("M(4,64,1)", "U(5,0,1,4)", "M(4,64,1)", "U(5,0,1,4)"),
            ),
            _TAIL,
        ),
        layer_scale_init=1e-5,
        image=256,
    ),
    "hybrid_large": Size(
        24,
        (
            ("F(48)",),
            ("U(3,5,2,4,96)", "U(3,3,1,4)"),
            (
                *("U(3,5,2,4,192)", "3*U(3,3,1,4)", "U(3,5,1,4)", "2*U(5,3,1,4)"),
                *("M(8,48,2)", "U(5,3,1,4)", "M(8,48,2)", "U(5,3,1,4)"),
                *("M(8,48,2)", "U(5,3,1,4)", "M(8,48,2)", "U(3,0,1,4)"),
            ),
            (
                *("U(5,5,2,4,512)", "3*U(5,5,1,4)", "U(5,0,1,4)", "U(5,3,1,4)", "2*U(5,0,1,4)"),
                *("U(5,3,1,4)", "U(5,5,1,4)"),
                *("M(8,64,1)", "U(5,0,1,4)", "M(8,64,1)", "U(5,0,1,4)"),
                *("M(8,64,1)", "U(5,0,1,4)", "M(8,64,1)", "U(5,0,1,4)"),
            ),
            _TAIL,
        ),
        activation="gelu",
        layer_scale_init=1e-5,
        image=384,
    ),
}
