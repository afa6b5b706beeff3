"""The AnyLoss family against golden values, scikit-learn, and its own closed-form gradient."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core import component
from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.losses.any_loss import (
    AccuracyLoss,
    AnyLoss,
    ApproximationFunction,
    BalancedAccuracyLoss,
    F1Loss,
    FBetaLoss,
    GeometricMeanLoss,
    jaccard_index,
)

P = np.array([0.9, 0.2, 0.6, 0.4, 0.55, 0.05], "float32")
Y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0], "float32")
FAMILY = [AccuracyLoss, F1Loss, FBetaLoss, BalancedAccuracyLoss, GeometricMeanLoss]
BATCH_LOSSES = [*FAMILY, lambda **settings: AnyLoss(jaccard_index, **settings)]


def value(tensor):
    return float(ops.convert_to_numpy(tensor))


def problem(n=40, classes=1, seed=0):
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, size=(n, classes)).astype("float32")
    y = (rng.uniform(size=(n, classes)) < 0.4).astype("float32")
    return y, p, rng.uniform(0.5, 2, size=n).astype("float32")


@pytest.mark.parametrize(
    ("loss", "scale", "golden"),
    [
        (AccuracyLoss, 10, 0.28314306),
        (F1Loss, 10, 0.29999869),
        (lambda **s: FBetaLoss(beta=2, **s), 10, 0.32413926),
        (BalancedAccuracyLoss, 10, 0.28314306),
        (GeometricMeanLoss, 10, 0.28534831),
        (AccuracyLoss, 73, 0.32911122),
        (F1Loss, 73, 0.33050665),
        (lambda **s: FBetaLoss(beta=2, **s), 73, 0.33220553),
        (GeometricMeanLoss, 73, 0.3291245),
    ],
)
@pytest.mark.filterwarnings("ignore:`amplifying_scale`")
def test_golden_values(loss, scale, golden):
    assert value(loss(amplifying_scale=scale)(Y, P)) == pytest.approx(golden, abs=1e-6)
    assert value(loss(amplifying_scale=scale)(Y[:, None], P[:, None])) == pytest.approx(
        golden, abs=1e-6
    )


def test_the_approximation_equals_its_formula_with_gradients(verify):
    a = 1 / (1 + np.exp(-10.0 * (P.astype("float64") - 0.5)))
    ours = value_and_gradients(lambda p: ops.sum(ApproximationFunction()(p)), [], [P])
    component, oracle = "dl_techniques>ApproximationFunction", "closed form in float64"
    verify(component, oracle, ours.value, a.sum())
    verify(component, oracle, ours.inputs[0], 10 * a * (1 - a), what="gradient of inputs")


def test_the_gradient_of_f1_equals_the_paper():
    scale = 10.0
    got = value_and_gradients(lambda p: F1Loss()(Y, p), [], [P]).inputs[0]
    a = 1 / (1 + np.exp(-scale * (P.astype("float64") - 0.5)))
    s, tp = Y.sum() + a.sum(), (Y * a).sum()
    exact = -(2 * Y / s - 2 * tp / s**2) * scale * a * (1 - a)
    np.testing.assert_allclose(got, exact, atol=1e-6)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_hard_predictions_equal_scikit_learn(verify, average, beta):
    import sklearn
    from sklearn.metrics import fbeta_score

    rng = np.random.default_rng(0)
    y, decided = rng.integers(0, 4, size=50), rng.integers(0, 4, size=50)
    weight = rng.uniform(0.5, 2, size=50)
    loss = FBetaLoss(beta=beta, average=average, amplifying_scale=33)
    # A(1) is 1 - 7e-8 in this steepest form.
    got = value(loss(y, np.eye(4)[decided].astype("float32"), sample_weight=weight))
    expected = fbeta_score(y, decided, beta=beta, average=average, sample_weight=weight)
    oracle = f"1 - fbeta_score of scikit-learn {sklearn.__version__}, hard predictions"
    verify("dl_techniques>FBetaLoss", oracle, got, 1 - expected, tolerance=2e-6)


@pytest.mark.parametrize("loss", [AccuracyLoss, BalancedAccuracyLoss, GeometricMeanLoss])
def test_hard_binary_predictions_equal_scikit_learn(verify, loss):
    import sklearn
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

    rng = np.random.default_rng(1)
    y, decided = rng.integers(0, 2, size=40), rng.integers(0, 2, size=40)
    sides = [recall_score(y, decided, pos_label=side) for side in (0, 1)]
    expected = {
        AccuracyLoss: accuracy_score(y, decided),
        BalancedAccuracyLoss: balanced_accuracy_score(y, decided),
        GeometricMeanLoss: np.sqrt(sides[0] * sides[1]),
    }[loss]
    got = value(loss(amplifying_scale=33)(y, decided.astype("float32")))
    oracle = f"metrics of scikit-learn {sklearn.__version__}, hard predictions"
    verify(f"dl_techniques>{loss.__name__}", oracle, got, 1 - expected, tolerance=2e-6)


def test_other_metrics_of_the_confusion_matrix(verify):
    import sklearn
    from sklearn.metrics import jaccard_score, matthews_corrcoef

    rng = np.random.default_rng(2)
    y, decided = rng.integers(0, 2, size=40), rng.integers(0, 2, size=40)

    def matthews(tp, fp, fn, tn):
        return (tp * tn - fp * fn) / ops.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))

    for metric, reference in [(jaccard_index, jaccard_score), (matthews, matthews_corrcoef)]:
        loss = AnyLoss.from_metric(metric, amplifying_scale=33)
        expected = 1 - reference(y, decided)
        got = value(loss(y, decided.astype("float32")))
        oracle = f"1 - {reference.__name__} of scikit-learn {sklearn.__version__}"
        verify("dl_techniques>AnyLoss", oracle, got, expected, tolerance=2e-6)
        if metric is jaccard_index:
            verify("dl_techniques>jaccard_index", oracle, got, expected, tolerance=2e-6)


def test_f_beta_is_the_tversky_loss_of_the_approximation():
    y, p, _ = problem()
    a = 1 / (1 + np.exp(-10.0 * (p.astype("float64") - 0.5)))
    tp, fp, fn = (y * a).sum(), ((1 - y) * a).sum(), (y * (1 - a)).sum()
    for beta in (0.5, 1.0, 3.0):
        of_fp, of_fn = 1 / (1 + beta**2), beta**2 / (1 + beta**2)
        expected = 1 - tp / (tp + of_fp * fp + of_fn * fn)
        assert value(FBetaLoss(beta=beta)(y, p)) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("loss", BATCH_LOSSES)
@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted"])
def test_weight_two_is_a_repeated_row_and_weight_zero_a_removed_one(loss, classes, average):
    y, p, _ = problem(12, classes)
    loss = loss(average=average)
    weight = np.ones(12, "float32")
    weight[3], weight[7] = 2, 0
    rows = [i for i in range(12) for _ in range(int(weight[i]))]
    expected = value(loss(y[rows], p[rows]))
    assert value(loss(y, p, sample_weight=weight)) == pytest.approx(expected, rel=1e-5)
    scaled = value(loss(y, p, sample_weight=1e-6 * weight[:, None]))
    assert scaled == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("loss", BATCH_LOSSES)
def test_logits_are_passed_through_the_sigmoid(loss):
    y, p, _ = problem(10, 2)
    logits = np.log(p / (1 - p))
    expected = value(loss()(y, p))
    assert value(loss(from_logits=True)(y, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", BATCH_LOSSES)
@pytest.mark.parametrize("side", [0.0, 1.0])
def test_a_batch_of_one_side_only_is_finite_with_its_gradient(loss, side):
    y = np.full((5, 1), side, "float32")
    result = value_and_gradients(lambda p: loss()(y, p), [], [P[:5, None]])
    assert np.isfinite(result.value)
    assert 0 <= result.value <= 1
    assert np.isfinite(result.inputs[0]).all()


def test_without_positives_f1_is_one_without_gradient_and_balance_is_specificity():
    y = np.zeros(6, "float32")
    result = value_and_gradients(lambda p: F1Loss()(y, p), [], [P])
    assert result.value == 1
    assert not result.inputs[0].any()
    a = 1 / (1 + np.exp(-10 * (P - 0.5)))
    assert value(BalancedAccuracyLoss()(y, P)) == pytest.approx(1 - np.mean(1 - a), abs=1e-6)


@pytest.mark.parametrize("form", ["(n,)", "(n, 1)", "one-hot"])
def test_class_numbers_and_columns_are_the_same(form):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, size=9)
    p = rng.dirichlet(np.ones(3), size=9).astype("float32")
    y = {"(n,)": numbers, "(n, 1)": numbers[:, None], "one-hot": np.eye(3)[numbers]}[form]
    one_hot = np.eye(3)[numbers]
    by_class = [value(F1Loss()(one_hot[:, k], p[:, k])) for k in range(3)]
    assert value(F1Loss()(y, p)) == pytest.approx(np.mean(by_class), rel=1e-5)
    every = F1Loss(average=None, reduction=None)(y, p)
    np.testing.assert_allclose(ops.convert_to_numpy(every), by_class, rtol=1e-5)
    summed = value(F1Loss(average=None, reduction="sum")(y, p))
    assert summed == pytest.approx(np.sum(by_class), rel=1e-5)


@pytest.mark.parametrize("ignored", [255, -1])
def test_an_ignored_label_removes_its_samples(ignored):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, size=9)
    p = rng.dirichlet(np.ones(3), size=9).astype("float32")
    expected = value(F1Loss()(numbers[2:], p[2:]))
    numbers[:2] = ignored
    assert value(F1Loss(ignore_class=ignored)(numbers, p)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("form", ["numbers", "one-hot"])
def test_an_ignored_class_removes_its_samples_and_its_column(form):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, size=12)
    p = rng.dirichlet(np.ones(3), size=12).astype("float32")
    y = numbers if form == "numbers" else np.eye(3)[numbers]
    kept = numbers != 1
    expected = value(F1Loss()(np.eye(3)[numbers][kept][:, [0, 2]], p[kept][:, [0, 2]]))
    assert value(F1Loss(ignore_class=1)(y, p)) == pytest.approx(expected, rel=1e-5)


def test_positions_are_samples_and_masked_ones_do_not_count():
    y, p, _ = problem(12, 3)
    flat = value(F1Loss()(y, p))
    assert value(F1Loss()(y.reshape(3, 4, 3), p.reshape(3, 4, 3))) == pytest.approx(flat, rel=1e-5)
    predictions = ops.convert_to_tensor(p.reshape(3, 4, 3))
    mask = np.ones((3, 4), bool)
    mask[:, 3] = False
    predictions._keras_mask = ops.convert_to_tensor(mask)
    kept = mask.reshape(-1)
    expected = value(F1Loss()(y[kept], p[kept]))
    assert value(F1Loss()(y.reshape(3, 4, 3), predictions)) == pytest.approx(expected, rel=1e-5)


def test_a_sample_without_weight_may_be_nan():
    p = P.copy()
    p[1] = np.nan
    weight = np.array([1, 0, 1, 1, 1, 1], "float32")
    assert np.isfinite(value(F1Loss()(Y, p, sample_weight=weight)))
    assert np.isnan(value(F1Loss()(Y, p)))


def test_steps_beyond_the_dtype_are_warned_of():
    with pytest.warns(UserWarning, match="above 33"):
        F1Loss(amplifying_scale=73)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        F1Loss(amplifying_scale=33)
        ApproximationFunction(33)
        F1Loss(amplifying_scale=73, dtype="float64")


@pytest.mark.parametrize("y_shape", [(6,), (6, 1)])
@pytest.mark.parametrize("p_shape", [(6,), (6, 1)])
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_one_class_has_one_number_each_and_may_lack_its_axis(y_shape, p_shape, dtype):
    y, p = Y.astype(dtype).reshape(y_shape), P.reshape(p_shape)
    assert value(F1Loss()(y, p)) == pytest.approx(0.29999869, abs=1e-6)


def test_several_classes_have_one_hot_columns_or_class_numbers_in_any_form():
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, size=(5, 4))
    p = rng.dirichlet(np.ones(3), size=(5, 4)).astype("float32")
    columns = np.eye(3)[numbers]
    expected = value(F1Loss()(columns, p))
    for dtype in ("int32", "float32", "bool"):
        assert value(F1Loss()(columns.astype(dtype), p)) == pytest.approx(expected, rel=1e-6)
    for dtype in ("int64", "uint8", "float32"):
        for form in (numbers, numbers[..., None]):
            given = form.astype(dtype)
            assert value(F1Loss()(given, p)) == pytest.approx(expected, rel=1e-6)
            flat = given.reshape(20, *given.shape[2:])
            assert value(F1Loss()(flat, p.reshape(20, 3))) == pytest.approx(expected, rel=1e-6)


def test_columns_may_hold_several_ones_or_shares():
    p = np.array([[0.9, 0.6, 0.1], [0.4, 0.7, 0.2]], "float32")
    for y in (np.array([[1, 1, 0], [0, 1, 0]]), np.array([[0.5, 0.5, 0], [0, 0.9, 0.1]])):
        by_class = [value(AccuracyLoss()(y[:, k], p[:, k])) for k in range(3)]
        assert value(AccuracyLoss()(y, p)) == pytest.approx(np.mean(by_class), rel=1e-5)


@pytest.mark.parametrize("number", [3, 255, -1, 0.5])
def test_a_number_that_is_no_class_is_a_sample_of_no_class(number):
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 3, size=9)
    p = rng.dirichlet(np.ones(3), size=9).astype("float32")
    columns = np.eye(3)[numbers]
    columns[4] = 0
    numbers = numbers.astype("float32")
    numbers[4] = number
    expected = value(AccuracyLoss()(columns, p))
    assert value(AccuracyLoss()(numbers, p)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("y_shape", "p_shape"),
    [
        ((6, 2), (6, 3)),
        ((6, 4, 1), (6, 3)),
        ((), (6, 3)),
        ((6, 2), (6,)),
        ((6, 2), (6, 1)),
        ((5,), (6, 3)),
        ((1,), (6, 3)),
        ((1, 3), (6, 3)),
        ((1,), (6,)),
        ((6, 3), (6, 4, 3)),
        ((6, 1, 3), (6, 4, 3)),
    ],
)
def test_targets_that_do_not_fit_are_refused_and_not_stretched(y_shape, p_shape):
    with pytest.raises(ValueError, match="y_true"):
        F1Loss()(np.zeros(y_shape), np.zeros(p_shape))


def test_weights_with_too_many_axes_are_refused():
    with pytest.raises(ValueError, match="sample_weight"):
        F1Loss()(np.zeros((6, 3)), np.zeros((6, 3)), sample_weight=np.zeros((6, 3, 1)))


class Recall(AnyLoss):
    def metric(self, tp, fp, fn, tn):
        return tp / (tp + fn)


def test_a_subclass_needs_no_function_and_takes_none():
    assert value(Recall()(Y, P)) == pytest.approx(1.01798621 / 3, abs=1e-6)
    with pytest.raises(TypeError, match="metric_fn"):
        Recall(jaccard_index)
    with pytest.raises(TypeError, match="metric_fn"):
        AnyLoss()


@component("tests>specificity", kind="function")
def specificity(tp, fp, fn, tn):
    return tn / (tn + fp)


def test_names_are_those_of_the_classes_unless_given():
    names = [loss().name for loss in FAMILY]
    assert names == [
        "accuracy_loss",
        "f1_loss",
        "f_beta_loss",
        "balanced_accuracy_loss",
        "geometric_mean_loss",
    ]
    assert F1Loss(name="mine").name == "mine"


def test_configurations_give_the_same_loss():
    y, p, _ = problem(8, 2)
    for loss in [
        FBetaLoss(beta=2, average="micro", ignore_class=0, name="f2"),
        F1Loss(amplifying_scale=5, from_logits=True),
        GeometricMeanLoss(epsilon=1e-3),
        AnyLoss(jaccard_index, average="weighted"),
        AnyLoss(specificity),
    ]:
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
        assert again.get_config() == loss.get_config()
        assert value(again(y, p)) == value(loss(y, p))


@pytest.mark.parametrize("loss", FAMILY)
def test_it_trains_a_classifier(loss):
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 2)).astype("float32")
    y = (x.sum(axis=1, keepdims=True) > 0.8).astype("float32")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.Adam(0.1), loss())
    model.fit(x, y, sample_weight=np.ones(256), epochs=15, batch_size=64, verbose=0)
    decided = model.predict(x, verbose=0) > 0.5
    assert np.mean(decided == (y > 0)) > 0.93


@pytest.mark.oracle
def test_f1_equals_the_dice_loss_in_torch_with_gradients(verify):
    torch = pytest.importorskip("torch")
    y, p, _ = problem(30)
    theirs = torch.tensor(p, dtype=torch.float64, requires_grad=True)
    a = torch.sigmoid(10 * (theirs - 0.5))
    labels = torch.tensor(y, dtype=torch.float64)
    dice = 1 - 2 * (labels * a).sum() / (labels.sum() + a.sum())
    dice.backward()
    ours = value_and_gradients(lambda p: F1Loss()(y, p), [], [p])
    oracle = f"Dice loss of sigmoid(L (p - 0.5)) in torch {torch.__version__}, float64"
    verify("dl_techniques>F1Loss", oracle, ours.value, dice)
    verify("dl_techniques>F1Loss", oracle, ours.inputs[0], theirs.grad, what="gradient of inputs")
