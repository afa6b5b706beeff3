"""Small files that ask for much memory or time."""

from __future__ import annotations

import json
from typing import Any

from attack import configs
from model_forge import (
    called,
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
    unknown_key_bomb=lambda c: sequential(dense(unknown=sequential(built("PReLU", {}, LARGE)))),
)
configs(
    "resources: time by a small text",
    "refused by a trial in isolation",
    isolated=True,
    backtracking_pattern=lambda c: backtracking(),
    thousands_of_layers=lambda c: many_layers(),
)
