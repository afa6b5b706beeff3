"""Gates against their pure operations and against NumPy on weighted inputs."""

from __future__ import annotations

import importlib

import keras
import numpy as np
import pytest
from keras import ops

import dl_techniques.layers as layers
from dl_techniques.core import component, load_model, save_model
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.layers import AdvancedLogicGateLayer, logic_op

GATES = {
    "and": layers.FuzzyANDGateLayer,
    "or": layers.FuzzyORGateLayer,
    "not": layers.FuzzyNOTGateLayer,
    "nand": layers.FuzzyNANDGateLayer,
    "nor": layers.FuzzyNORGateLayer,
    "xor": layers.FuzzyXORGateLayer,
    "xnor": layers.FuzzyXNORGateLayer,
    "implies": layers.FuzzyIMPLIESGateLayer,
    "equiv": layers.FuzzyEQUIVGateLayer,
}
SYSTEMS = ("lukasiewicz", "goedel", "product")


def truths(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype("float32")


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("name", GATES)
def test_at_first_a_gate_is_the_pure_operation(name, system):
    """Oracle: `logic_op`, itself compared with LTNtorch."""
    xs = [truths(4, 3, seed=seed) for seed in range(1 if name == "not" else 2)]
    expected = ops.convert_to_numpy(logic_op(name, system)(*xs))
    for gate in (GATES[name](system), AdvancedLogicGateLayer(name, system)):
        actual = ops.convert_to_numpy(gate(xs))
        assert actual.shape == (4, 3)
        np.testing.assert_allclose(actual, expected, atol=1e-6)
        np.testing.assert_array_equal(ops.convert_to_numpy(gate(np.stack(xs, -1))), actual)


@pytest.mark.parametrize("apply_sigmoid", [False, True])
def test_weights_biases_and_sigmoid_equal_numpy_with_gradients(apply_sigmoid, verify, differences):
    gate = AdvancedLogicGateLayer("or", "product", temperature=3.0, apply_sigmoid=apply_sigmoid)
    x = truths(5, 3)
    gate.build(x.shape)
    parameters = [np.array([0.7, -0.9, 0.5]), np.array([0.1, 0.95, 0.2])]
    gate.set_weights(parameters)

    def exact(x, w, b):
        z = x * w + b
        t = 1 / (1 + np.exp(-3 * z)) if apply_sigmoid else np.clip(z, 0, 1)
        return 1 - np.prod(1 - t, axis=-1)

    name, oracle = "dl_techniques>AdvancedLogicGateLayer", "NumPy in float64"
    verify(name, oracle, ops.convert_to_numpy(gate(x)), exact(x, *parameters))
    g = truths(5, seed=1)
    result = value_and_gradients(
        lambda x, g: ops.sum(gate(x) * g), gate.trainable_variables, [x, g]
    )
    slopes = differences(lambda x: np.sum(exact(x, *parameters) * g), x)
    verify(name, oracle, result.inputs[0], slopes, what="gradient of inputs")
    for index in range(2):

        def varied(p, index=index):
            return np.sum(exact(x, *[p if i == index else parameters[i] for i in range(2)]) * g)

        slopes = differences(varied, parameters[index])
        verify(name, oracle, result.variables[index], slopes, what="gradient of weights")


def test_without_parameters_a_gate_has_no_weights():
    gate = AdvancedLogicGateLayer("and", trainable_weights_per_input=False, use_bias=False)
    assert not gate.weights
    np.testing.assert_allclose(ops.convert_to_numpy(gate(np.array([[0.75, 0.5]]))), [0.25])


def test_weights_can_negate_and_ignore_an_input():
    gate = layers.FuzzyANDGateLayer("product")
    gate.build((None, 3))
    gate.set_weights([np.array([1.0, -1.0, 0.0]), np.array([0.0, 1.0, 1.0])])
    x = truths(6, 3)
    np.testing.assert_allclose(ops.convert_to_numpy(gate(x)), x[:, 0] * (1 - x[:, 1]), rtol=1e-5)


@component("test_logic_gates>einstein_product", kind="function")
def einstein_product(x, y):
    return x * y / (2 - (x + y - x * y))


def test_an_operation_of_the_users_own_survives_saving(tmp_path):
    inputs = keras.Input((2,))
    model = keras.Model(inputs, AdvancedLogicGateLayer(einstein_product)(inputs))
    x = truths(3, 2)
    expected = x[:, 0] * x[:, 1] / (2 - (x[:, 0] + x[:, 1] - x[:, 0] * x[:, 1]))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-5)
    save_model(model, tmp_path / "gate.keras")
    own = {"test_logic_gates>einstein_product": einstein_product}
    loaded = load_model(tmp_path / "gate.keras", custom_objects=own)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, rtol=1e-5)


def test_gates_on_lists_survive_saving(tmp_path):
    inputs = [keras.Input((3,)), keras.Input((3,))]
    model = keras.Model(inputs, layers.FuzzyXORGateLayer("product")(inputs))
    xs = [truths(4, 3, seed=seed) for seed in range(2)]
    expected = model.predict(xs, verbose=0)
    save_model(model, tmp_path / "gate.keras")
    loaded = load_model(tmp_path / "gate.keras")
    np.testing.assert_allclose(loaded.predict(xs, verbose=0), expected, rtol=1e-6)


@pytest.mark.parametrize("module", ["fuzzy_gates", "logic_gates", "logic_operations"])
def test_modules_of_the_original_lead_to_the_components(module):
    path = importlib.import_module(f"dl_techniques.layers.logic.{module}")
    names = getattr(path, "__all__", ["logic_op"])
    assert all(getattr(path, name) is getattr(layers, name) for name in names)
