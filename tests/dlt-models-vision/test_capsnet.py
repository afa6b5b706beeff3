"""CapsNet: the count of its parameters, its loss in numpy, a peer of plain torch, training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.capsnet import CapsNet

SMALL = {"input_shape": (8, 8, 1), "classes": 3, "conv_filters": 4, "kernel_size": 3}
SMALL |= {"num_primary": 2, "primary_dim": 4, "capsule_dim": 4, "decoder_units": (6,)}


@pytest.fixture
def digits():
    rng = np.random.default_rng(0)
    return rng.uniform(size=(6, 8, 8, 1)).astype("float32"), rng.integers(0, 3, 6)


def test_parameters():
    model = CapsNet()
    assert model.count_params() == 8_215_568
    assert model.decoder.count_params() == 1_411_344


def squash(v, axis=-1):
    square = (v**2).sum(axis, keepdim=True)
    return square / (1 + square) * v / (square + 1e-7).sqrt()


@pytest.mark.oracle
def test_plain_torch(digits, agrees):
    """The paper's algorithm once more: torch, channels first, one capsule at a time."""
    import torch

    x, _ = digits
    model = CapsNet(**SMALL)
    rng = np.random.default_rng(1)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.3, variable.shape))
    w = {v.path: torch.tensor(keras.ops.convert_to_numpy(v)) for v in model.weights}
    conv, primary = (
        [p for name, p in w.items() if name.startswith(part)] for part in ("conv/", "primary/")
    )
    t = torch.tensor(x.transpose(0, 3, 1, 2))
    t = torch.relu(torch.conv2d(t, conv[0].permute(3, 2, 0, 1), conv[1]))
    t = torch.conv2d(t, primary[0].permute(3, 2, 0, 1), primary[1], stride=2)
    u = squash(t.permute(0, 2, 3, 1).reshape(len(x), -1, 4))
    kernel = next(p for name, p in w.items() if name.startswith("routing/"))
    votes = torch.einsum("bip,ijpq->bijq", u, kernel)
    b = torch.zeros(votes.shape[:3])
    for _ in range(3):
        c = torch.softmax(b, dim=2)
        v = squash((c[..., None] * votes).sum(1))
        b = b + (votes * v[:, None]).sum(-1)
    found = model(x)
    agrees("CapsNet", "torch", found["capsules"], v, "capsules")
    agrees("CapsNet", "torch", found["length"], v.norm(dim=-1), "lengths")


@pytest.mark.parametrize("one_hot", [False, True])
def test_loss_is_that_of_the_paper(one_hot, digits):
    x, y = digits
    model = CapsNet(**SMALL, reconstruction_weight=0.1)
    model.compile()
    target = np.eye(3, dtype="float32")[y]
    found = model.evaluate(x, target if one_hot else y, verbose=0, return_dict=True)
    answer = {k: keras.ops.convert_to_numpy(v) for k, v in model(x).items()}
    length = answer["length"]
    margin = target * np.maximum(0, 0.9 - length) ** 2
    margin = (margin + 0.5 * (1 - target) * np.maximum(0, length - 0.1) ** 2).sum(-1).mean()
    kept = (answer["capsules"] * target[..., None]).reshape(6, -1)
    images = keras.ops.convert_to_numpy(model.decoder(kept))
    squares = ((x - images) ** 2).sum((1, 2, 3)).mean()
    np.testing.assert_allclose(found["margin_loss"], margin, rtol=1e-5)
    np.testing.assert_allclose(found["reconstruction_loss"], squares, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], margin + 0.1 * squares, rtol=1e-5)
    assert found["accuracy"] == pytest.approx((length.argmax(-1) == y).mean())


def test_trains_with_its_decoder(digits):
    model = CapsNet(**SMALL, reconstruction_weight=0.1)
    before = [w.copy() for w in model.decoder.get_weights()]
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(*digits, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    moved = [
        not np.array_equal(a, b) for a, b in zip(before, model.decoder.get_weights(), strict=True)
    ]
    assert all(moved)
