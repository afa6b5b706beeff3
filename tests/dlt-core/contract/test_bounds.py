"""Oracle: property. Arguments are accepted up to their bounds, and refused by name beyond them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import keras
import numpy as np
import pytest

from dl_techniques.core import (
    Bound,
    Count,
    Example,
    Fraction,
    Layer,
    NonNegativeNumber,
    PositiveNumber,
    TensorSpec,
    Whole,
    component,
)
from dl_techniques.core.contract.bounds import bounds_of
from dl_techniques.core.testing import check_component

if TYPE_CHECKING:
    from nowhere import Unknown

Even = Annotated[int, Bound("an even number", lambda value: value % 2 == 0, 1)]


class Base(Layer):
    """A base with bounds of its own."""

    def __init__(self, heads: Count, rate: Fraction = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.rate = rate


@component("bounds>Bounded", kind="layer")
class Bounded(Base):
    """A layer whose base checks what its own annotations do not say."""

    def __init__(
        self,
        heads: int,
        size: Even = 2,
        groups: Count | None = None,
        shift: Whole = 0,
        scale: PositiveNumber = 1.0,
        decay: NonNegativeNumber = 0.0,
        mode: Literal["max", "mean"] = "max",
        other: Unknown = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(heads, **kwargs)
        self.size = size
        self.groups = groups
        self.shift = shift
        self.scale = scale
        self.decay = decay
        self.mode = mode
        self.other = other

    def call(self, inputs: Any) -> Any:
        return inputs

    @classmethod
    def examples(cls) -> Any:
        yield Example(cls, {"heads": 1}, TensorSpec((2, 3)))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("heads", [1, 8], [0, -1, 1.0, True, "1", None]),
        ("size", [0, 4], [3]),
        ("groups", [None, 1], [0, 1.5]),
        ("shift", [0, 3], [-1]),
        ("scale", [1, 0.1, 1e-30], [0, -0.1, float("inf"), float("nan"), "1"]),
        ("decay", [0, 0.5], [-1e-9, None]),
        ("rate", [0, 1, 0.5], [-0.1, 1.1, True]),
        ("mode", ["max", "mean"], ["min", None, 1, np.array(["max", "mean"])]),
    ],
)
def test_values_up_to_a_bound_pass(name, good, bad):
    for value in good:
        assert getattr(Bounded(**{"heads": 2, name: value}), name) == value
    for value in bad:
        with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}="):
            Bounded(**{"heads": 2, name: value})


def test_positional_arguments_and_loaded_configurations():
    with pytest.raises(ValueError, match="`size`"):
        Bounded(1, 3)
    with pytest.raises(ValueError, match="`heads`"):
        Bounded.from_config({"heads": 0})
    assert "other" not in bounds_of(Bounded)
    assert Bounded(1, other=object()).mode == "max"


def test_a_wrong_call_is_an_error_of_python():
    with pytest.raises(TypeError, match="heads"):
        Bounded()
    with pytest.raises(TypeError):
        Bounded(1, 2, None, 0, 1.0, 0.0, "max", None, 9)


def test_the_kit_tries_a_value_beyond_each_bound():
    (result,) = check_component(Bounded, only=["rejections"])
    assert result.status == "passed"

    class Careless(keras.layers.Layer):
        """A layer of another base, which says its bound and does not check it."""

        def __init__(self, heads: Count, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.heads = heads

    careless = Example(Careless, {"heads": 1}, TensorSpec((2, 3)))
    (result,) = check_component(careless, only=["rejections"])
    assert result.status == "failed"
    assert "is accepted" in result.message
