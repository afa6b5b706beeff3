"""A model that weighs its tasks: learned weights reach their optimum within `fit`."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import load_model, save_model
from dl_techniques.losses import MultiTaskModel

LOSSES = {"a": "MeanAbsoluteError", "b": "MeanSquaredError"}
# The base passes its inputs on, so that the losses are 0.7 and 0.4 throughout.
X = np.tile(np.array([[0.7, np.sqrt(0.4)]], "float32"), (400, 1))
Y = {"a": np.zeros((400, 1), "float32"), "b": np.zeros((400, 1), "float32")}


def base():
    inputs = keras.Input((2,))
    linear = keras.layers.Activation("linear")
    return keras.Model(inputs, {"a": linear(inputs[:, :1]), "b": linear(inputs[:, 1:])})


def variances(model):
    return ops.convert_to_numpy(model.uncertainty.log_variances)


def loss_of(model, y, sample_weight=None):
    predictions = {"a": X[:4, :1], "b": X[:4, 1:]}
    targets = {task: values[:4] for task, values in y.items()}
    return float(
        ops.convert_to_numpy(model.compute_loss(None, targets, predictions, sample_weight))
    )


def test_weights_reach_their_optimum_in_fit_and_survive_the_file(verify, tmp_path):
    model = MultiTaskModel(base(), LOSSES, kinds={"b": "classification"})
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(X, Y, batch_size=1, verbose=0).history
    expected = [np.log(0.7), np.log(0.8)]
    oracle = "the optimum log L, log 2L"
    verify("dl_techniques>MultiTaskModel", oracle, variances(model), expected, tolerance=2e-3)
    # The least value of a task is 1/2 + s / 2.
    assert loss_of(model, Y) == pytest.approx(1 + sum(expected) / 2, abs=1e-4)
    assert history["a_loss"][0] == pytest.approx(0.7, abs=1e-5)
    assert history["b_loss"][0] == pytest.approx(0.4, abs=1e-5)
    save_model(model, tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(variances(again), variances(model))
    assert again.compiled
    evaluated = again.evaluate(X[:4], {k: v[:4] for k, v in Y.items()}, verbose=0, return_dict=True)
    assert evaluated["loss"] == pytest.approx(loss_of(model, Y), abs=1e-5)


@pytest.mark.parametrize("absent", ["missing", "weightless"])
def test_a_task_without_targets_moves_no_weight(absent):
    model = MultiTaskModel(base(), LOSSES)
    model.compile(keras.optimizers.SGD(0.1))
    y, weights = {"a": Y["a"][:8]}, None
    if absent == "weightless":
        y["b"] = Y["b"][:8]
        weights = {"a": np.ones(8, "float32"), "b": np.zeros(8, "float32")}
    model.uncertainty.log_variances.assign([0.3, 0.2])
    history = model.fit(X[:8], y, batch_size=8, sample_weight=weights, verbose=0).history
    assert history["loss"][0] == pytest.approx(0.5 * np.exp(-0.3) * 0.7 + 0.15, abs=1e-6)
    learned = variances(model)
    assert learned[0] != np.float32(0.3)
    assert learned[1] == np.float32(0.2)


def test_fixed_weights_give_their_sum_and_zero_skips():
    model = MultiTaskModel(base(), LOSSES, weighting="fixed", task_weights={"b": 3.0})
    assert loss_of(model, Y) == pytest.approx(0.7 + 3 * 0.4, abs=1e-6)
    half = np.array([1.0, 1.0, 0.0, 0.0], "float32")
    assert loss_of(model, Y, half) == pytest.approx((0.7 + 3 * 0.4) / 2, abs=1e-6)
    model = MultiTaskModel(base(), LOSSES, weighting="fixed", task_weights={"a": 0.0})
    infinite = {"a": np.full((4, 1), np.inf, "float32"), "b": Y["b"]}
    assert loss_of(model, infinite) == pytest.approx(0.4, abs=1e-6)


def test_other_targets_and_losses_are_refused():
    model = MultiTaskModel(base(), LOSSES)
    with pytest.raises(ValueError, match="targets"):
        loss_of(model, {"c": Y["a"]})
    with pytest.raises(ValueError, match="targets"):
        model.compute_loss(None, X[:4], {"a": X[:4], "b": X[:4]})
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`compile`"):
        loss_of(model, Y)
