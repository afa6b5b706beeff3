"""Small files that ask for much memory or time."""

from __future__ import annotations

import json
from typing import Any

from attack import configs
from model_forge import (
    called,
    component,
    dense,
    functional,
    keras_object,
    layer,
    output_of,
    policy,
    sequential,
)

LARGE = 10**9


def built(name: str, config: dict[str, Any], *shape: int | None) -> Any:
    return layer(name, config, build_config={"input_shape": [None, *shape]})


def attention(**config: int) -> Any:
    shapes = {"query_shape": [None, 4, 4], "value_shape": [None, 4, 4]}
    return layer("MultiHeadAttention", config, build_config={"shapes_dict": shapes})


def einsum() -> Any:
    config = {"equation": "ab,bc->ac", "output_shape": [LARGE]}
    return functional(called(layer("EinsumDense", config, label="b"), "b", output_of("i")))


def backtracking() -> Any:
    policies = {"(a+)+$": policy()}
    config = {"default_policy": policy(), "policy_map": policies}
    chosen = keras_object("keras.dtype_policies", "DTypePolicyMap", config)
    return sequential(dense(label="a" * 40 + "b", dtype=chosen))


def many_layers() -> Any:
    parts = [layer("Activation", {"activation": "linear"}, label=f"l{i}") for i in range(4000)]
    config = sequential(*parts)
    assert len(json.dumps(config)) < 2 << 20
    return config


def short(name: str, config: dict[str, Any]) -> Any:
    """A layer as Keras 2 wrote it, without its module."""
    return {"class_name": name, "config": {"name": "b", **config}}


def grouped(**config: int) -> Any:
    shapes = {"query_shape": [None, 4, 4], "value_shape": [None, 4, 4]}
    return layer("GroupQueryAttention", config, build_config={"shapes_dict": shapes})


def operation(module: str, name: str, **config: int) -> Any:
    made = keras_object(f"keras.src.ops.{module}", name, {"name": "b", **config})
    return functional(called(made, "b", output_of("i")))


def stacked_cells() -> Any:
    cell = layer("LSTMCell", {"units": 10_000})
    cells = layer("StackedRNNCells", {"cells": [cell] * 40})
    recurrent = {"cell": cells, "return_sequences": False}
    return sequential(layer("RNN", recurrent, build_config={"input_shape": [None, 5, 4]}))


def composed() -> Any:
    """A block that is told to repeat its part."""
    shape = {"build_config": {"input_shape": [None, 8, 8, 4]}}
    config = {"filters": 4, "n": LARGE, "dtype": policy()}
    block = component("dl_techniques>C3k2Block", "C3k2Block", config, **shape)
    return sequential(layer("Reshape", {"target_shape": [8, 8, 4]}), block, inputs=256)


def nested_cycle() -> Any:
    """A model inside a model whose two layers wait for each other, named without modules."""
    inner = functional(
        called(short("Activation", {"activation": "relu"}), "b", output_of("c")),
        called(short("Activation", {"activation": "relu"}), "c", output_of("b")),
    )
    nested = short("Functional", {**inner["config"], "name": "n"})
    return functional(called(nested, "n", output_of("i")), output="n")


configs(
    "resources: memory by a number",
    "refused by a trial in isolation",
    isolated=True,
    adapter_bomb=lambda c: sequential(dense(lora_rank=LARGE)),
    attention_bomb=lambda c: sequential(attention(num_heads=1000, key_dim=100_000)),
    layer_normalization_bomb=lambda c: sequential(
        built("LayerNormalization", {"axis": [-1]}, LARGE)
    ),
    prelu_bomb=lambda c: sequential(built("PReLU", {}, LARGE)),
    einsum_bomb=lambda c: einsum(),
    short_name_bomb=lambda c: sequential(short("Dense", {"units": LARGE})),
    out_of_vocabulary_bomb=lambda c: sequential(
        layer("IntegerLookup", {"vocabulary": [1, 2], "num_oov_indices": LARGE}), inputs=1
    ),
    padded_idf_bomb=lambda c: sequential(
        layer(
            "IntegerLookup",
            {
                "vocabulary": [1, 2],
                "idf_weights": [1.0, 1.0],
                "output_mode": "tf_idf",
                "pad_to_max_tokens": True,
                "max_tokens": LARGE,
            },
        ),
        inputs=2,
    ),
    grouped_attention_bomb=lambda c: sequential(
        grouped(head_dim=100_000, num_query_heads=1000, num_key_value_heads=1000)
    ),
    stacked_cells_bomb=lambda c: stacked_cells(),
    unknown_key_bomb=lambda c: sequential(dense(unknown=sequential(built("PReLU", {}, LARGE)))),
)
configs(
    "resources: time by a small text",
    "refused by a trial in isolation",
    isolated=True,
    split_into_millions=lambda c: operation(
        "numpy", "Split", indices_or_sections=20_000_000, axis=0
    ),
    unstack_into_millions=lambda c: operation("core", "Unstack", num=20_000_000, axis=0),
    nested_cycle=lambda c: nested_cycle(),
    count_in_a_composed_block=lambda c: composed(),
    backtracking_pattern=lambda c: backtracking(),
    thousands_of_layers=lambda c: many_layers(),
)
