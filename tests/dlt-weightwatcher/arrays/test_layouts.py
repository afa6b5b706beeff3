"""Matrices of a weight: fused projections, experts, and kernels with axes of length 1.

The oracle is numpy.linalg.svd of matrices that the test arranges itself.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model

HEADS, WIDTH = 4, 8
INPUTS = HEADS * WIDTH


def save(path, tensors):
    """Write a safetensors file of float32 arrays."""
    header, data = {}, b""
    for name, array in tensors.items():
        numbers = np.ascontiguousarray(array, "f4")
        ends = [len(data), len(data) + numbers.nbytes]
        header[name] = {"dtype": "F32", "shape": list(numbers.shape), "data_offsets": ends}
        data += numbers.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def norms(source, **options):
    """Row -> largest eigenvalue."""
    found = analyze_model(source, n_jobs=1, min_evals=1, **options)
    return {layer["longname"]: layer["lambda_max"] for layer in found}


def projections(groups=HEADS, seed=0):
    rng = np.random.default_rng(seed)
    return {
        name: scale * rng.standard_t(3, (heads, WIDTH, INPUTS)).astype("f4")
        for name, scale, heads in (("q", 1, HEADS), ("k", 10, groups), ("v", 100, groups))
    }


def joined(parts):
    return np.concatenate([part.reshape(-1, INPUTS) for part in parts.values()])


def grouped(parts):
    """The queries of a group, its key, its value."""
    groups = len(parts["k"])
    queries = parts["q"].reshape(groups, -1, WIDTH, INPUTS)
    stacked = [queries, parts["k"][:, None], parts["v"][:, None]]
    return np.concatenate(stacked, 1).reshape(-1, INPUTS)


def partitioned(parts):
    """CodeGen's: four partitions, each with queries, values, keys."""
    cut = [parts[name].reshape(4, -1, INPUTS) for name in "qvk"]
    return np.stack(cut, 1).reshape(-1, INPUTS)


def expected(name, parts):
    return {
        f"{name}[{key}]": np.linalg.norm(part.reshape(-1, INPUTS).astype("f8"), 2) ** 2
        for key, part in parts.items()
    }


@pytest.mark.parametrize(
    ("name", "arrange", "groups", "config"),
    [
        ("h.0.attn.c_attn.weight", joined, 4, {}),
        ("encoder.layers.0.self_attn.in_proj_weight", joined, 4, {}),
        ("vit.blocks.3.attn.qkv.weight", joined, 4, {}),
        ("layers.0.blocks.1.attn.qkv.weight", joined, 4, {}),
        ("layers.0.attn.Wqkv.weight", joined, 4, {}),
        ("model.layers.0.self_attn.qkv_proj.weight", joined, 2, {"kv": 2, "type": "phi3"}),
        ("transformer.h.0.attn.c_attn.weight", joined, 1, {"type": "gpt_bigcode"}),
        ("h.0.attention.query_key_value.weight", grouped, 4, {"type": "gpt_neox"}),
        ("h.0.attention.query_key_value.weight", grouped, 4, {"type": "bloom"}),
        ("h.0.attention.query_key_value.weight", grouped, 4, {"type": "falcon"}),
        ("h.0.a.query_key_value.weight", grouped, 2, {"type": "falcon", "kv": 2, "new": True}),
        ("h.0.a.query_key_value.weight", joined, 1, {"type": "falcon", "multi": True}),
        ("layers.0.attention.wqkv.weight", grouped, 2, {"type": "internlm2", "kv": 2}),
        ("transformer.h.0.attn.qkv_proj.weight", partitioned, 4, {"type": "codegen"}),
    ],
)
def test_fused_projections_are_cut_as_their_architecture_orders_them(
    tmp_path, name, arrange, groups, config
):
    parts = projections(groups)
    save(tmp_path / "model.safetensors", {name: arrange(parts)})
    stated = {"model_type": config.get("type", ""), "n_head": HEADS}
    stated.update({"num_key_value_heads": config["kv"]} if "kv" in config else {})
    stated["new_decoder_architecture"] = config.get("new", False)
    stated["multi_query"] = config.get("multi", config.get("type") == "gpt_bigcode")
    if config:
        (tmp_path / "config.json").write_text(json.dumps(stated))
    assert norms(tmp_path) == pytest.approx(expected(name, parts), rel=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "h.0.attention.query_key_value.weight",
        "layers.0.attention.wqkv.weight",
        "stages.1.blocks.0.attn.qkv.weight",
        "encoder/qkv/kernel",
    ],
)
def test_an_unknown_order_is_one_row_without_a_label(name):
    fused = grouped(projections())
    result = analyze_model({name: fused}, n_jobs=1)
    assert [layer["longname"] for layer in result] == [name]
    assert result[0]["lambda_max"] == pytest.approx(np.linalg.norm(fused.astype("f8"), 2) ** 2)
    if not name.endswith("kernel"):
        assert "unknown order" in result[0]["note"]


def test_two_thirds_are_no_fusion_of_three():
    cross = np.random.default_rng(0).normal(size=(32, 64))
    assert list(norms({"h.0.crossattention.c_attn.weight": cross})) == [
        "h.0.crossattention.c_attn.weight"
    ]


@pytest.mark.oracle
def test_orders_of_peers_are_those_that_their_own_code_unpacks(hidden_torchvision):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "vocab_size": 8}
    bloom = transformers.BloomModel(
        transformers.BloomConfig(hidden_size=32, n_head=4, n_layer=1, vocab_size=8)
    )
    # The unpacking sees outputs, which with the identity as input are the weights.
    models = [(bloom, bloom.h[0].self_attention._reshape, 2, 1)]
    for extra in (
        {"new_decoder_architecture": False, "multi_query": False},
        {"new_decoder_architecture": False, "multi_query": True},
        {"new_decoder_architecture": True, "num_kv_heads": 2},
    ):
        config = transformers.FalconConfig(**sizes, num_hidden_layers=1, alibi=True, **extra)
        model = transformers.FalconModel(config)
        models.append((model, model.h[0].self_attention._split_heads, 1, 2))
    for model, unpack, inputs, heads in models:
        fused = next(p for n, p in model.named_parameters() if n.endswith("query_key_value.weight"))
        parts = [part.detach().numpy().astype("f8") for part in unpack(fused.T[None])]
        found = [value for name, value in norms(model).items() if "query_key_value" in name]
        for part, value in zip(parts, found, strict=True):
            by_head = np.moveaxis(part, (heads, inputs), (1, 2))[0]
            kept = [h for i, h in enumerate(by_head) if not i or (h != by_head[i - 1]).any()]
            matrix = np.concatenate(kept, 1)  # keys are repeated for the queries that share them
            assert value == pytest.approx(np.linalg.norm(matrix, 2) ** 2, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("mlp.experts.gate_up_proj", (40, 16, 24)),
        ("mlp.experts.down_proj", (8, 32, 16)),
        ("feed_forward.experts.w2.weight", (12, 16, 12)),
        ("blk.0.ffn_down_exps.weight", (24, 32, 12)),
        ("model.layers.0.mlp.switch_mlp.gate_proj.weight", (64, 12, 16)),
        ("block_sparse_moe.output_linear.weight", (20, 12, 10)),
        ("layers/moe/experts/kernel", (30, 12, 10)),
    ],
)
def test_each_matrix_of_a_stack_is_an_expert(name, shape):
    stack = np.random.default_rng(0).standard_t(3, shape).astype("f4")
    exact = np.linalg.svd(stack.astype("f8"), compute_uv=False) ** 2
    pooled = analyze_model({name: stack}, n_jobs=1)
    np.testing.assert_allclose(pooled[0].esd, np.sort(exact, axis=None), rtol=1e-6)
    each = norms({name: stack}, experts="each")
    assert list(each) == [f"{name}[expert {i}]" for i in range(shape[0])]
    np.testing.assert_allclose(list(each.values()), exact[:, 0], rtol=1e-6)


def test_names_that_only_look_like_stacks_of_experts():
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=(24, 16, 3))
    found = analyze_model({"experts.0.conv.weight": kernel}, n_jobs=1)[0]
    taps = [np.linalg.norm(kernel[:, :, tap], 2) ** 2 for tap in range(3)]
    assert found["rf"] == 3
    assert found["lambda_max"] == pytest.approx(max(taps))


def test_experts_one_under_another_are_counted_by_the_configuration(tmp_path):
    stack = np.random.default_rng(0).standard_t(3, (6, 20, 16))
    name = "blocks.0.ffn.experts.mlp.w1"
    save(tmp_path / "model.safetensors", {name: stack.reshape(120, 16)})
    assert len(norms(tmp_path, experts="each")) == 1
    config = {"model_type": "dbrx", "ffn_config": {"moe_num_experts": 6}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    exact = [np.linalg.norm(m, 2) ** 2 for m in stack.astype("f4").astype("f8")]
    assert list(norms(tmp_path, experts="each").values()) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pos_conv.weight", (24, 1, 16)),
        ("features.0.weight", (32, 1, 3, 3)),
        ("features.0.weight", (1, 32, 3, 3)),
        ("net.0.weight", (16, 16, 64, 1)),
        ("net.0.weight", (16, 16, 1, 64)),
        ("net.0.weight", (32, 1, 3, 3, 3)),
        ("net.0.weight", (12, 24, 3, 1, 1)),
        ("net.0.weight", (12, 24, 1, 1)),
    ],
)
@pytest.mark.parametrize("keras", [False, True])
def test_axes_of_length_one_are_kept(name, shape, keras):
    kernel = np.random.default_rng(0).standard_t(3, shape)
    flat = kernel.reshape(*shape[:2], -1)
    if 1 in shape[:2]:
        exact = np.linalg.svd(flat.reshape(-1, flat.shape[2]), compute_uv=False)
    else:
        exact = np.linalg.svd(np.moveaxis(flat, 2, 0), compute_uv=False)
    if keras:
        name, kernel = "conv/kernel", np.moveaxis(kernel, (1, 0), (-2, -1))
    found = analyze_model({name: kernel}, n_jobs=1, min_evals=1)[0]
    np.testing.assert_allclose(found.esd, np.sort(exact**2, axis=None), rtol=1e-9, atol=1e-9)


def test_a_kernel_of_one_tap_and_one_channel_is_no_matrix():
    result = analyze_model({"conv.weight": np.ones((64, 1, 1, 1)), "w": np.eye(9)}, n_jobs=1)
    assert [entry.path for entry in result.skipped] == ["conv.weight"]


def test_a_depthwise_kernel_with_a_multiplier_is_taps_by_channels():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 20, 2))
    found = analyze_model({"block/depthwise_kernel": kernel}, n_jobs=1)[0]
    exact = np.linalg.svd(kernel.reshape(9, 40), compute_uv=False) ** 2
    np.testing.assert_allclose(found.esd[::-1], exact, rtol=1e-9)
