"""Comparison of the blocks with compositions of torch modules."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest


@pytest.fixture(scope="session")
def peers():
    """The torch modules that ours are compared with."""
    pytest.importorskip("torch")
    path = Path(__file__).with_name("torch_modules.py")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _kernel(layer, weight):
    """A torch convolution's weight (or gradient), as the Keras layer has it."""
    if len(layer.kernel.shape) == 2:
        return weight[:, :, 0, 0].T
    depthwise = layer.kernel.shape[-1] == 1 and layer.kernel.shape[-2] == weight.shape[0]
    return weight.transpose(2, 3, 0, 1) if depthwise else weight.transpose(2, 3, 1, 0)


def _conv_pairs(block, conv):
    """(our variable, its torch tensor, how the torch array becomes ours)."""
    yield block.conv.kernel, conv.conv.weight, lambda w: _kernel(block.conv, w)
    yield block.norm.gamma, conv.bn.weight, np.asarray
    yield block.norm.beta, conv.bn.bias, np.asarray


def _pairs(ours, peer):
    """Follow equal names down both trees to the convolutions."""
    if hasattr(ours, "norm"):
        yield from _conv_pairs(ours, peer)
        for mine, theirs in (("moving_mean", "running_mean"), ("moving_variance", "running_var")):
            yield getattr(ours.norm, mine), getattr(peer.bn, theirs), np.asarray
        return
    if hasattr(ours, "kernel"):
        yield ours.kernel, peer.weight, lambda w: _kernel(ours, w)
        yield ours.bias, peer.bias, np.asarray
        return
    if isinstance(ours, keras.Sequential):
        ours = ours.layers
    if isinstance(ours, list | tuple):
        for mine, theirs in zip(ours, peer, strict=True):
            yield from _pairs(mine, theirs)
        return
    if getattr(peer, "gamma", None) is not None:
        yield ours.residual_scale.gamma, peer.gamma, np.asarray
    for name, child in peer.named_children():
        if hasattr(ours, name):
            yield from _pairs(getattr(ours, name), child)


@pytest.fixture
def compare(verify):
    """Map the peer's weights, then compare forward and all gradients."""

    def check(ours, peer, shapes, *, tolerance=1e-4, training=False, seed=0):
        import torch
        from keras import ops

        from dl_techniques.core import declaration_of
        from dl_techniques.core.testing.differentiation import value_and_gradients

        rng = np.random.default_rng(seed)
        xs = [rng.normal(size=shape).astype("float32") for shape in shapes]
        many = len(xs) > 1
        ours.build(list(shapes) if many else shapes[0])
        pairs = list(_pairs(ours, peer))
        assert len({id(v) for v, _, _ in pairs}) == len(ours.variables), "a weight has no peer"
        for variable, tensor, convert in pairs:
            if tensor.ndim == 1:
                low, high = (
                    (0.5, 1.5) if "var" in variable.name or "gam" in variable.name else (-1, 1)
                )
                tensor.data = torch.tensor(rng.uniform(low, high, tensor.shape).astype("float32"))
            variable.assign(convert(tensor.detach().numpy()))
        peer.train(training)
        theirs = [torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True) for x in xs]
        y_peer = peer(*theirs)
        y_peer = y_peer.permute(0, 2, 3, 1) if y_peer.ndim == 4 else y_peer
        g = rng.normal(size=y_peer.shape).astype("float32")
        (y_peer * torch.tensor(g)).sum().backward()

        def forward(*xs):
            return ours(list(xs) if many else xs[0], training=training)

        name, oracle = declaration_of(type(ours)).id, f"torch composition {torch.__version__}"
        mode = " in training" if training else ""
        y = ops.convert_to_numpy(forward(*xs))
        assert y.shape == tuple(ours.compute_output_shape(list(shapes) if many else shapes[0]))
        # Compared before the moving statistics: those move at each call in training.
        verify(name, oracle, y, y_peer, what=f"forward{mode}", tolerance=tolerance)
        trainable = ours.trainable_variables
        gradients = value_and_gradients(
            lambda *a: ops.sum(forward(*a[:-1]) * a[-1]), trainable, [*xs, g]
        )
        by_id = {
            id(variable): gradient
            for variable, gradient in zip(trainable, gradients.variables, strict=True)
        }
        for mine, x in zip(gradients.inputs, theirs, strict=False):
            expected = x.grad.permute(0, 2, 3, 1)
            verify(
                name, oracle, mine, expected, what=f"gradient of inputs{mode}", tolerance=tolerance
            )
        expected = {id(v): convert(t.grad.numpy()) for v, t, convert in pairs if id(v) in by_id}
        largest = max(np.abs(gradient).max() for gradient in expected.values())
        for key, gradient in expected.items():
            if np.abs(gradient).max() < 1e-6 * largest:
                # Zero by mathematics, such as of an offset that a later norm removes.
                assert np.abs(by_id[key]).max() < 1e-5 * largest
                continue
            what = f"gradient of weights{mode}"
            verify(name, oracle, by_id[key], gradient, what=what, tolerance=tolerance)

    return check
