"""Comparison of layers with a torch module on the same weights."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def agree(verify):
    """Compare with a torch peer: forward, and the gradients of inputs and weights.

    `pairs` are (our variable, the peer's tensor, how its array becomes ours); the peer's tensors
    are drawn at random. `ours` and `theirs` take the inputs and return outputs of one layout.
    `keep` says which outputs are compared (by default all), such as the rows that are no padding.
    """

    def check(
        layer, ours, theirs, pairs, inputs, *, oracle, keep=None, tolerance=2e-5, seed=0, scale=0.4
    ):
        import torch
        from keras import ops

        from dl_techniques.core import declaration_of
        from dl_techniques.core.testing.differentiation import value_and_gradients

        pairs = list(pairs)
        missing = {v.path for v in layer.variables} - {v.path for v, _, _ in pairs}
        missing = {path for path in missing if "seed_generator" not in path}
        assert not missing, f"weights without a peer: {missing}"
        rng = np.random.default_rng(seed)
        for variable, tensor, convert in pairs:
            array = rng.normal(scale=scale, size=tuple(tensor.shape))
            array = array if tensor.requires_grad else rng.uniform(0.5, 1.5, tuple(tensor.shape))
            tensor.data = torch.tensor(array.astype("float32"))
            variable.assign(convert(tensor.detach().numpy()))

        xs = [torch.tensor(x, requires_grad=True) for x in inputs]
        expected = theirs(*xs)
        keep = np.broadcast_to(True if keep is None else keep, tuple(expected.shape))
        g = (rng.normal(size=tuple(expected.shape)) * keep).astype("float32")
        (torch.where(torch.tensor(keep), expected, 0) * torch.tensor(g)).sum().backward()

        name = declaration_of(type(layer)).id
        actual = ops.convert_to_numpy(ours(*inputs))
        forward = [np.where(keep, y, 0) for y in (actual, expected.detach().numpy())]
        verify(name, oracle, *forward, tolerance=tolerance)
        trainable = layer.trainable_variables
        gradients = value_and_gradients(
            lambda *a: ops.sum(ours(*a[:-1]) * a[-1]), trainable, [*inputs, g]
        )
        for mine, x in zip(gradients.inputs, xs, strict=False):
            verify(name, oracle, mine, x.grad, what="gradient of inputs", tolerance=tolerance)
        by_path = dict(zip((v.path for v in trainable), gradients.variables, strict=True))
        # The largest gradient of all weights, because some are zero but for rounding.
        largest = max(float(t.grad.abs().max()) for _, t, _ in pairs if t.grad is not None)
        for variable, tensor, convert in pairs:
            if tensor.requires_grad:
                mine, their = by_path[variable.path], convert(tensor.grad.numpy())
                error = np.max(np.abs(mine - their)) / max(largest, 1e-30)
                assert error <= 100 * tolerance, f"{variable.path}: {error:.2e}"
                if np.max(np.abs(their)) > 1e-3 * largest:
                    verify(
                        name, oracle, mine, their, what="gradient of weights", tolerance=tolerance
                    )

    return check


@pytest.fixture(scope="session")
def routed():
    """Routing by agreement in float64, one capsule at a time: `(u, kernel, rounds)` -> v."""

    def squashed(s):
        length = np.sqrt(s @ s)
        return length**2 / (1 + length**2) * s / length if length else s

    def one_sample(u, kernel, rounds, bias):
        capsules, outputs = range(kernel.shape[0]), range(kernel.shape[1])
        logits, v = np.zeros(kernel.shape[:2]), [None for _ in outputs]
        for _ in range(rounds):
            shares = [np.exp(row) / np.exp(row).sum() for row in logits]
            for j in outputs:
                v[j] = squashed(
                    bias[j] + sum(shares[i][j] * (u[i] @ kernel[i, j]) for i in capsules)
                )
            for i in capsules:
                for j in outputs:
                    logits[i, j] += (u[i] @ kernel[i, j]) @ v[j]
        return np.stack(v), np.stack(shares)

    def run(u, kernel, rounds=3, bias=None, return_shares=False):
        u, kernel = np.asarray(u, "float64"), np.asarray(kernel, "float64")
        bias = np.zeros((kernel.shape[1], kernel.shape[3])) if bias is None else bias
        v, shares = zip(*(one_sample(sample, kernel, rounds, bias) for sample in u), strict=True)
        return (np.stack(v), np.stack(shares)) if return_shares else np.stack(v)

    return run


@pytest.fixture(scope="session")
def differences():
    """The gradient of a scalar function of an array, by central differences in float64."""

    def run(function, x, step=1e-6):
        x = np.array(x, "float64")
        gradient = np.zeros_like(x)
        for index in np.ndindex(x.shape):
            kept = x[index]
            x[index] = kept + step
            above = function(x)
            x[index] = kept - step
            gradient[index] = (above - function(x)) / (2 * step)
            x[index] = kept
        return gradient

    return run


@pytest.fixture(scope="session")
def torchvision(timm):
    """The torchvision package, once the fixture `timm` has made it importable."""
    return pytest.importorskip("torchvision")


@pytest.fixture(scope="session")
def transformers(timm):
    """The transformers package, which imports torchvision where that is installed."""
    return pytest.importorskip("transformers")


@pytest.fixture
def torch_mha():
    """`torch.nn.MultiheadAttention` with the pairs of its weights and those of an AttentionLayer.

    The peer's fused projection is split into three parameters, so that each has its gradient.
    """
    torch = pytest.importorskip("torch")

    def make(layer, features, heads, hidden=None):
        peer = torch.nn.MultiheadAttention(features, heads, batch_first=True)
        weights = [torch.nn.Parameter(torch.zeros(features, features)) for _ in range(3)]
        biases = [torch.nn.Parameter(torch.zeros(features)) for _ in range(3)]

        def call(x):
            return torch.func.functional_call(
                peer,
                {"in_proj_weight": torch.cat(weights), "in_proj_bias": torch.cat(biases)},
                (x, x, x),
                {"key_padding_mask": None if hidden is None else torch.tensor(hidden)},
            )[0]

        pairs = []
        for name, weight, bias in zip(("query", "key", "value"), weights, biases, strict=True):
            dense = getattr(layer, f"{name}_projection")
            pairs += [(dense.kernel, weight, np.transpose), (dense.bias, bias, np.asarray)]
        output = layer.output_projection
        pairs += [
            (output.kernel, peer.out_proj.weight, np.transpose),
            (output.bias, peer.out_proj.bias, np.asarray),
        ]
        return call, pairs, f"torch.nn.MultiheadAttention {torch.__version__}"

    return make
