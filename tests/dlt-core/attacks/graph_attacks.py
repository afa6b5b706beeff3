"""Attacks that the graph of a functional model carries."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from attack import attack, configs
from model_forge import Config, Forge, called, dense, functional, layer, output_of

CONSTANT = {"class_name": "__tensor__", "config": {"value": [[1.0] * 4], "dtype": "float32"}}


def d(name: str, *given: Any) -> Config:
    return called(dense(4, label=name), name, *given)


def repeated(*given: Any) -> Config:
    return called(layer("RepeatVector", {"n": 10**8}, label="r"), "r", *given)


def backwards(count: int) -> Config:
    """A chain that is listed from its end: each pass of Keras makes one call."""
    names = ["i", *(f"d{index}" for index in range(count)), "b"]
    chain = [d(name, output_of(before)) for before, name in itertools.pairwise(names)]
    return functional(*reversed(chain))


SOUND = functional(
    d("a", output_of("i"), output_of("b")), d("b", output_of("a")), repeated(output_of("a"))
)
"""The control: `a` is used before and after `b`."""

configs(
    "graphs that are not followed to an end",
    "refused by a trial in isolation",
    isolated=True,
    circle=lambda c: functional(d("a", output_of("b")), d("b", output_of("a"))),
    circle_of_one=lambda c: functional(d("b", output_of("b"))),
    call_that_is_not_there=lambda c: functional(d("a", output_of("i")), d("b", output_of("a", 1))),
    layer_that_is_not_there=lambda c: functional(d("b", output_of("nobody"))),
    circle_inside=lambda c: functional(
        called(functional(d("a", output_of("b")), d("b", output_of("a"))), "b", output_of("i"))
    ),
    backwards_order=lambda c: backwards(400),
    two_layers_of_one_name=lambda c: functional(d("b", output_of("i")), d("b", output_of("i"))),
    calls_as_in_keras_2=lambda c: functional({**d("b"), "inbound_nodes": [[["i", -1, 0]]]}),
)
configs(
    "calls that are carried out while loading",
    "refused by a trial in isolation",
    isolated=True,
    call_of_a_constant=lambda c: functional(d("b", output_of("i")), repeated(CONSTANT)),
    call_of_nothing=lambda c: functional(
        d("b", output_of("i")), {**repeated(), "inbound_nodes": [{"args": [], "kwargs": {}}]}
    ),
)


@attack("graphs that are not followed to an end", "refused by a trial in isolation", isolated=True)
def tensor_that_is_not_there(target: Path, canary: Path) -> Forge:
    return Forge(functional(d("a", output_of("i")), d("b", output_of("a", 0, 7))))
