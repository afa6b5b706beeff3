"""Oracles: SCUNet of spandrel with random weights, by its file; the published counts."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.scunet import SCUNet

COUNTS = {("color", 4): 17_946_072, ("gray", 4): 17_943_768, ("color", 2): 9_662_892}
DEPTHS = (1, 1, 0, 2, 0, 1, 1)


def block(c, head_dim=32, window=8):
    """Two mixing convolutions, two of 3 x 3 without bias, and the Swin block of the other half."""
    h = c // 2
    swin = 12 * h * h + 13 * h + (2 * window - 1) ** 2 * (h // head_dim)
    return 2 * (c * c + c) + 18 * h * h + swin


def parameters(channels, depths, dim=64, **sizes):
    widths = [dim, 2 * dim, 4 * dim, 8 * dim, 4 * dim, 2 * dim, dim]
    blocks = sum(n * block(c, **sizes) for n, c in zip(depths, widths, strict=True))
    return blocks + 18 * channels * dim + 2 * sum(8 * c * c for c in widths[:3])


def test_parameters_of_variants():
    for (variant, depth), count in COUNTS.items():
        assert parameters(SCUNet.settings_of(variant), [depth] * 7) == count
    model = SCUNet(depths=DEPTHS, dim=8, head_dim=2, window_size=4)
    assert model.count_params() == parameters(3, DEPTHS, 8, head_dim=2, window=4)


@pytest.fixture
def peer(timm, randomized):
    """A small SCUNet of spandrel: its width of heads is no argument."""
    pytest.importorskip("spandrel")
    from spandrel.architectures.SCUNet.__arch.SCUNet import SCUNet as Theirs

    class Small(Theirs):
        def __setattr__(self, name, value):
            super().__setattr__(name, 2 if name == "head_dim" else value)

    return randomized(Small(config=list(DEPTHS), dim=8), scale=0.15)


@pytest.mark.oracle
def test_spandrel(peer, written, tmp_path, answer, agrees, returns, gradients):
    """Padded images from a file of tensors; whole windows from a pickle, as the releases are.

    The middle is one window, which shifts as well.
    """
    import torch

    path = written(peer)
    model = SCUNet.from_weights(path, pad_mode="reflect")
    assert (model.depths, model.head_dim, model.window_size) == (DEPTHS, 2, 8)
    images = np.random.default_rng(0).random((1, 60, 50, 3), "float32")
    agrees("SCUNet", "spandrel", model(images), answer(peer, images))
    returns(model, path, "kair")
    whole = np.random.default_rng(1).random((1, 64, 64, 3), "float32")
    torch.save(peer.state_dict(), tmp_path / "scunet.pth")
    edge = SCUNet.from_weights(tmp_path / "scunet.pth", input_shape=(64, 64, 3))
    agrees("SCUNet", "spandrel", edge(whole), answer(peer, whole), "whole windows")
    (peer(torch.tensor(whole.transpose(0, 3, 1, 2))) ** 2).sum().backward()
    variables = [edge.get_layer("first").kernel, edge.get_layer("up1_0").kernel]
    first, up = gradients(edge, whole, variables)
    expected = peer.m_head[0].weight.grad.permute(2, 3, 1, 0)
    agrees("SCUNet", "spandrel", first, expected, "gradient of the first kernel")
    expected = peer.m_up1[0].weight.grad.permute(2, 3, 1, 0)
    agrees("SCUNet", "spandrel", up, expected, "gradient of a transposed kernel")


def test_edge_padding_repeats_the_border():
    """Oracle: NumPy's padding, of which the model of whole windows gives the same."""
    model = SCUNet("gray", depths=(1, 0, 0, 1, 0, 0, 0), dim=4, head_dim=2, window_size=2)
    images = np.random.default_rng(0).random((1, 13, 16, 1), "float32")
    padded = np.pad(images, ((0, 0), (0, 3), (0, 0), (0, 0)), mode="edge")
    ours, expected = (keras.ops.convert_to_numpy(model(x)) for x in (images, padded))
    np.testing.assert_allclose(ours, expected[:, :13], rtol=1e-5, atol=1e-6)


def test_bytes_are_scaled_and_nothing_else():
    model = SCUNet("gray", depths=(0,) * 7, dim=4, head_dim=2, window_size=2)
    x = model.preprocess_input(np.full((3, 5, 1), 51, "uint8"))
    assert x.shape == (1, 3, 5, 1)
    np.testing.assert_allclose(x, 0.2, rtol=1e-6)
    with pytest.raises(TypeError, match="uint8"):
        model.preprocess_input(np.zeros((3, 5, 1)))
    with pytest.raises(TypeError, match="no classifier"):
        model.reset_head(3)
