"""HolographicMPSNet: the formula in NumPy, by products of matrices; its loss and training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from dl_techniques.models.holographic_mps import HolographicMPSNet

SMALL = {"input_shape": (4,), "output_dim": 2, "num_sites": 4, "code_dim": 3, "bond_dim": 2}
SMALL |= {"branch_bond_dims": (2, 3), "branch_dim": 2, "target_entropies": (0.3, 0.9)}


@pytest.fixture
def net():
    model = HolographicMPSNet(**SMALL, entropy_strength=2.0, entropy_normalization="abs")
    rng = np.random.default_rng(0)
    for variable in model.weights:
        variable.assign(rng.normal(0, 0.6, variable.shape))
    x, y = rng.normal(size=(6, 4)), rng.normal(size=(6, 2))
    return model, x.astype("float32"), y.astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def state(x, cores, output, bias):
    """One sample at a time: the product of the matrices, with the output's in the middle."""
    middle, rows = len(cores) // 2, []
    for sample in x:
        maps = [(1 - s) * a[0] + s * a[1] for s, a in zip(sample, cores, strict=True)]
        left, right = np.eye(len(output[0])), np.eye(len(output[0]))
        for m in maps[:middle]:
            left = left @ m
        for m in maps[middle:]:
            right = right @ m
        rows.append([(left @ c @ right)[0, 0] for c in output])
    return np.array(rows) + bias


def expected(model, x):
    w = {v.path: keras.ops.convert_to_numpy(v).astype("float64") for v in model.weights}

    def dense(name, x):
        return x @ w[f"{name}/kernel"] + w[f"{name}/bias"]

    def mps(name, x):
        return state(x, *(w[f"{name}/{part}"] for part in ("cores", "output_core", "bias")))

    code = sigmoid(mps("boundary", sigmoid(dense("encoder", x))))
    branches = np.stack([dense(f"branch{k}", mps(f"state{k}", code)) for k in range(2)], axis=1)
    gate = np.exp(dense("gate", code))
    gate /= gate.sum(-1, keepdims=True)
    penalty = 0.0
    for k, target in enumerate((0.3, 0.9)):
        p = np.abs(w[f"state{k}/cores"]) + 1e-7
        p /= p.sum(-1, keepdims=True)
        entropy = -(p * np.log(p)).sum(-1) / np.log(p.shape[-1])
        penalty += 2.0 * ((entropy - target) ** 2).mean()
    return branches, (gate[..., None] * branches).sum(1), penalty


def test_formula(net, agrees):
    model, x, _ = net
    branches, output, _ = expected(model, x)
    found = model(x)
    agrees("HolographicMPSNet", "NumPy", found["branches"], branches, "branches")
    agrees("HolographicMPSNet", "NumPy", found["output"], output)


def test_loss_and_training(net):
    """Oracle: the mean squared error of the output and the penalties, in NumPy."""
    model, x, y = net
    _, output, penalty = expected(model, x)
    model.compile(keras.optimizers.Adam(1e-2), "mse", metrics=["mae"])
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(found["loss"], ((output - y) ** 2).mean() + penalty, rtol=1e-5)
    # Keras 3.8 puts the output's name before the metric's.
    (error,) = (value for name, value in found.items() if name.endswith("mae"))
    np.testing.assert_allclose(error, abs(output - y).mean(), rtol=1e-5)
    losses = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_parameters():
    """Closed form: N d D^2 of each state, L D^2 of its output, and the dense layers."""
    model = HolographicMPSNet(**SMALL)
    boundary = 4 * 2 * 4 + 3 * 4 + 3
    states = sum(3 * 2 * d * d + 2 * d * d + 2 for d in (2, 3))
    assert model.count_params() == (4 * 4 + 4) + boundary + states + 2 * (2 * 2 + 2) + (3 * 2 + 2)
