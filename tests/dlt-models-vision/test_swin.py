"""Oracles: Swin transformers of timm and transformers with random weights, by their files."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.models.swin import SwinTransformer

COUNTS = {"tiny": 28_288_354, "small": 49_606_258, "base": 87_768_224, "large": 196_532_476}
THEIRS = {"embed_dim": 8, "depths": (2, 1, 2), "num_heads": (1, 2, 4), "window_size": 4}
THEIRS |= {"num_classes": 5}
SMALL = {"dim": 8, "depths": (2, 1, 2), "num_heads": (1, 2, 4), "window_size": 4}


def small(**changes):
    return SwinTransformer(**{**SMALL, "classes": 5, "input_shape": (64, 64, 3), **changes})


def parameters(dim, depths, heads, window, classes):
    """Patches, blocks with their tables, mergings, the last norm, the classifier."""
    total = 48 * dim + 3 * dim
    for i, (depth, head) in enumerate(zip(depths, heads, strict=True)):
        c = dim * 2**i
        total += depth * (12 * c * c + 13 * c + (2 * window - 1) ** 2 * head)
        total += (4 * c + 2 * c * c) if i else 0
    return total + 2 * c + (classes and (c + 1) * classes)


def test_parameters_of_variants():
    for variant, count in COUNTS.items():
        assert parameters(*SwinTransformer.settings_of(variant), 7, 1000) == count
    model = small()
    assert model.count_params() == parameters(*list(SMALL.values()), 5)
    assert [m.shape[-1] for m in model.features().outputs] == [8, 16, 32]


@pytest.mark.oracle
def test_timm(timm, randomized, written, answer, agrees, returns, gradients, images):
    import torch

    theirs = timm.models.swin_transformer.SwinTransformer(
        img_size=64,
        embed_dim=8,
        depths=(2, 1, 2),
        num_heads=(1, 2, 4),
        window_size=4,
        num_classes=5,
    )
    path = written(randomized(theirs))
    model = SwinTransformer.from_weights(
        path, variant="tiny", dim=8, depths=(2, 1, 2), num_heads=(1, 2, 4), input_shape=(64, 64, 3)
    )
    assert (model.window_size, model.classes) == (4, 5)
    agrees("SwinTransformer", "timm", model(images(64)), answer(theirs, images(64)))
    returns(model, path, "timm")
    x = torch.tensor(images(64).transpose(0, 3, 1, 2))
    (theirs(x) ** 2).sum().backward()
    variables = [model.get_layer("patches").projection.kernel, model.get_layer("norm").gamma]
    kernel, gamma = gradients(model, images(64), variables)
    expected = theirs.patch_embed.proj.weight.grad.permute(2, 3, 1, 0)
    agrees("SwinTransformer", "timm", kernel, expected, "gradient of the first kernel")
    agrees("SwinTransformer", "timm", gamma, theirs.norm.weight.grad, "gradient of the last norm")


@pytest.mark.oracle
@pytest.mark.parametrize("size", [(64, 64), (72, 76)])
def test_transformers(size, timm, randomized, written, answer, agrees, returns, images):
    """Also where windows do not divide the map, and the map is odd."""
    transformers = pytest.importorskip("transformers")
    config = transformers.SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[2, 1, 2],
        num_heads=[1, 2, 4],
        window_size=4,
        num_labels=5,
    )
    theirs = randomized(transformers.SwinForImageClassification(config))
    path = written(theirs)
    model = small(weights=path, input_shape=(None, None, 3))
    x = images(*size)
    agrees("SwinTransformer", "transformers", model(x), answer(theirs, x), f"{size[0]}x{size[1]}")
    if size == (64, 64):
        returns(model, path, "hf")


@pytest.mark.oracle
def test_names_of_the_authors(timm, randomized, written, images, tmp_path):
    """The merging of a stage stands at its end there, and at the next one's beginning in timm."""
    from timm.models.swin_transformer import checkpoint_filter_fn

    theirs = randomized(timm.models.swin_transformer.SwinTransformer(64, **THEIRS))
    path = written(theirs)
    first = small(weights=path)
    from dl_techniques import weights

    weights.export(first, tmp_path / "authors.safetensors", "microsoft")
    state = {
        k.removeprefix("model."): v
        for k, v in weights.open(tmp_path / "authors.safetensors").items()
    }
    again = checkpoint_filter_fn({k: _tensor(v) for k, v in state.items()}, theirs)
    for name, tensor in theirs.state_dict().items():
        np.testing.assert_array_equal(again[name].numpy(), tensor.numpy())


def _tensor(array):
    import torch

    return torch.tensor(np.array(array))
