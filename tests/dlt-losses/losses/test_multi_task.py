"""Multi-task losses: closed forms, and learned weights that reach their optimum."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.losses import DiceFocalLoss, UncertaintyWeighting, YOLOv12MultiTaskLoss


def value(tensor):
    return float(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize("penalty", ["log", "log1p"])
def test_the_weighted_sum_has_its_closed_form(verify, penalty):
    layer = UncertaintyWeighting({"a": "regression", "b": "classification"}, penalty)
    layer.build(None)
    layer.log_variances.assign([0.3, -1.2])
    s = np.array([0.3, -1.2])
    penalties = 0.5 * (s if penalty == "log" else np.log1p(np.exp(s)))
    parts = np.array([0.5, 1.0]) * np.exp(-s) * np.array([2.0, 3.0]) + penalties
    losses = {"a": ops.array(2.0), "b": ops.array(3.0)}
    oracle = f"closed form in float64, {penalty}"
    verify("dl_techniques>UncertaintyWeighting", oracle, value(layer(losses)), parts.sum())
    assert value(layer({"b": ops.array(3.0)})) == pytest.approx(parts[1], rel=1e-5)
    with pytest.raises(ValueError, match="tasks"):
        layer({"c": ops.array(1.0)})


class Weighed(keras.Model):
    """Learns the weights of two losses that do not depend on it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.weighting = UncertaintyWeighting({"a": "regression", "b": "classification"})
        self.weighting.build(None)

    def call(self, x):
        return x

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return self.weighting({"a": ops.mean(y_pred[:, 0]), "b": ops.mean(y_pred[:, 1])})


def test_learned_weights_reach_their_optimum():
    model = Weighed()
    model.compile(keras.optimizers.SGD(0.5))
    x = np.tile(np.array([[0.7, 0.4]], "float32"), (4, 1))
    model.fit(x, x, epochs=200, verbose=0)
    learned = ops.convert_to_numpy(model.weighting.log_variances)
    np.testing.assert_allclose(learned, [np.log(0.7), np.log(0.8)], atol=2e-3)


def test_each_output_gets_the_loss_of_its_task(verify):
    rng = np.random.default_rng(0)
    maps, z = rng.integers(0, 2, (2, 4, 4)), rng.normal(size=(2, 4, 4, 2)).astype("float32")
    loss = YOLOv12MultiTaskLoss(weights={"segmentation": 3.0})
    expected = 3 * value(DiceFocalLoss(from_logits=True)(maps, z))
    assert value(loss(maps, z)) == pytest.approx(expected, rel=1e-6)
    both = loss(
        {"segmentation": maps, "classification": np.array([0, 1])},
        {"segmentation": z, "classification": np.zeros((2, 2), "float32")},
    )
    oracle = "sum of its parts"
    verify("dl_techniques>YOLOv12MultiTaskLoss", oracle, value(both), expected + np.log(2))


def test_a_task_without_weight_is_skipped_and_others_are_refused():
    skipped = YOLOv12MultiTaskLoss("classification", weights={"classification": 0.0})
    assert value(skipped(np.zeros(2), np.full((2, 2), np.nan))) == 0
    with pytest.raises(ValueError, match="detection"):
        YOLOv12MultiTaskLoss()(np.zeros((1, 1, 5)), np.zeros((1, 21, 20)))
    with pytest.raises(ValueError, match="task"):
        YOLOv12MultiTaskLoss()(np.zeros(2), np.zeros(2))
    with pytest.raises(ValueError, match="UncertaintyWeighting"):
        YOLOv12MultiTaskLoss(use_uncertainty=True)
