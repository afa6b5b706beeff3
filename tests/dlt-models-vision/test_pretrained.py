"""Weights by tag, file and row; heads, freezing, features; what does not fit, and says so."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques import weights as W
from dl_techniques.core import load_model, registry, save_model
from dl_techniques.models.convnext import ConvNeXtV1, ConvNextV2Atto
from dl_techniques.models.mobilenet_v4 import MobileNetV4, MobileNetV4ConvSmall
from dl_techniques.models.vit import ViT

SMALL = {"depths": (1, 1, 1, 1), "dims": (4, 4, 6, 6), "kernel_size": 3, "stem_strides": 2}


@pytest.fixture(autouse=True)
def private_places(tmp_path, monkeypatch):
    """No test sees the user's cache, mirror or consent, nor opens a socket."""
    for name in ("DL_TECHNIQUES_WEIGHTS_DIR", "DL_TECHNIQUES_ACCEPT_LICENCES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DL_TECHNIQUES_OFFLINE", "1")
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def small(**changes):
    return ConvNeXtV1(**{**SMALL, "classes": 3, "input_shape": (16, 16, 3), **changes})


@pytest.fixture
def checkpoint(tmp_path):
    """A file in timm's layout, and the model that it came from."""
    model = small()
    W.export(model, tmp_path / "timm.safetensors", "timm")
    return tmp_path / "timm.safetensors", model


def numbers(model, x):
    return keras.ops.convert_to_numpy(model(x))


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")


def test_every_listed_variant_and_layout_is_known():
    components = {e.id: e for e in registry.list(distribution="dlt-models-vision")}
    rows = [r for r in W.list() if r.distribution == "dlt-models-vision"]
    assert len(rows) > 70
    for row in rows:
        assert row.variant in components[row.component].variants
        if row.component == "dl_techniques>SCUNet":
            assert not row.preprocess  # images keep their size
            continue
        assert row.preprocess["size"] == row.config.get("input_shape", [224])[0]
        assert W.Preprocess(**row.preprocess)
    assert {r.gate for r in rows if r.licence == "cc-by-nc-4.0"} == {"accept"}
    for identifier, entry in components.items():
        settings = getattr(registry.load(identifier), "settings", {})
        assert tuple(settings) == tuple(entry.variants)


@pytest.mark.oracle
def test_a_tag_from_a_mirror(timm, randomized, written, tmp_path, monkeypatch, answer, agrees):
    from PIL import Image
    from timm.data import create_transform, resolve_data_config

    peer = randomized(timm.create_model("mobilenetv4_conv_small.e2400_r224_in1k"), 0.1)
    entry = W.find("MobileNetV4/conv_small/imagenet")
    place = tmp_path / "mirror" / entry.sources[0].mirror_path
    place.parent.mkdir(parents=True)
    written(peer).rename(place)
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path / "mirror"))
    model = MobileNetV4ConvSmall(weights="imagenet")
    assert model.weights_info.entry == entry
    photo = np.random.default_rng(0).integers(0, 256, (250, 300, 3), dtype="uint8")
    transform = create_transform(**resolve_data_config({}, model=peer))
    theirs = transform(Image.fromarray(photo)).numpy().transpose(1, 2, 0)[None]
    ours = model.preprocess_input(photo)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    agrees("MobileNetV4", "timm", model(ours), answer(peer, theirs), "a listed file")
    found = MobileNetV4.from_weights("MobileNetV4/conv_small/imagenet", include_top=False)
    assert found.output_shape == (None, 7, 7, 960)


def test_a_file_tells_variant_and_classes(tmp_path, monkeypatch):
    ours = ViT("tiny", classes=2, input_shape=(32, 32, 3))
    W.export(ours, tmp_path / "tiny.safetensors", "timm")
    found = ViT.from_weights(tmp_path / "tiny.safetensors")
    assert (found.variant, found.classes, found.input_shape[1:]) == ("tiny", 2, (32, 32, 3))
    for a, b in zip(ours.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    address = f"hf://owner/tiny@{'0' * 40}"
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path))
    mirrored = tmp_path / W.find(address).sources[0].mirror_path
    mirrored.parent.mkdir(parents=True)
    mirrored.write_bytes((tmp_path / "tiny.safetensors").read_bytes())
    found = ViT.from_weights(address, accept_license="unknown")
    np.testing.assert_array_equal(found.get_weights()[0], ours.get_weights()[0])
    assert found.weights_origin["source"].startswith("hf://owner/tiny/model.safetensors@")
    W.export(small(), tmp_path / "small.safetensors", "timm")
    with pytest.raises(ValueError, match="`variant` must be given"):
        ConvNeXtV1.from_weights(tmp_path / "small.safetensors")


def test_without_the_head(checkpoint, x):
    path, model = checkpoint
    bare = small(weights=path, include_top=False, pooling="avg")
    head = model.get_layer("head")
    np.testing.assert_allclose(numbers(head, bare(x)), numbers(model, x), rtol=1e-5, atol=1e-6)
    with pytest.raises(W.WeightsMismatch, match="another number of classes"):
        small(weights=path, classes=4)
    other = small(classes=4)
    other.load_pretrained(path, skip=("head",))
    ours, theirs = other.features([-1])(x), model.features([-1])(x)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (ours[0], theirs[0])))


def test_reset_head_freeze_and_a_file_of_keras(checkpoint, x, tmp_path):
    _, model = checkpoint
    other = model.reset_head(7)
    assert (other.output_shape, model.output_shape) == ((None, 7), (None, 3))
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])
    other.freeze()
    assert {v.path for v in other.trainable_variables} == {"head/kernel", "head/bias"}
    other.compile("sgd", "mse")
    before = [w.copy() for w in other.get_weights()]
    other.fit(x, np.zeros((2, 7)), verbose=0)
    moved = [not np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True)]
    assert sum(moved) == 2
    save_model(other, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    assert len(again.trainable_variables) == 2
    np.testing.assert_array_equal(numbers(again, x), numbers(other, x))
    part = small()
    part.freeze(until=1)
    kept = {v.path.split("/")[0] for v in part.trainable_variables}
    assert {"stem", "stage1_block0"}.isdisjoint(kept)
    assert {"down2", "stage3_block0"} <= kept
    for wrong in (4, "stage9"):
        with pytest.raises(ValueError, match="`until`"):
            part.freeze(until=wrong)
    with pytest.raises(ValueError, match="`levels`"):
        part.features([4])


def test_preprocessing_inside(x):
    """The same numbers, whether the images are normalized before or inside."""
    model = small(preprocess={"size": 16, "mean": (0.5,) * 3, "std": (0.25,) * 3})
    inside = small(preprocess=model.preprocess, include_preprocessing=True)
    inside.set_weights(model.get_weights())
    images = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype="uint8")
    ours = numbers(inside, images.astype("float32"))
    np.testing.assert_allclose(ours, numbers(model, model.preprocess_input(images)), atol=1e-5)
    again = ConvNeXtV1.from_config(model.get_config())
    assert again.preprocessor.preprocess == model.preprocessor.preprocess


CHANGES = {
    "missing": (lambda a: a.pop("head.norm.bias"), "norm/beta"),
    "extra": (lambda a: a.update(extra=np.zeros(3)), "extra"),
    "transposed": (
        lambda a: a.update({"head.fc.weight": a["head.fc.weight"].T}),
        r"head.fc.weight gives \(3, 6\)",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_fit_is_named_and_changes_nothing(change, checkpoint):
    path, _ = checkpoint
    arrays = {name: np.array(array) for name, array in W.open(path).items()}
    edit, message = CHANGES[change]
    edit(arrays)
    model = small()
    before = [w.copy() for w in model.get_weights()]
    with pytest.raises((W.WeightsMismatch, W.UnknownWeights), match=message):
        model.load_pretrained(arrays)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.weights_info is None


def test_files_that_cannot_be_had(checkpoint, tmp_path):
    path, _ = checkpoint
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-8])
    with pytest.raises(W.UnreadableFile, match="cut"):
        small(weights=tmp_path / "cut.safetensors")
    with pytest.raises(W.LicenceNotAccepted, match=r"cc-by-nc-4\.0"):
        ConvNextV2Atto(weights="imagenet")
    with pytest.raises(W.WeightsUnavailable, match=r"convnextv2_atto_1k_224_ema\.pt"):
        ConvNextV2Atto(weights="imagenet", accept_license="cc-by-nc-4.0")
    with pytest.raises(W.UnknownWeights, match="ViT/tiny/augreg_in21k"):
        ViT("tiny", weights="no_such_tag")
    with pytest.raises(TypeError, match="`weights`"):
        small(weights=3)


def test_half_precision_files(checkpoint, tmp_path, x):
    """float16 in the file, float32 in the model; the reading of such files has tests of its own."""
    path, model = checkpoint
    half = {name: np.array(a).astype("float16") for name, a in W.open(path).items()}
    np.savez(tmp_path / "half.npz", **half)
    ours = numbers(small(weights=tmp_path / "half.npz"), x)
    np.testing.assert_allclose(ours, numbers(model, x), atol=1e-3)
