"""Calibration and segmentation metrics against torchmetrics, netcal and scikit-learn."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.metrics import (
    AdaptiveCalibrationError,
    BrierScore,
    ExpectedCalibrationError,
    SegmentationDice,
    SegmentationIoU,
    SpiegelhalterZ,
    adaptive_calibration_error,
    brier_decomposition,
    brier_score,
    expected_calibration_error,
    negative_log_likelihood,
    reliability_curve,
    spiegelhalter_z,
)

P = np.array([0, 0.1, 0.2, 0.3, 0.5, 1, 1, 0.7])
Y = np.array([0, 0, 1, 0, 1, 1, 0, 1])


def problem(n=200, classes=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, classes, n), rng.dirichlet(np.full(classes, 0.5), n).astype("float32")


def streamed(metric, y, p, weight=None):
    """The result after three batches."""
    for rows in np.array_split(np.arange(len(y)), 3):
        metric.update_state(y[rows], p[rows], None if weight is None else weight[rows])
    return float(ops.convert_to_numpy(metric.result()))


@pytest.mark.parametrize("right", [True, False])
def test_golden_values(right):
    # Each alone in its bin, or with a neighbour on the same side.
    settings = {"bins": 10, "right": right}
    for norm, expected in (("l1", 0.375), ("max", 0.8)):
        assert expected_calibration_error(Y, P, norm=norm, **settings) == pytest.approx(expected)
        got = streamed(ExpectedCalibrationError(norm=norm, **settings), Y, P)
        assert got == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("right", "expected"), [(True, 0.325), (False, 0.475)])
def test_the_closed_side_of_a_bin_decides(right, expected):
    y, p = np.array([0, 1, 0]), np.array([0.15, 0.2, 0.0])
    share = 2 / 3
    settings = {"bins": 10, "right": right}
    assert expected_calibration_error(y, p, **settings) == pytest.approx(share * expected)
    got = streamed(ExpectedCalibrationError(**settings), y, p)
    assert got == pytest.approx(share * expected, abs=1e-6)


@pytest.mark.oracle
@pytest.mark.parametrize("norm", ["l1", "l2", "max"])
def test_errors_equal_torchmetrics(verify, timm, norm):
    torch = pytest.importorskip("torch")
    torchmetrics = pytest.importorskip("torchmetrics")
    from torchmetrics.functional.classification import multiclass_calibration_error

    y, p = problem()
    expected = multiclass_calibration_error(
        torch.tensor(p, dtype=torch.float64), torch.tensor(y), num_classes=5, n_bins=15, norm=norm
    )
    oracle = f"multiclass_calibration_error of torchmetrics {torchmetrics.__version__}"
    ours = expected_calibration_error(y, p, norm=norm, right=False)
    verify("dl_techniques>expected_calibration_error", oracle, ours, expected)
    ours = streamed(ExpectedCalibrationError(norm=norm, right=False), y, p)
    verify("dl_techniques>ExpectedCalibrationError", oracle, ours, expected)


@pytest.mark.oracle
def test_errors_equal_netcal(verify):
    netcal = pytest.importorskip("netcal.metrics")
    y, p = problem()
    for norm, peer in (("l1", netcal.ECE(15)), ("max", netcal.MCE(15))):
        ours = expected_calibration_error(y, p, norm=norm, right=False)
        oracle = f"{type(peer).__name__} of netcal 1.4.0"
        verify("dl_techniques>expected_calibration_error", oracle, ours, peer.measure(p, y))


@pytest.mark.oracle
def test_the_curve_equals_scikit_learn(verify):
    import sklearn
    from sklearn.calibration import calibration_curve

    rng = np.random.default_rng(0)
    p = rng.random(300)
    y = rng.integers(0, 2, 300)
    for strategy in ("uniform", "quantile"):
        accuracy, confidence = calibration_curve(y, p, n_bins=10, strategy=strategy)
        curve = reliability_curve(y, p, bins=10, strategy=strategy)
        oracle = f"calibration_curve of scikit-learn {sklearn.__version__}, {strategy} bins"
        verify("dl_techniques>reliability_curve", oracle, curve.accuracy, accuracy)
        verify("dl_techniques>reliability_curve", oracle, curve.confidence, confidence)


def test_adaptive_errors_are_mean_gaps_of_equal_parts(verify):
    rng = np.random.default_rng(0)
    p = rng.random(240)
    y = (rng.random(240) < p**2).astype(int)
    parts = np.array_split(np.argsort(p), 12)
    expected = np.mean([abs(y[part].mean() - p[part].mean()) for part in parts])
    oracle = "mean gap of parts of equal mass in float64"
    ours = adaptive_calibration_error(y, p, bins=12)
    verify("dl_techniques>adaptive_calibration_error", oracle, ours, expected, tolerance=1e-12)
    metric = AdaptiveCalibrationError(bins=12, cells=100_000)
    verify("dl_techniques>AdaptiveCalibrationError", oracle, streamed(metric, y, p), expected)
    labels, chances = problem()
    each = [adaptive_calibration_error(labels == k, chances[:, k]) for k in range(5)]
    assert adaptive_calibration_error(labels, chances) == pytest.approx(np.mean(each))


def test_scores_equal_scikit_learn(verify):
    import sklearn
    from sklearn.metrics import brier_score_loss, log_loss

    y, p = problem()
    p = p.astype("float64") / p.astype("float64").sum(1, keepdims=True)
    expected = brier_score_loss(y, p, labels=range(5), scale_by_half=False)
    oracle = f"brier_score_loss of scikit-learn {sklearn.__version__}"
    verify("dl_techniques>brier_score", oracle, brier_score(y, p), expected, tolerance=1e-9)
    verify("dl_techniques>BrierScore", oracle, streamed(BrierScore(), y, p), expected)
    oracle = f"log_loss of scikit-learn {sklearn.__version__}"
    ours = negative_log_likelihood(y, p)
    verify("dl_techniques>negative_log_likelihood", oracle, ours, log_loss(y, p), tolerance=1e-6)


def test_the_brier_score_is_the_sum_of_its_parts(verify):
    rng = np.random.default_rng(0)
    p = rng.random(100)
    y = rng.integers(0, 2, 100)
    parts = brier_decomposition(y, p, bins=7)
    whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bin
    oracle = "sum of its parts equals the mean square in float64"
    verify("dl_techniques>brier_decomposition", oracle, whole, np.mean((p - y) ** 2))


def test_z_has_its_golden_value_and_p_value(verify):
    from scipy.stats import norm

    y, p = np.array([0, 1, 1, 0, 1]), np.array([0.1, 0.3, 0.8, 0.6, 0.95])
    z, chance = spiegelhalter_z(y, p, return_p_value=True)
    oracle = "golden value by its formula"
    verify("dl_techniques>spiegelhalter_z", oracle, z, 0.34933043, tolerance=1e-7)
    assert chance == pytest.approx(2 * norm.sf(z), abs=1e-12)
    verify("dl_techniques>SpiegelhalterZ", oracle, streamed(SpiegelhalterZ(), y, p), 0.34933043)


METRICS = [
    ExpectedCalibrationError,
    AdaptiveCalibrationError,
    BrierScore,
    SpiegelhalterZ,
    lambda: SegmentationIoU(1),
    lambda: SegmentationDice(1),
]


@pytest.mark.parametrize("metric", METRICS)
def test_masked_positions_do_not_count_in_evaluate(metric):
    rng = np.random.default_rng(0)
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 0, 0]], "int32")
    y = rng.integers(0, 2, (2, 6, 1)).astype("float32")
    inputs = keras.Input((6,), dtype="int32")
    embedding = keras.layers.Embedding(10, 1, mask_zero=True)
    model = keras.Model(inputs, keras.layers.Activation("sigmoid")(embedding(inputs)))
    embedding.embeddings.assign(rng.normal(size=(10, 1)))
    p = model.predict(tokens, verbose=0)
    real = tokens != 0
    alone = metric()
    alone.update_state(y[real], p[real])
    model.compile("sgd", "mse", metrics=[metric()])
    got = model.evaluate(tokens, y, batch_size=2, verbose=0)[1]
    assert got == pytest.approx(float(ops.convert_to_numpy(alone.result())), abs=1e-6)


@pytest.mark.parametrize("average", ["macro", "micro"])
@pytest.mark.parametrize("classes", [1, 4])
def test_overlaps_equal_scikit_learn(verify, average, classes):
    import sklearn
    from sklearn.metrics import f1_score, jaccard_score

    rng = np.random.default_rng(0)
    labels = rng.integers(0, max(classes, 2), (6, 5, 5))
    p = rng.random((6, 5, 5, classes)).astype("float32")
    decided = (p[..., 0] > 0.5) if classes == 1 else p.argmax(-1)
    if classes == 1:
        settings = {"average": "binary"}
    else:
        settings = {"average": average, "labels": range(classes)}
    for metric, peer in ((SegmentationIoU, jaccard_score), (SegmentationDice, f1_score)):
        expected = peer(labels.ravel(), decided.ravel(), **settings)
        got = streamed(metric(classes, average=average), labels, p)
        oracle = f"{peer.__name__} of scikit-learn {sklearn.__version__}"
        verify(f"dl_techniques>{metric.__name__}", oracle, got, expected, tolerance=1e-6)


def test_classes_that_never_appear_and_ignored_pixels_do_not_count():
    labels = np.array([[[0, 1, 255]]])
    p = np.array([[[[0.9, 0.1, 0], [0.8, 0.2, 0], [0, 0, 1.0]]]], "float32")
    metric = SegmentationIoU(3, ignore_class=255)
    metric.update_state(labels, p)
    assert float(ops.convert_to_numpy(metric.result())) == pytest.approx(0.25)
    np.testing.assert_allclose(ops.convert_to_numpy(metric.per_class()), [0.5, 0, 0])
    with pytest.raises(ValueError, match="num_classes"):
        metric.update_state(labels, p[..., :2])
