"""Tensors that belong together: the rows are those of the weights that layers use.

The oracles are the formats' own formulas in NumPy, `torch` and `peft`.
"""

from __future__ import annotations

import json
import math
import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from dl_techniques.weightwatcher import SourceError, analyze_model

RNG = np.random.default_rng(7)
A, B = RNG.standard_t(3, (4, 24)).astype("f4"), RNG.standard_t(3, (32, 4)).astype("f4")
BASE = RNG.standard_t(3, (32, 24)).astype("f4")


def norm(matrix):
    return float(np.linalg.norm(np.asarray(matrix, "f8"), 2) ** 2)


def rows(source, **options):
    """Row -> largest eigenvalue."""
    found = analyze_model(source, n_jobs=1, min_evals=1, **options)
    return {layer["longname"]: layer["lambda_max"] for layer in found}


def product(left=B, right=A):
    return left.astype("f8") @ right


ADAPTERS = {
    "peft": ({"q.lora_A.weight": A, "q.lora_B.weight": B}, "q.lora_delta", product()),
    "adalora": (
        {"q.lora_A": A, "q.lora_B": B, "q.lora_E": np.arange(4.0)[:, None]},
        "q.lora_delta",
        product(B, np.arange(4.0)[:, None] * A),
    ),
    "kohya with alpha": (
        {"t_q.lora_down.weight": A, "t_q.lora_up.weight": B, "t_q.alpha": np.float32(2)},
        "t_q.lora_delta",
        product() / 2,
    ),
    "xlabs": (
        {"p.qkv_lora1.down.weight": A, "p.qkv_lora1.up.weight": B},
        "p.qkv.lora_delta",
        product(),
    ),
    "diffusers": (
        {"q.lora_linear_layer.down.weight": A, "q.lora_linear_layer.up.weight": B},
        "q.lora_delta",
        product(),
    ),
    "mlx": ({"q.lora_a": A.T.copy(), "q.lora_b": B.T.copy()}, "q.lora_delta", product()),
    "torchtune": ({"q.lora_a.weight": A, "q.lora_b.weight": B}, "q.lora_delta", product()),
    "loha": (
        {"q.hada_w1_a": B, "q.hada_w1_b": A, "q.hada_w2_a": 2 * B, "q.hada_w2_b": A + 1},
        "q.loha_delta",
        product() * product(2 * B, A + 1),
    ),
    "loha with alpha": (
        {
            "q.hada_w1_a": B,
            "q.hada_w1_b": A,
            "q.hada_w2_a": B,
            "q.hada_w2_b": A,
            "q.alpha": np.float32(1),
        },
        "q.loha_delta",
        product() ** 2 / 4,
    ),
    "lokr": (
        {"q.lokr_w1": BASE[:4, :3], "q.lokr_w2_a": B[:8], "q.lokr_w2_b": A[:, :8]},
        "q.lokr_delta",
        np.kron(BASE[:4, :3], product(B[:8], A[:, :8])),
    ),
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_are_the_updates_that_they_make(name):
    tensors, path, delta = ADAPTERS[name]
    assert rows(tensors) == {path: pytest.approx(norm(delta), rel=1e-6)}
    base = {f"{path.rpartition('.')[0]}.weight": RNG.normal(size=delta.shape)}
    found = rows({**base, **tensors})
    effective = next(v for k, v in found.items() if k.endswith("effective"))
    assert effective == pytest.approx(norm(delta + next(iter(base.values()))), rel=1e-6)
    assert len(found) == 3


def test_an_update_has_as_many_eigenvalues_as_its_rank():
    wide = {"q.lora_A.weight": A, "q.lora_B.weight": B}
    layer = analyze_model(wide, n_jobs=1, min_evals=1, randomize=True, mp_fit=True)[0]
    exact = np.linalg.svd(product(), compute_uv=False)
    np.testing.assert_allclose(layer.esd[::-1], exact[:4] ** 2, rtol=1e-9)
    assert (layer["num_evals"], layer["matrix_rank"], layer["rank_loss"]) == (4, 4, 20)
    assert layer["sv_min"] == 0
    assert layer["condition"] == math.inf
    assert analyze_model(wide, n_jobs=1)[0]["status"] == "too_small"


def test_an_update_is_never_multiplied_out():
    left, right = np.ones((40_000, 4), "f4"), RNG.normal(size=(4, 30_000)).astype("f4")
    tracemalloc.start()
    found = analyze_model({"q.lora_A": right, "q.lora_B": left}, n_jobs=1, min_evals=1)[0]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert found["lambda_max"] == pytest.approx(40_000 * norm(right.sum(0, keepdims=True)), 1e-5)


def test_updates_of_convolutions_have_taps():
    down, up = RNG.normal(size=(3, 16, 3, 3)), RNG.normal(size=(20, 3, 1, 1))
    mid = RNG.normal(size=(3, 3, 3, 3))
    delta = np.einsum("or,ri->oi", up[:, :, 0, 0], down.reshape(3, -1)).reshape(20, 16, 9)
    exact = np.linalg.svd(np.moveaxis(delta, 2, 0), compute_uv=False)[:, :3] ** 2
    found = analyze_model({"c.lora_down.weight": down, "c.lora_up.weight": up}, n_jobs=1)[0]
    assert found["num_evals"] == 27
    np.testing.assert_allclose(found.esd, np.sort(exact, axis=None), rtol=1e-9)
    core = {"c.lora_down.weight": down[:, :, :1, :1], "c.lora_up.weight": up}
    whole = np.einsum("or,rskl,si->oikl", up[..., 0, 0], mid, down[..., 0, 0])
    tap = max(norm(whole[:, :, i, j]) for i in range(3) for j in range(3))
    assert rows({**core, "c.lora_mid.weight": mid}) == {"c.lora_delta": pytest.approx(tap)}


def test_bare_factors_are_never_weights():
    odd = {
        "a.lora_A.weight": A,
        "b.lora_up.weight": B,
        "c.hada_w1_a": B,
        "d.lokr_w1": B,
        "e.lora_A.weight": A,
        "e.lora_B.weight": B[:, :2],
        "f.vera_A": A,
        "g.oft_blocks": BASE[None].repeat(3, 0),
        "w.weight": BASE,
    }
    result = analyze_model(odd, n_jobs=1)
    assert [layer["path"] for layer in result] == ["w.weight"]
    assert {entry.path for entry in result.skipped} == odd.keys() - {"w.weight"}


@pytest.mark.parametrize("square", [False, True])
def test_bases_of_gpt2_are_stored_the_other_way_round(square):
    width = 24 if square else 32
    left = B[:width]
    base = RNG.normal(size=(24, width))
    tensors = {
        "h.0.c_proj.weight": base,
        "h.0.c_proj.lora_A.weight": A,
        "h.0.c_proj.lora_B.weight": left,
        "h.0.c_fc.weight": RNG.normal(size=(24, 96)),
    }
    found = rows(tensors)["h.0.c_proj.lora_effective"]
    assert found == pytest.approx(norm(base + product(left).T))
    if square:
        linear = {k.replace("c_fc", "up"): v for k, v in tensors.items()}
        expected = norm(base + product(left))
        assert rows(linear)["h.0.c_proj.lora_effective"] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["lora_magnitude_vector.weight", "dora_scale"])
def test_dora_gives_each_output_a_length(name):
    lengths = RNG.lognormal(0, 1, 32)
    shaped = lengths[:, None] if name == "dora_scale" else lengths
    factors = {"q.lora_A.weight": A, "q.lora_B.weight": B, f"q.{name}": shaped}
    whole = BASE + product()
    expected = whole / np.linalg.norm(whole, axis=1, keepdims=True) * lengths[:, None]
    found = rows({"q.weight": BASE, **factors})
    assert found["q.lora_effective"] == pytest.approx(norm(expected), rel=1e-6)
    assert found["q.lora_delta"] == pytest.approx(norm(product()), rel=1e-6)


def test_the_scale_of_an_adapter_is_that_of_its_configuration(tmp_path):
    factors = {}
    for layer in range(3):
        factors[f"base_model.model.l.{layer}.q.lora_A.weight"] = A
        factors[f"base_model.model.l.{layer}.q.lora_B.weight"] = B
    np.savez(tmp_path / "adapter.npz", **factors)
    cases = [
        ({"r": 4, "lora_alpha": 8}, [2, 2, 2]),
        ({"r": 4, "lora_alpha": 8, "use_rslora": True}, [4, 4, 4]),
        ({"r": 9, "lora_alpha": 8, "alpha_pattern": {"l.1.q": 4, r"l\.2\..*": 1}}, [2, 1, 0.25]),
        ({"lora_parameters": {"rank": 4, "scale": 20.0}}, [20, 20, 20]),
    ]
    for config, scales in cases:
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        found = list(rows(tmp_path).values())
        assert found == pytest.approx([s**2 * norm(product()) for s in scales], rel=1e-6), config
    for config in ({}, {"r": 4, "lora_alpha": 8, "alpha_pattern": {"(a+)+b": 1}}, {"r": "x"}):
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        with pytest.raises(SourceError, match="lora_alpha"):
            analyze_model(tmp_path)


@pytest.mark.oracle
def test_live_adapters_of_peft(hidden_torchvision):
    torch = pytest.importorskip("torch")
    try:
        import peft
    except ImportError as error:
        pytest.skip(f"peft is not usable: {error}")
    torch.manual_seed(0)
    for options in ({}, {"use_rslora": True}, {"use_dora": True}):
        net = torch.nn.Sequential(torch.nn.Linear(24, 24, bias=False))
        config = peft.LoraConfig(
            r=4, lora_alpha=12, target_modules=["0"], init_lora_weights=False, **options
        )
        model = peft.get_peft_model(net, config)
        found = rows(model)
        delta = net[0].get_delta_weight("default").detach().numpy()
        value = next(v for k, v in found.items() if k.endswith("lora_delta"))
        assert value == pytest.approx(norm(delta), rel=1e-5)
        effective = next(v for k, v in found.items() if k.endswith("lora_effective"))
        merged = model.merge_and_unload()[0].weight.detach().numpy()
        assert effective == pytest.approx(norm(merged), rel=1e-4)


@pytest.mark.oracle
@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("live", [False, True])
def test_reparametrized_layers_of_torch(live):
    torch = pytest.importorskip("torch")
    nn, utils = torch.nn, torch.nn.utils
    torch.manual_seed(0)
    makers = {
        "lengths": utils.parametrizations.weight_norm,
        "one length": lambda m: utils.parametrizations.weight_norm(m, dim=None),
        "lengths of inputs": lambda m: utils.parametrizations.weight_norm(m, dim=1),
        "spectral": utils.parametrizations.spectral_norm,
        "old lengths": utils.weight_norm,
        "old spectral": utils.spectral_norm,
        "pruned": lambda m: utils.prune.l1_unstructured(m, "weight", 0.5),
    }
    shapes = {
        "linear": lambda: nn.Linear(24, 32, bias=False),
        "square": lambda: nn.Linear(24, 24, bias=False),
        "conv": lambda: nn.Conv1d(24, 32, 3, bias=False),
        "transposed": lambda: nn.ConvTranspose1d(24, 24, 3, bias=False),
    }
    import torch.nn.utils.prune

    for kind, make in makers.items():
        for shape, layer in shapes.items():
            module = make(layer())
            with torch.no_grad():
                for name, parameter in module.named_parameters():
                    if name.endswith(("_g", "original0")):
                        parameter.mul_(torch.exp(torch.randn_like(parameter)))
                inputs = (
                    torch.randn(2, 24, 8) if "Conv" in type(module).__name__ else torch.randn(2, 24)
                )
                for _ in range(9):  # power iterations
                    module.train()(inputs)
                module.eval()(inputs)
            weight = module.weight.detach().numpy().astype("f8")
            flat = weight.reshape(*weight.shape[:2], -1)
            expected = max(norm(flat[:, :, tap]) for tap in range(flat.shape[2]))
            holder = nn.Sequential(module)
            found = rows(holder if live else holder.state_dict())
            assert found == {"0.weight": pytest.approx(expected, rel=1e-4)}, (kind, shape)


def test_an_unknown_parametrization_is_accounted_for():
    names = ("original", "0.base")
    tensors = {f"l.parametrizations.weight.{name}": BASE for name in names}
    result = analyze_model({**tensors, "w.weight": BASE}, n_jobs=1)
    assert [layer["path"] for layer in result] == ["w.weight"]
    assert len(result.skipped) == 2


def test_scales_run_along_the_axis_that_their_format_says():
    codes = RNG.integers(-127, 128, (40, 40)).astype("i1")
    scale = RNG.lognormal(0, 1, 40).astype("f4")
    across, along = codes * scale[:, None].astype("f8"), codes * scale[None].astype("f8")
    groups = RNG.lognormal(0, 1, (40, 5)).astype("f4")
    cases = {
        "bitsandbytes": ({"l.weight": codes, "l.SCB": scale}, across / 127),
        "compressed-tensors": ({"l.weight": codes, "l.weight_scale": scale[:, None]}, across),
        "a scale of outputs": ({"l.weight": codes, "l.weight_scale": scale}, across),
        "quanto": ({"l.weight._data": codes, "l.weight._scale": scale[:, None]}, across),
        "EETQ": ({"l.weight": codes, "l.weight_scales": scale}, along),
        "Keras": ({"l/kernel": codes, "l/kernel_scale": scale}, codes / scale[None].astype("f8")),
        "zero points": (
            {
                "l.weight": codes,
                "l.weight_scale": scale[:, None],
                "l.weight_zero_point": np.full((40, 1), 3, "i1"),
            },
            (codes.astype("f8") - 3) * scale[:, None],
        ),
        "groups": (
            {"l.weight": codes, "l.weight_scale": groups},
            codes * np.repeat(groups.astype("f8"), 8, 1),
        ),
    }
    for name, (tensors, expected) in cases.items():
        assert list(rows(tensors).values()) == [pytest.approx(norm(expected), rel=1e-5)], name


def test_blocks_at_the_end_may_be_cut():
    codes = RNG.normal(size=(300, 200)).astype(ml_dtypes.float8_e4m3fn)
    scale = RNG.lognormal(0, 1, (3, 2)).astype("f4")
    whole = np.repeat(np.repeat(scale, 128, 0), 128, 1)[:300, :200]
    expected = codes.astype("f8") * whole
    found = rows({"l.weight": codes, "l.weight_scale_inv": scale})
    assert found == {"l.weight": pytest.approx(norm(expected), rel=1e-5)}
    grouped = RNG.lognormal(0, 1, (300, 4)).astype("f4")
    packed = {"l.weight": codes, "l.weight_scale": grouped}
    with_groups = codes.astype("f8") * np.repeat(grouped, 64, 1)[:, :200]
    found = rows(packed)
    assert found == {"l.weight": pytest.approx(norm(with_groups), rel=1e-5)}


def test_one_odd_tensor_is_one_skipped_row():
    codes = RNG.integers(-127, 128, (40, 30)).astype("i1")
    odd = {
        "a.weight": codes,
        "a.weight_scale": np.ones(7, "f4"),
        "b.weight": codes.view("u1"),
        "b.weight_scale": np.ones((40, 1), "f4"),
        "c.weight": codes,
        "c.SCB": np.ones(40, "f4"),
        "c.weight_format": np.array(2, "u1"),
        "d.qweight": np.ones((30, 40), "i4"),
        "d.qzeros": np.ones((30, 40), "i4"),
        "d.scales": np.ones((30, 40), "f4"),
        "e.codebooks": np.ones((2, 256, 1, 8), "f4"),
        "e.codes": np.ones((40, 30, 2), "i1"),
        "e.scales": np.ones((40, 1, 1, 1), "f4"),
        "f.weight": BASE,
    }
    result = analyze_model(odd, n_jobs=1)
    assert [layer["path"] for layer in result] == ["f.weight"]
    assert {entry.path for entry in result.skipped} >= odd.keys() - {"f.weight", "c.weight_format"}


@pytest.mark.parametrize("nested", [False, True])
def test_nf4_of_bitsandbytes(nested):
    shape, block = (36, 30), 64
    count = math.prod(shape)
    table = np.sort(RNG.normal(size=16)).astype("f4")
    codes = RNG.integers(0, 16, count + count % 2)
    absmax = RNG.lognormal(0, 1, -(-count // block)).astype("f4")
    state = {"blocksize": block, "shape": list(shape), "dtype": "bfloat16", "quant_type": "nf4"}
    tensors = {
        "l.weight": (codes[0::2] << 4 | codes[1::2]).astype("u1")[:, None],
        "l.weight.quant_map": table,
    }
    if nested:
        inner = RNG.normal(size=256).astype("f4")
        indices = RNG.integers(0, 256, absmax.size).astype("u1")
        tensors["l.weight.absmax"] = indices
        tensors["l.weight.nested_absmax"] = np.array([2.0], "f4")
        tensors["l.weight.nested_quant_map"] = inner
        state.update(nested_blocksize=256, nested_offset=0.5)
        absmax = inner[indices] * 2 + 0.5
    else:
        tensors["l.weight.absmax"] = absmax
    text = json.dumps(state).encode()
    tensors["l.weight.quant_state.bitsandbytes__nf4"] = np.frombuffer(text, "u1")
    expected = (table[codes[:count]] * np.repeat(absmax, block)[:count]).reshape(shape)
    assert rows(tensors) == {"l.weight": pytest.approx(norm(expected), rel=1e-5)}


def test_mxfp4_of_gpt_oss():
    experts, outputs, groups = 3, 20, 2
    blocks = RNG.integers(0, 256, (experts, outputs, groups, 16)).astype("u1")
    scales = RNG.integers(120, 130, (experts, outputs, groups)).astype("u1")
    pairs = np.stack([blocks & 15, blocks >> 4], -1).reshape(experts, outputs, groups, 32)
    signs = np.where(pairs & 8, -1, 1)
    exact = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])[pairs & 7] * signs
    exact = (exact * 2.0 ** (scales.astype("f8") - 127)[..., None]).reshape(experts, outputs, -1)
    name = "layers.0.mlp.experts.gate_up_proj"
    found = rows({f"{name}_blocks": blocks, f"{name}_scales": scales}, experts="each")
    assert list(found.values()) == pytest.approx([norm(m) for m in exact], rel=1e-6)


@pytest.mark.parametrize("kind", ["int8", "effective", "difference", "dora"])
def test_computed_weights_are_never_held_whole(kind):
    shape = (60_000, 64)
    codes = RNG.integers(-127, 128, shape).astype("i1")
    left, right = RNG.normal(size=(shape[0], 4)).astype("f4"), RNG.normal(size=(4, 64)).astype("f4")
    half = RNG.normal(size=shape).astype("f2")
    sources = {
        "int8": {"l.weight": codes, "l.SCB": np.ones(shape[0], "f4")},
        "effective": {"l.weight": half, "l.lora_A": right, "l.lora_B": left},
        "dora": {
            "l.weight": half,
            "l.lora_A": right,
            "l.lora_B": left,
            "l.lora_magnitude_vector": np.ones(shape[0], "f4"),
        },
        "difference": {"l.weight": half},
    }
    options = {"base": {"l.weight": np.zeros(shape, "f2")}} if kind == "difference" else {}
    analyze_model({"w": np.eye(9)}, n_jobs=1)
    tracemalloc.start()
    result = analyze_model(sources[kind], n_jobs=1, hill=False, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all(layer["status"] in {"ok", "small", "too_small"} for layer in result)
    # Three M x M matrices and 64 MB, the matrix in double precision being 31 MB.
    assert peak < 3 * 8 * 64**2 + (64 << 20)
