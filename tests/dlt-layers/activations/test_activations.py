"""Activations against float64 closed forms, torch, and their stated points."""

from __future__ import annotations

from math import erf

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.activations import (
    GELU,
    BasisFunction,
    QuickGELU,
    ReLUK,
    SaturatedMish,
    SiLU,
    xATLU,
    xGELU,
    xSiLU,
)

GRID = np.linspace(-12, 12, 193)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def phi(x):
    return 0.5 * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def mish(x):
    return x * np.tanh(np.log1p(np.exp(x)))


def smooth(x, alpha, beta):
    above = mish(alpha) + beta * np.tanh((mish(x) - mish(alpha)) / beta)
    return np.where(x > alpha, above, mish(x))


CLOSED_FORMS = [
    (GELU(), lambda x: x * phi(x)),
    (
        GELU(approximate=True),
        lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    (SiLU(), lambda x: x * sigmoid(x)),
    (QuickGELU(), lambda x: x * sigmoid(1.702 * x)),
    (BasisFunction(), lambda x: x * sigmoid(x)),
    (SaturatedMish(), lambda x: mish(np.minimum(x, 3.0))),
    (SaturatedMish(alpha=1.5, smooth=True, beta=0.4), lambda x: smooth(x, 1.5, 0.4)),
    *[(ReLUK(k), lambda x, k=k: np.maximum(x, 0) ** k) for k in (1, 2, 3, 4, 5, 7)],
]
GATES = {xSiLU: sigmoid, xGELU: phi, xATLU: lambda x: np.arctan(x) / np.pi + 0.5}


def identifier(layer):
    return f"dl_techniques>{type(layer).__name__}"


def gradient(layer, x):
    x = np.asarray(x, "float32")
    return value_and_gradients(lambda x: ops.sum(layer(x)), [], [x]).inputs[0]


@pytest.mark.parametrize(("layer", "formula"), CLOSED_FORMS, ids=lambda v: getattr(v, "name", ""))
def test_equals_the_closed_form(layer, formula, verify):
    x = GRID.astype("float32")
    verify(identifier(layer), "closed form in float64", layer(x), formula(GRID))


@pytest.mark.parametrize("alpha", [0.0, 0.4, -0.2])
@pytest.mark.parametrize("cls", GATES)
def test_expanded_gates_equal_the_closed_form_with_gradients(cls, alpha, verify):
    layer = cls()
    layer.build((len(GRID),))
    layer.alpha.assign(alpha)
    g = GATES[cls](GRID)
    x = GRID.astype("float32")
    oracle = "closed form in float64"
    verify(identifier(layer), oracle, layer(x), GRID * (g * (1 + 2 * alpha) - alpha))
    result = value_and_gradients(lambda x: ops.sum(layer(x)), [layer.alpha], [x])
    exact = np.sum(GRID * (2 * g - 1))
    verify(identifier(layer), oracle, result.variables[0], exact, what="gradient of alpha")
    step = 1e-5
    sides = [(GRID + s) * (GATES[cls](GRID + s) * (1 + 2 * alpha) - alpha) for s in (step, -step)]
    slope = (sides[0] - sides[1]) / (2 * step)
    verify(identifier(layer), oracle, result.inputs[0], slope, what="gradient of inputs")


@pytest.mark.parametrize("cls", GATES)
def test_expanded_gates_may_have_one_alpha_a_channel(cls):
    layer = cls(per_channel=True)
    layer.build((None, 2, 3))
    alpha = np.array([0.0, 0.5, -0.3], "float32")
    layer.alpha.assign(alpha)
    x = np.random.default_rng(0).normal(size=(4, 2, 3)).astype("float32")
    expected = x * (GATES[cls](x) * (1 + 2 * alpha) - alpha)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", [SiLU(), BasisFunction(), GELU(), ReLUK(2), xSiLU(), xATLU()])
def test_gradients_are_finite_far_out_and_at_zero(layer):
    assert np.isfinite(gradient(layer, [-1e4, -100, 0, 100, 1e4])).all()


def test_the_rectifiers_power_is_homogeneous():
    x = np.array([-1.0, 0.5, 2.0], "float32")
    y, scaled = (ops.convert_to_numpy(ReLUK(3)(c * x)) for c in (np.float32(1), np.float32(3)))
    np.testing.assert_allclose(scaled, 27 * y, rtol=1e-6)


def test_saturation_is_hard_or_smooth():
    hard, soft = SaturatedMish(), SaturatedMish(smooth=True)
    above = np.array([3.5, 50.0], "float32")
    np.testing.assert_allclose(ops.convert_to_numpy(hard(above)), 2.98654, rtol=1e-5)
    assert not gradient(hard, above).any()
    assert gradient(soft, above)[0] > 0
    assert float(ops.convert_to_numpy(soft(above))[1]) == pytest.approx(2.98654 + 1, rel=1e-5)
    sides = gradient(soft, [3 - 1e-3, 3 + 1e-3])
    assert sides[0] == pytest.approx(sides[1], abs=1e-3)


def test_the_earlier_address_leads_to_the_same_classes():
    from dl_techniques.layers.activations import explanded_activations

    assert explanded_activations.xGELU is xGELU
    assert {getattr(explanded_activations, name) for name in explanded_activations.__all__} == {
        GELU,
        SiLU,
        xATLU,
        xGELU,
        xSiLU,
    }


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("layer", "name", "settings"),
    [
        (GELU(), "gelu", {}),
        (GELU(approximate=True), "gelu", {"approximate": "tanh"}),
        (SiLU(), "silu", {}),
        (BasisFunction(), "silu", {}),
        (xGELU(), "gelu", {}),
        (xSiLU(), "silu", {}),
    ],
)
def test_equals_torch_with_gradients(layer, name, settings, verify):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(scale=4, size=(3, 7)).astype("float32")
    peer = torch.tensor(x, requires_grad=True)
    expected = getattr(torch.nn.functional, name)(peer, **settings)
    expected.sum().backward()
    oracle = f"torch.nn.functional.{name} {torch.__version__}"
    verify(identifier(layer), oracle, layer(x), expected)
    verify(identifier(layer), oracle, gradient(layer, x), peer.grad, what="gradient of inputs")
