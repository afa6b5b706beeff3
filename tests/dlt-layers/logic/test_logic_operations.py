"""Operations of fuzzy logic against LTNtorch, Boolean tables and the laws of t-norms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import logic_op

SYSTEMS = ("lukasiewicz", "goedel", "product")
# Multiples of 1/8 are exact in float32, sums and comparisons of them, too.
GRID = np.arange(9, dtype="float32") / 8
X, Y, Z = (a.ravel() for a in np.meshgrid(GRID, GRID, GRID))


def apply(name, system, *truths):
    return ops.convert_to_numpy(logic_op(name, system)(*truths))


BOOLEAN = {
    "and": lambda x, y: x and y,
    "or": lambda x, y: x or y,
    "nand": lambda x, y: not (x and y),
    "nor": lambda x, y: not (x or y),
    "xor": lambda x, y: x != y,
    "xnor": lambda x, y: x == y,
    "implies": lambda x, y: not x or y,
    "equiv": lambda x, y: x == y,
    "kleene_dienes": lambda x, y: not x or y,
    "reichenbach": lambda x, y: not x or y,
}


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", BOOLEAN)
def test_on_the_corners_it_is_boolean_logic(name, system):
    x, y = np.array(list(itertools.product((0, 1), repeat=2)), "float32").T
    table = [float(BOOLEAN[name](bool(a), bool(b))) for a, b in zip(x, y, strict=True)]
    assert apply(name, system, x, y).tolist() == table


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", ["not", "residual_not"])
def test_negations_on_the_corners(name, system):
    assert apply(name, system, np.array([0, 1], "float32")).tolist() == [1, 0]


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("name", "system", "peer", "settings"),
    [
        ("and", "lukasiewicz", "AndLuk", {}),
        ("and", "goedel", "AndMin", {}),
        ("and", "product", "AndProd", {"stable": False}),
        ("or", "lukasiewicz", "OrLuk", {}),
        ("or", "goedel", "OrMax", {}),
        ("or", "product", "OrProbSum", {"stable": False}),
        ("implies", "lukasiewicz", "ImpliesLuk", {}),
        ("implies", "goedel", "ImpliesGodel", {}),
        ("implies", "product", "ImpliesGoguen", {"stable": False}),
        ("kleene_dienes", "goedel", "ImpliesKleeneDienes", {}),
        ("reichenbach", "product", "ImpliesReichenbach", {"stable": False}),
    ],
)
def test_equals_ltn_with_gradients(name, system, peer, settings, verify):
    fuzzy = pytest.importorskip("ltn").fuzzy_ops
    import torch

    x, y = np.random.default_rng(0).uniform(0.01, 1, (2, 500)).astype("float32")
    ours = value_and_gradients(lambda x, y: ops.sum(logic_op(name, system)(x, y)), [], [x, y])
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, y)]
    expected = getattr(fuzzy, peer)(**settings)(*tensors)
    expected.sum().backward()
    oracle = "LTNtorch 1.0.2"
    actual = apply(name, system, x, y)
    verify("dl_techniques>logic_op", oracle, actual, expected, tolerance=2e-6)
    for mine, tensor in zip(ours.inputs, tensors, strict=True):
        if tensor.grad is None or mine is None:
            assert mine is None or not np.any(mine)
            assert tensor.grad is None or not tensor.grad.any()
            continue
        verify("dl_techniques>logic_op", oracle, mine, tensor.grad, what="gradient of inputs")


def conjunction(system):
    return {
        "lukasiewicz": lambda x, y: np.maximum(0, x + y - 1),
        "goedel": np.minimum,
        "product": lambda x, y: x * y,
    }[system]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_implication_is_the_residuum(system):
    """T(x, z) <= y exactly if z <= I(x, y)."""
    implied = apply("implies", system, X, Y)
    below = conjunction(system)(X.astype("float64"), Z.astype("float64")) <= Y
    # A quotient y / x that is no multiple of 1/8 is rounded, but never as far as to a neighbour.
    np.testing.assert_array_equal(implied + 1e-6 >= Z, below)


@pytest.mark.parametrize("system", SYSTEMS)
def test_laws_of_a_t_norm_and_its_dual(system):
    both, either = (lambda *t, n=n: apply(n, system, *t) for n in ("and", "or"))
    np.testing.assert_array_equal(both(X, Y), both(Y, X))
    np.testing.assert_allclose(both(both(X, Y), Z), both(X, both(Y, Z)), atol=1e-6)
    np.testing.assert_array_equal(both(X, np.ones_like(X)), X)
    np.testing.assert_allclose(1 - both(X, Y), either(1 - X, 1 - Y), atol=1e-6)
    np.testing.assert_allclose(both(X, Y, Z), both(both(X, Y), Z), atol=1e-6)
    np.testing.assert_allclose(apply("nor", system, X, Y, Z), 1 - either(X, Y, Z), atol=1e-6)


def test_the_lukasiewicz_fold_is_the_sum_in_bounds():
    np.testing.assert_array_equal(
        apply("and", "lukasiewicz", X, Y, Z), np.maximum(0, X + Y + Z - 2)
    )
    np.testing.assert_array_equal(apply("or", "lukasiewicz", X, Y, Z), np.minimum(1, X + Y + Z))


def test_exclusive_or_of_each_system():
    np.testing.assert_array_equal(apply("xor", "lukasiewicz", X, Y), np.abs(X - Y))
    goedel = np.maximum(np.minimum(X, 1 - Y), np.minimum(1 - X, Y))
    np.testing.assert_array_equal(apply("xor", "goedel", X, Y), goedel)
    half = np.float32(0.5)
    assert float(apply("xor", "product", half, half)) == 0.4375


@pytest.mark.parametrize(("system", "same"), [("lukasiewicz", True), ("goedel", False)])
def test_equivalence_is_xnor_in_lukasiewicz_only(system, same):
    equal = np.array_equal(apply("equiv", system, X, Y), apply("xnor", system, X, Y))
    assert equal == same


@pytest.mark.parametrize("system", SYSTEMS)
def test_residual_negation(system):
    expected = 1 - GRID if system == "lukasiewicz" else (GRID == 0).astype("float32")
    np.testing.assert_array_equal(apply("residual_not", system, GRID), expected)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", BOOLEAN)
def test_gradients_are_finite_on_the_corners(name, system):
    x, y = np.array(list(itertools.product((0, 1), repeat=2)), "float32").T
    result = value_and_gradients(lambda x, y: ops.sum(logic_op(name, system)(x, y)), [], [x, y])
    assert all(g is None or np.isfinite(g).all() for g in result.inputs)


@pytest.mark.parametrize(("name", "count"), [("xor", 3), ("not", 2), ("implies", 1), ("and", 0)])
def test_other_numbers_of_inputs_are_refused(name, count):
    with pytest.raises(ValueError, match="inputs"):
        logic_op(name)(*[np.ones(2, "float32")] * count)


@pytest.mark.parametrize("arguments", [("both",), ("and", "boolean")])
def test_unknown_words_are_refused(arguments):
    with pytest.raises(ValueError, match="must be one of"):
        logic_op(*arguments)
