"""Oracles: Depth Anything of transformers with random weights, by its file; its loss in NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.models.depth_anything import (
    AffineInvariantLoss,
    AlignedResize,
    DepthAnything,
    DepthAnythingV2Small,
    DepthDistiller,
)
from dl_techniques.models.vit import ViT

# TensorFlow traces a step for longer than these models train.
EAGER = keras.backend.backend() == "tensorflow"
SMALL = {"dim": 16, "depth": 4, "num_heads": 2, "patch_size": 4, "input_shape": (16, 16, 3)}
SMALL |= {"taps": (0, 1, 2, 3), "neck": (4, 6, 8, 10), "fusion_dim": 6}
TINY = {**SMALL, "depth": 1, "taps": (0, 0, 0, 0), "input_shape": (8, 8, 3), "dim": 8}
# As the files have them: with the parts that are never used.
COUNTS = {
    "small": (24_785_089, 22_056_576, 2_700_768, 27_745),
    "base": (97_470_785, 86_580_480, 10_798_016, 92_289),
    "large": (335_315_649, 304_368_640, 30_615_040, 331_969),
}


def parts(dim, depth, patch, grid, neck, f):
    """Parameters of the transformer, of the neck, of the head, and of what files have beyond."""
    block = 12 * dim**2 + 13 * dim + 2 * dim
    backbone = 3 * patch**2 * dim + dim + dim + (1 + grid**2) * dim + depth * block + 2 * dim
    resizes = [(16 * n + 1) * n if k == 0 else (4 * n + 1) * n for k, n in enumerate(neck[:2])]
    resizes += [(9 * neck[3] + 1) * neck[3]]
    unit = 2 * (9 * f + 1) * f
    fusion = 4 * (unit + (f + 1) * f) + 3 * unit
    maps = sum((dim + 1) * n + 9 * n * f for n in neck)
    half = f // 2
    head = (9 * f + 1) * half + (9 * half + 1) * 32 + 33
    return backbone, maps + sum(resizes) + fusion, head, (dim, unit)


@pytest.mark.parametrize("size", COUNTS)
def test_parameters_of_variants(size):
    for version in ("v1", "v2"):
        variant = DepthAnything.settings_of(f"{version}_{size}")
        vit = ViT.settings_of(variant.backbone)
        shape = (vit.dim, vit.depth, 14, 37, variant.neck, variant.fusion_dim)
        backbone, neck, head, (mask, unit) = parts(*shape)
        found = (backbone + mask, neck + unit, head)
        assert (sum(found), *found) == COUNTS[size]
        rows = [e for e in W.list("DepthAnything") if e.variant == f"{version}_{size}"]
        assert {e.params for e in rows} == {backbone + neck + head}


def test_the_model_has_the_parameters_of_the_formula():
    backbone, neck, head, _ = parts(16, 4, 4, 4, SMALL["neck"], 6)
    assert DepthAnythingV2Small(**SMALL).count_params() == backbone + neck + head


@pytest.fixture
def peer(timm, randomized):
    transformers = pytest.importorskip("transformers")

    def make(**settings):
        backbone = transformers.Dinov2Config(
            image_size=16,
            patch_size=4,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            out_indices=[1, 2, 3, 4],
            reshape_hidden_states=False,
            apply_layernorm=True,
        )
        config = transformers.DepthAnythingConfig(
            backbone_config=backbone,
            patch_size=4,
            reassemble_hidden_size=16,
            neck_hidden_sizes=[4, 6, 8, 10],
            fusion_hidden_size=6,
            **settings,
        )
        return randomized(transformers.DepthAnythingForDepthEstimation(config))

    return make


def depths(peer, x):
    import torch

    found = peer(torch.tensor(x.transpose(0, 3, 1, 2))).predicted_depth
    # The last rectifier must not hide all of it.
    assert (found > 0).any()
    return found


@pytest.mark.oracle
def test_transformers(peer, written, agrees, returns, images, gradients):
    theirs = peer()
    path = written(theirs)
    model = DepthAnything("v2_small", weights=path, **SMALL)
    expected = depths(theirs, images(16))
    agrees("DepthAnything", "transformers", model(images(16)), expected.detach())
    returns(model, path, "hf")
    (expected**2).sum().backward()
    variables = [model.get_layer("patches").projection.kernel, model.get_layer("neck3").kernel]
    wanted = [
        theirs.backbone.embeddings.patch_embeddings.projection.weight.grad,
        theirs.neck.convs[3].weight.grad,
    ]
    found = gradients(model, images(16), variables)
    for name, mine, other in zip(("patches", "neck3"), found, wanted, strict=True):
        moved = other.permute(2, 3, 1, 0)
        agrees("DepthAnything", "transformers", mine, moved, f"gradient of {name}")
    _official_file_agrees(model, path, images(16))


def _official_file_agrees(model, path, x):
    """The authors' names, by the table of the script that made the files of transformers."""
    renamed = {}
    arrays = W.open(path)
    for key in arrays:
        if ".attention.attention." not in key:
            renamed[official(key)] = np.asarray(arrays[key])
    for i in range(4):
        for kind in ("weight", "bias"):
            prefix = f"backbone.encoder.layer.{i}.attention.attention"
            fused = [arrays[f"{prefix}.{name}.{kind}"] for name in ("query", "key", "value")]
            renamed[f"pretrained.blocks.{i}.attn.qkv.{kind}"] = np.concatenate(fused)
    np.savez(path.with_suffix(".npz"), **renamed)
    again = DepthAnything("v2_small", weights=path.with_suffix(".npz"), **SMALL)
    assert again.weights_info.report.layout == "official"
    np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(m(x)) for m in (model, again)))


RENAMED = {
    "backbone.embeddings.position_embeddings": "pretrained.pos_embed",
    "backbone.embeddings.patch_embeddings.projection": "pretrained.patch_embed.proj",
    "backbone.embeddings": "pretrained",
    "backbone.encoder.layer": "pretrained.blocks",
    "backbone.layernorm": "pretrained.norm",
    "attention.output.dense": "attn.proj",
    "layer_scale1.lambda1": "ls1.gamma",
    "layer_scale2.lambda1": "ls2.gamma",
    "neck.reassemble_stage.layers.0.projection": "depth_head.projects.0",
    "neck.reassemble_stage.layers.1.projection": "depth_head.projects.1",
    "neck.reassemble_stage.layers.2.projection": "depth_head.projects.2",
    "neck.reassemble_stage.layers.3.projection": "depth_head.projects.3",
    "neck.reassemble_stage.layers.0.resize": "depth_head.resize_layers.0",
    "neck.reassemble_stage.layers.1.resize": "depth_head.resize_layers.1",
    "neck.reassemble_stage.layers.3.resize": "depth_head.resize_layers.3",
    "neck.convs.0": "depth_head.scratch.layer1_rn",
    "neck.convs.1": "depth_head.scratch.layer2_rn",
    "neck.convs.2": "depth_head.scratch.layer3_rn",
    "neck.convs.3": "depth_head.scratch.layer4_rn",
    "neck.fusion_stage.layers.0": "depth_head.scratch.refinenet4",
    "neck.fusion_stage.layers.1": "depth_head.scratch.refinenet3",
    "neck.fusion_stage.layers.2": "depth_head.scratch.refinenet2",
    "neck.fusion_stage.layers.3": "depth_head.scratch.refinenet1",
    "residual_layer1.convolution": "resConfUnit1.conv",
    "residual_layer2.convolution": "resConfUnit2.conv",
    "refinenet1.projection": "refinenet1.out_conv",
    "refinenet2.projection": "refinenet2.out_conv",
    "refinenet3.projection": "refinenet3.out_conv",
    "refinenet4.projection": "refinenet4.out_conv",
    "head.conv1": "depth_head.scratch.output_conv1",
    "head.conv2": "depth_head.scratch.output_conv2.0",
    "head.conv3": "depth_head.scratch.output_conv2.2",
}


def official(key):
    for old, new in RENAMED.items():
        key = key.replace(old, new)
    return key


@pytest.mark.oracle
def test_metric_depths_of_another_size(peer, written, agrees, images):
    """A map that is odd at two levels, and positions that are resampled."""
    theirs = peer(depth_estimation_type="metric", max_depth=20)
    settings = {**SMALL, "input_shape": (24, 12, 3), "max_depth": 20.0}
    model = DepthAnything("v1_small", weights=written(theirs), **settings)
    expected = depths(theirs, images(24, 12)).detach()
    agrees("DepthAnything", "transformers", model(images(24, 12)), expected, "metric, other size")


def test_versions_differ_in_what_no_file_tells(tmp_path):
    small = {**SMALL, "taps": None}
    model = DepthAnything("v2_small", **{**small, "depth": 12})
    W.export(model, tmp_path / "v2.safetensors", "hf")
    assert DepthAnything.settings_of("v1_small").taps == (8, 9, 10, 11)
    assert DepthAnything.settings_of("v2_large").taps == (4, 11, 17, 23)
    with pytest.raises(ValueError, match="`variant` must be given"):
        DepthAnything.from_weights(tmp_path / "v2.safetensors")
    rest = {name: SMALL[name] for name in ("dim", "num_heads", "neck", "fusion_dim")}
    found = DepthAnything.from_weights(tmp_path / "v2.safetensors", variant="v2_small", **rest)
    assert (found.patch_size, found.inputs[0].shape) == (4, (None, 16, 16, 3))


def test_listed_licences():
    gates = {e.name: e.gate for e in W.list("DepthAnything")}
    assert gates["DepthAnything/v1_large/relative"] == "none"
    assert gates["DepthAnything/v2_small/metric_indoor"] == "none"
    assert gates["DepthAnything/v2_base/relative"] == "accept"
    with pytest.raises(W.LicenceNotAccepted):
        DepthAnything("v2_large", weights="metric_outdoor")
    depth = {e.tag: e.config.get("max_depth") for e in W.list("DepthAnything/v2_base")}
    assert depth == {"relative": None, "metric_indoor": 20, "metric_outdoor": 80}


def test_sizes_of_images():
    """Closed form: the shorter side gets 518, both are multiples of 14."""
    assert DepthAnything.input_size(480, 640) == (518, 686)
    assert DepthAnything.input_size(375, 1242) == (518, 1722)
    assert DepthAnything.input_size(1000, 518) == (994, 518)
    assert DepthAnything.input_size(600, 600, size=515) == (518, 518)


@pytest.mark.oracle
def test_aligned_resize(agrees, images):
    torch = pytest.importorskip("torch")
    x = images(3, 5)
    t = torch.tensor(x.transpose(0, 3, 1, 2))
    wanted = torch.nn.functional.interpolate(t, (7, 4), mode="bilinear", align_corners=True)
    found = AlignedResize((7, 4))(x)
    agrees("AlignedResize", "torch", found, wanted.permute(0, 2, 3, 1))
    assert AlignedResize(1)(x).shape == (2, 1, 1, 3)


def reference(y, p, valid, weight=0.0, ignored=0.0):
    """The loss of one map, in float64."""

    def standardized(d):
        d = d - np.median(d[valid])
        return d / np.abs(d[valid]).mean()

    r = standardized(p.astype("float64")) - standardized(np.where(valid, y, 0).astype("float64"))
    errors = np.sort(np.abs(r[valid]))
    place = (1 - ignored) * (len(errors) - 1)
    limit = (errors[int(np.floor(place))] + errors[int(np.ceil(place))]) / 2
    kept = valid & (np.abs(r) <= limit + 1e-9)
    total = np.abs(r[kept]).mean()
    for k in range(4):
        s, w = r[:: 2**k, :: 2**k], kept[:: 2**k, :: 2**k]
        down = np.abs(np.diff(s, axis=0))[w[1:] & w[:-1]].sum()
        right = np.abs(np.diff(s, axis=1))[w[:, 1:] & w[:, :-1]].sum()
        total += weight * (down + right) / max(w.sum(), 1)
    return total


@pytest.mark.parametrize("settings", [(0.0, 0.0), (2.0, 0.1)])
def test_affine_invariant_loss(settings, verify):
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=(2, 2, 5, 7)).astype("float32")
    y[0, 0, :4] = np.nan
    y[1, 2, 2] = np.inf
    loss = AffineInvariantLoss(*settings, reduction=None)
    found = keras.ops.convert_to_numpy(loss(y, p))
    wanted = [reference(a, b, np.isfinite(a), *settings) for a, b in zip(y, p, strict=True)]
    verify("dl_techniques>AffineInvariantLoss", "numpy", found, np.array(wanted), what="loss")
    again = keras.ops.convert_to_numpy(loss(3 * y - 2, 0.5 * p + 4))
    np.testing.assert_allclose(again, found, rtol=1e-4)


@pytest.fixture
def scene():
    """Images whose brightness is the depth, up to a scale and a shift."""
    rng = np.random.default_rng(0)
    y = rng.uniform(size=(4, 8, 8)).cumsum(axis=1).astype("float32")
    return np.repeat(y[..., None] / 4, 3, axis=-1), 10 - 2 * y


def test_trains_by_its_own_loss(scene):
    model = DepthAnything("v2_small", **TINY)
    _revive(model)
    model.compile(keras.optimizers.Adam(5e-3), run_eagerly=EAGER)
    history = model.fit(*scene, epochs=12, verbose=0).history["loss"]
    assert np.isfinite(history).all()
    assert history[-1] < 0.9 * history[0]
    model.freeze()
    kept = {v.path.split("/")[0] for v in model.trainable_variables}
    assert {"patches", "block0", "norm", "positions"}.isdisjoint(kept)
    assert {"neck0", "head2"} <= kept
    metric = DepthAnything("v2_small", **TINY, max_depth=3.0)
    metric.compile("sgd")
    with pytest.raises(ValueError, match="`loss`"):
        metric.compute_loss(y=scene[1], y_pred=scene[1])


def _revive(model):
    """The last rectifier starts open, and the weights large enough to learn from."""
    rng = np.random.default_rng(1)
    for variable in model.weights:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.2, variable.shape))
    model.get_layer("head2").bias.assign([2.0])


def test_distillation(scene):
    """The student learns from all three losses; teacher and encoder stay as they are."""
    student = DepthAnything("v1_small", **TINY)
    _revive(student)
    pixels = keras.Input((8, 8, 3))
    dense = keras.layers.Dense(1, kernel_initializer="ones")
    teacher = keras.Model(pixels, keras.ops.squeeze(dense(pixels), axis=-1))
    vit = {name: TINY[name] for name in ("dim", "depth", "num_heads", "patch_size", "input_shape")}
    encoder = ViT("small", include_top=False, pooling=None, **vit)
    model = DepthDistiller(student, teacher, encoder, gradient_weight=0.5, ignored_fraction=0.1)
    model.compile(keras.optimizers.Adam(5e-3), run_eagerly=EAGER)
    images, y = scene
    mixed = np.zeros((4, 8, 8), "float32")
    mixed[:, :4] = 1.0
    strong = np.where(mixed[..., None] > 0, images[::-1], images) * 1.1
    x = {"image": images, "unlabeled": images, "unlabeled_strong": strong, "mixed": mixed}
    frozen = [w.copy() for part in (teacher, encoder) for w in part.get_weights()]
    before = {v.path: keras.ops.convert_to_numpy(v).copy() for v in student.trainable_variables}
    history = model.fit(x, y, epochs=5, verbose=0).history
    assert set(history) == {"loss", "labeled_loss", "unlabeled_loss", "alignment_loss"}
    assert history["loss"][-1] < history["loss"][0]
    total = sum(history[f"{n}_loss"][0] for n in ("labeled", "unlabeled", "alignment"))
    np.testing.assert_allclose(history["loss"][0], total, rtol=1e-5)
    after = [w for part in (teacher, encoder) for w in part.get_weights()]
    for a, b in zip(frozen, after, strict=True):
        np.testing.assert_array_equal(a, b)
    for v in student.trainable_variables:
        assert not np.array_equal(before[v.path], keras.ops.convert_to_numpy(v)), v.path


def test_perfect_students_of_mixed_images_lose_nothing(scene):
    """Property: a student that gives the mixed labels of the teacher has no unlabelled loss."""
    pixels = keras.Input((8, 8, 3))
    teacher = keras.Model(pixels, keras.ops.mean(pixels, axis=-1))
    model = DepthDistiller(DepthAnything("v1_small", **TINY), teacher)
    images, _ = scene
    labels = teacher(images)
    mixed = np.zeros((4, 8, 8), "float32")
    mixed[:, :4] = 1.0
    x = {"unlabeled": keras.ops.convert_to_tensor(images), "mixed": mixed}
    answer = keras.ops.where(mixed > 0, keras.ops.flip(labels, axis=0), labels)
    loss = keras.ops.convert_to_numpy(model._unlabeled_loss(x, answer))
    np.testing.assert_allclose(loss, 0.0, atol=1e-5)
    wrong = keras.ops.convert_to_numpy(model._unlabeled_loss(x, labels))
    assert (wrong > 0.05).all()
