"""RoutingCapsule against naive loops in float64, and its symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers.capsules import RoutingCapsule
from dl_techniques.layers.capsules.routing import route

NAME = "dl_techniques>RoutingCapsule"
LOOPS = "naive loops in float64"
DIFFERENCES = "central differences of naive loops in float64"


def draw(*shape, seed=0, scale=1.0):
    return (scale * np.random.default_rng(seed).normal(size=shape)).astype("float32")


def array(tensor):
    return ops.convert_to_numpy(tensor)


def made(kernel, **settings):
    """A layer with a given kernel."""
    count, capsules, size, dim = kernel.shape
    layer = RoutingCapsule(capsules, dim, **settings)
    layer.build((None, count, size))
    layer.kernel.assign(kernel)
    return layer


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
@pytest.mark.parametrize("use_bias", [False, True])
def test_equals_naive_loops(rounds, use_bias, verify, routed):
    u, kernel, bias = draw(3, 7, 4), draw(7, 5, 4, 6, seed=1, scale=0.5), draw(5, 6, seed=2)
    layer = made(kernel, routing_iterations=rounds, use_bias=use_bias)
    if use_bias:
        layer.bias.assign(bias)
    expected = routed(u, kernel, rounds, bias if use_bias else None)
    verify(NAME, LOOPS, array(layer(u)), expected, tolerance=5e-6)


@pytest.mark.parametrize("rounds", [1, 2, 3, 5])
def test_gradients_flow_through_all_rounds(rounds, verify, routed, differences):
    u, kernel, bias = draw(2, 3, 2), draw(3, 2, 2, 3, seed=1), draw(2, 3, seed=2)
    g = draw(2, 2, 3, seed=3)
    layer = made(kernel, routing_iterations=rounds, use_bias=True)
    layer.bias.assign(bias)
    ours = value_and_gradients(
        lambda u, g: ops.sum(layer(u) * g), layer.trainable_variables, [u, g]
    )

    def loss(u=u, kernel=kernel, bias=bias):
        return float((routed(u, kernel, rounds, bias) * g).sum())

    for mine, argument, value in [
        (ours.inputs[0], "u", u),
        (ours.variables[0], "kernel", kernel),
        (ours.variables[1], "bias", bias),
    ]:
        theirs = differences(lambda x, name=argument: loss(**{name: x}), value)
        what = "gradient of inputs" if argument == "u" else "gradient of weights"
        verify(NAME, DIFFERENCES, mine, theirs, what=what, tolerance=5e-6)


def test_stopped_gradients_take_the_coefficients_for_constants(verify, routed, differences):
    u, kernel, g = draw(2, 3, 2), draw(3, 2, 2, 3, seed=1), draw(2, 2, 3, seed=2)
    layer = made(kernel, stop_gradient_routing=True)
    expected, shares = routed(u, kernel, 3, return_shares=True)
    np.testing.assert_allclose(array(layer(u)), expected, atol=5e-6)
    ours = value_and_gradients(
        lambda u, g: ops.sum(layer(u) * g), layer.trainable_variables, [u, g]
    )

    def loss(u=u, kernel=kernel):
        s = np.einsum("bij,bip,ijpq->bjq", shares, u, kernel)
        square = np.sum(s**2, axis=-1, keepdims=True)
        return float((s * np.sqrt(square) / (1 + square) * g).sum())

    theirs = [differences(lambda x: loss(u=x), u), differences(lambda x: loss(kernel=x), kernel)]
    oracle = f"{DIFFERENCES}, coefficients fixed"
    verify(NAME, oracle, ours.inputs[0], theirs[0], what="gradient of inputs", tolerance=5e-6)
    verify(NAME, oracle, ours.variables[0], theirs[1], what="gradient of weights", tolerance=5e-6)
    flowing = made(kernel)
    through = value_and_gradients(lambda u, g: ops.sum(flowing(u) * g), [], [u, g]).inputs[0]
    assert np.abs(through - ours.inputs[0]).max() > 1e-3


def test_turning_the_kernel_turns_the_capsules():
    u, kernel = draw(2, 6, 4), draw(6, 3, 4, 5, seed=1)
    turn, _ = np.linalg.qr(draw(5, 5, seed=2))
    before, after = array(made(kernel)(u)), array(made(kernel @ turn)(u))
    np.testing.assert_allclose(after, before @ turn, atol=1e-5)
    assert np.abs(after - before).max() > 0.1


def test_the_order_of_input_capsules_does_not_matter_nor_that_of_outputs_but_for_their_order():
    u, kernel = draw(2, 6, 4), draw(6, 3, 4, 5, seed=1)
    order = np.random.default_rng(2).permutation(6)
    before = array(made(kernel)(u))
    np.testing.assert_allclose(array(made(kernel[order])(u[:, order])), before, atol=1e-5)
    outputs = [2, 0, 1]
    np.testing.assert_allclose(array(made(kernel[:, outputs])(u)), before[:, outputs], atol=1e-5)


def test_the_first_round_shares_equally():
    u, kernel = draw(2, 6, 4), draw(6, 3, 4, 5, seed=1)
    s = np.einsum("bip,ijpq->bjq", u, kernel) / 3
    square = np.sum(s**2, axis=-1, keepdims=True)
    expected = s * np.sqrt(square) / (1 + square)
    np.testing.assert_allclose(array(made(kernel, routing_iterations=1)(u)), expected, atol=1e-5)


@pytest.mark.parametrize("rounds", [1, 3])
def test_an_input_capsule_shares_itself_out_among_the_outputs(rounds, routed):
    u, kernel = draw(3, 6, 4), draw(6, 5, 4, 2, seed=1)
    predictions = np.einsum("bip,ijpq->bijq", u, kernel)
    predictions = ops.convert_to_tensor(predictions.transpose(0, 2, 1, 3))
    v, shares = route(predictions, None, rounds, 1e-7, False)
    shares = array(shares).transpose(0, 2, 1)
    np.testing.assert_allclose(shares.sum(axis=2), 1, atol=1e-6)
    expected = routed(u, kernel, rounds, return_shares=True)
    np.testing.assert_allclose(array(v), expected[0], atol=1e-5)
    np.testing.assert_allclose(shares, expected[1], atol=1e-5)
    assert (np.ptp(shares) > 0.1) == (rounds > 1)


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_capsules_are_shorter_than_one(scale):
    v = array(made(draw(20, 4, 3, 5, scale=scale))(draw(8, 20, 3, seed=1)))
    assert np.linalg.norm(v.astype("float64"), axis=-1).max() < 1


def test_zero_input_gives_zero_and_finite_gradients():
    zeros = np.zeros((2, 6, 4), "float32")
    layer = made(draw(6, 3, 4, 5))
    result = value_and_gradients(lambda u: ops.sum(layer(u)), layer.trainable_variables, [zeros])
    assert result.value == 0
    assert all(np.isfinite(g).all() for g in [*result.variables, *result.inputs])


@pytest.mark.parametrize("junk", [7.0, np.nan])
def test_masked_capsules_take_no_part(junk):
    u, kernel = draw(2, 6, 4), draw(6, 3, 4, 5, seed=1)
    mask = np.ones((2, 6), bool)
    mask[:, [1, 4]] = False
    kept = [0, 2, 3, 5]
    expected = array(made(kernel[kept])(u[:, kept]))
    u[~mask] = junk
    layer = made(kernel)
    actual = layer(ops.convert_to_tensor(u), mask=ops.convert_to_tensor(mask))
    np.testing.assert_allclose(array(actual), expected, atol=1e-6)
    assert layer.compute_mask(u, mask) is None


def test_the_kernel_has_the_paper_s_shape_and_a_scale_that_ignores_the_number_of_capsules():
    layer = RoutingCapsule(10, 16)
    layer.build((None, 1152, 8))
    kernel = array(layer.kernel)
    assert kernel.shape == (1152, 10, 8, 16)
    # A normal distribution cut at two deviations has 0.88 of its deviation.
    assert kernel.std() == pytest.approx(0.088, abs=0.001)
    other = RoutingCapsule(10, 16)
    other.build((None, 1152, 8))
    assert np.abs(kernel - array(other.kernel)).max() > 0.05
