"""Oracles: ConvNeXt of timm and transformers with random weights, by files of three layouts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from dl_techniques.models.convnext import ConvNeXtV1, ConvNextV1Tiny, ConvNeXtV2

DEPTHS, DIMS = (1, 1, 2, 1), (8, 12, 16, 24)
COUNTS = {
    ConvNeXtV1: {
        "tiny": (28_589_128, 27_820_128),
        "small": (50_223_688, 49_454_688),
        "base": (88_591_464, 87_566_464),
        "large": (197_767_336, 196_230_336),
        "xlarge": (350_196_968, 348_147_968),
    },
    ConvNeXtV2: {
        "atto": (3_708_400, 3_387_400),
        "femto": (5_233_240, 4_848_240),
        "pico": (9_066_280, 8_553_280),
        "nano": (15_623_800, 14_982_800),
        "tiny": (28_635_496, 27_866_496),
        "base": (88_717_800, 87_692_800),
        "large": (197_956_840, 196_419_840),
        "huge": (660_289_640, 657_472_640),
    },
}
MODELS = pytest.mark.parametrize("cls", [ConvNeXtV1, ConvNeXtV2])


def small(cls, **changes):
    config = {"depths": DEPTHS, "dims": DIMS, "classes": 5, "input_shape": (64, 64, 3)}
    return cls(**{**config, **changes})


def parameters(cls, depths, dims, classes):
    """Stem, blocks, steps down, the last norm, the classifier."""

    def block(c):
        own = c if cls is ConvNeXtV1 else 8 * c  # gains, or gamma and beta of 4 C channels
        return 50 * c + 2 * c + 8 * c * c + 5 * c + own

    stem = 48 * dims[0] + 3 * dims[0]
    steps = sum(2 * a + 4 * a * b + b for a, b in pairwise(dims))
    blocks = sum(n * block(c) for n, c in zip(depths, dims, strict=True))
    return stem + steps + blocks + 2 * dims[-1] + (classes and (dims[-1] + 1) * classes)


@MODELS
def test_parameters_of_variants(cls):
    for variant, counts in COUNTS[cls].items():
        size = cls.settings_of(variant)
        assert tuple(parameters(cls, *size, classes) for classes in (1000, 0)) == counts
    assert small(cls).count_params() == parameters(cls, DEPTHS, DIMS, 5)
    assert small(cls, include_top=False).count_params() == parameters(cls, DEPTHS, DIMS, 0)


@pytest.fixture
def peer(timm, randomized):
    def make(cls):
        extra = {"use_grn": True, "ls_init_value": None} if cls is ConvNeXtV2 else {}
        model = timm.models.convnext.ConvNeXt(
            num_classes=5, depths=DEPTHS, dims=DIMS, conv_mlp=cls is ConvNeXtV2, **extra
        )
        return randomized(model)

    return make


@pytest.mark.oracle
@MODELS
def test_timm(cls, peer, written, answer, agrees, returns, gradients, images):
    import torch

    theirs = peer(cls)
    path = written(theirs)
    model = small(cls, weights=path)
    assert model.weights_info.report.layout == "timm"
    name = cls.__name__
    agrees(name, "timm", model(images(64)), answer(theirs, images(64)))
    returns(model, path, "timm")
    x = torch.tensor(images(64).transpose(0, 3, 1, 2))
    maps = theirs.forward_intermediates(x, intermediates_only=True)
    for ours, other in zip(model.features()(images(64)), maps, strict=True):
        agrees(name, "timm", ours, other.detach().permute(0, 2, 3, 1), "features")
    (theirs(x) ** 2).sum().backward()
    variables = [model.get_layer("stem").kernel, model.get_layer("norm").gamma]
    kernel, gamma = gradients(model, images(64), variables)
    expected = theirs.stem[0].weight.grad.permute(2, 3, 1, 0)
    agrees(name, "timm", kernel, expected, "gradient of the first kernel")
    agrees(name, "timm", gamma, theirs.head.norm.weight.grad, "gradient of the last norm")


@pytest.mark.oracle
@MODELS
def test_images_of_an_odd_size(cls, peer, written, answer, agrees, images):
    theirs = peer(cls)
    model = small(cls, weights=written(theirs), input_shape=(None, None, 3))
    x = images(69, 45)
    agrees(cls.__name__, "timm", model(x), answer(theirs, x), "odd size")


@pytest.mark.oracle
@MODELS
def test_transformers(cls, timm, randomized, written, answer, agrees, returns, images):
    transformers = pytest.importorskip("transformers")
    kind = "ConvNext" if cls is ConvNeXtV1 else "ConvNextV2"
    config = getattr(transformers, f"{kind}Config")(
        depths=DEPTHS, hidden_sizes=DIMS, num_labels=5, image_size=64
    )
    theirs = randomized(getattr(transformers, f"{kind}ForImageClassification")(config))
    path = written(theirs)
    model = small(cls, weights=path)
    agrees(cls.__name__, "transformers", model(images(64)), answer(theirs, images(64)))
    returns(model, path, "hf")


@pytest.mark.oracle
@MODELS
def test_files_of_meta(cls, peer, written, tmp_path, answer, agrees, images):
    """timm turns the names of these files into its own; here its names are turned into theirs."""
    import torch

    theirs = peer(cls)
    names = {
        "stem.": "downsample_layers.0.",
        "head.norm.": "norm.",
        "head.fc.": "head.",
        ".conv_dw.": ".dwconv.",
        ".mlp.fc1.": ".pwconv1.",
        ".mlp.fc2.": ".pwconv2.",
        ".mlp.grn.weight": ".grn.gamma",
        ".mlp.grn.bias": ".grn.beta",
        ".blocks.": ".",
    }
    state = {}
    for key, value in theirs.state_dict().items():
        stage = key.split(".")[1]
        new = key.replace(f"stages.{stage}.downsample", f"downsample_layers.{stage}")
        for old, name in names.items():
            new = new.replace(old, name)
        tensor = value.flatten(1) if "pwconv" in new and value.ndim == 4 else value
        state[new] = tensor[None, None, None] if ".grn." in new else tensor
    again = timm_filter(state, theirs)
    assert again.keys() == theirs.state_dict().keys()
    torch.save({"model": state}, tmp_path / "meta.pth")
    model = cls.from_weights(
        tmp_path / "meta.pth", variant="tiny", depths=DEPTHS, dims=DIMS, input_shape=(64, 64, 3)
    )
    assert (model.classes, model.weights_info.report.layout) == (5, "facebook")
    agrees(cls.__name__, "timm", model(images(64)), answer(theirs, images(64)), "a file of Meta")


def timm_filter(state, model):
    from timm.models.convnext import checkpoint_filter_fn

    return checkpoint_filter_fn({"model": state}, model)


def test_drop_path_and_weights():
    model = small(ConvNeXtV1, drop_path=0.4)
    rates = [layer.drop_path for layer in model.layers if "_block" in layer.name]
    np.testing.assert_allclose(rates, [0.0, 0.1, 0.2, 0.3, 0.4])
    with pytest.raises(LookupError, match="ConvNeXtV1/tiny"):
        ConvNextV1Tiny(weights="no_such_tag")
