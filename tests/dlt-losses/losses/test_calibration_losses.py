"""Calibration, capsule, contrastive and clustering losses against golden values and peers."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.losses import (
    BrierScoreLoss,
    BrierSpiegelhalterLoss,
    CapsuleMarginLoss,
    CLIPContrastiveLoss,
    ClusteringLoss,
    DECLoss,
    GoodhartAwareLoss,
    SpiegelhalterZLoss,
    dec_targets,
    student_t_assignments,
)

P = np.array([0.1, 0.3, 0.8, 0.6, 0.95], "float32")
O = np.array([0.0, 1.0, 1.0, 0.0, 1.0], "float32")  # noqa: E741  # the paper's symbol
LOGITS = np.array([[2, 0.5, -1], [0.1, 0.2, 0.3], [-1, 3, 0]], "float32")
Q = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]], "float32")


def value(tensor):
    return float(ops.convert_to_numpy(tensor))


@pytest.mark.parametrize(("scale", "halved"), [("sum", False), ("half", True)])
def test_brier_equals_scikit_learn(verify, scale, halved):
    import sklearn
    from sklearn.metrics import brier_score_loss

    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 4, 30), rng.dirichlet(np.ones(4), 30)
    expected = brier_score_loss(y, p, labels=range(4), scale_by_half=halved)
    oracle = f"brier_score_loss of scikit-learn {sklearn.__version__}"
    got = value(BrierScoreLoss(scale=scale)(y, p.astype("float32")))
    verify("dl_techniques>BrierScoreLoss", oracle, got, expected)
    mean = value(BrierScoreLoss(scale="mean")(np.eye(4)[y], p))
    assert mean == pytest.approx(np.mean((np.eye(4)[y] - p) ** 2), rel=1e-5)
    binary = value(BrierScoreLoss(scale=scale)(O, P))
    assert binary == pytest.approx(np.mean((O - P) ** 2), rel=1e-5)


def test_brier_is_least_at_the_smoothed_label():
    y, smoothed = np.array([[0.0, 1.0]]), np.array([[0.05, 0.95]])
    assert value(BrierScoreLoss(label_smoothing=0.1)(y, smoothed)) == pytest.approx(0, abs=1e-12)
    column = value(BrierScoreLoss(label_smoothing=0.1)(np.array([[1.0]]), np.array([[0.95]])))
    assert column == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("p", "o", "z"),
    [([0.2, 0.2], [1, 0], 1.0607), ([0.4, 0.5], [1, 0], 1.2247), (P, O, 0.34933043)],
)
def test_z_equals_the_published_table(p, o, z):
    got = value(SpiegelhalterZLoss(normalize=False)(np.array(o), np.array(p)))
    assert np.sqrt(got) == pytest.approx(z, abs=5e-5)
    magnitude = value(SpiegelhalterZLoss(power=1)(np.array(o), np.array(p)))
    assert magnitude == pytest.approx(z / np.sqrt(len(o)), abs=5e-5)


def test_z_of_several_classes_is_the_mean_over_one_against_the_rest():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 3, 20), rng.dirichlet(np.ones(3), 20).astype("float32")
    each = [value(SpiegelhalterZLoss()((y == k).astype("float32"), p[:, k])) for k in range(3)]
    assert value(SpiegelhalterZLoss()(y, p)) == pytest.approx(np.mean(each), rel=1e-5)
    right = (p.argmax(1) == y).astype("float32")
    top = value(SpiegelhalterZLoss(mode="top_label")(y, p))
    assert top == pytest.approx(value(SpiegelhalterZLoss()(right, p.max(1))), rel=1e-5)


@pytest.mark.parametrize("loss", [SpiegelhalterZLoss, BrierSpiegelhalterLoss])
def test_gradients_are_finite_at_certainty_and_at_one_half(loss):
    for p in (np.zeros(4), np.ones(4), np.full(4, 0.5)):
        y = np.array([0.0, 1.0, 1.0, 0.0])
        result = value_and_gradients(lambda p, y=y: loss()(y, p), [], [p.astype("float32")])
        assert np.isfinite(result.value)
        assert np.isfinite(result.inputs[0]).all()


@pytest.mark.oracle
def test_z_equals_calzone(verify):
    pytest.importorskip("calzone")
    from calzone.metrics import spiegelhalter_z_test

    z, _ = spiegelhalter_z_test(O, np.stack([1 - P, P], 1).astype("float64"))
    got = np.sqrt(value(SpiegelhalterZLoss(normalize=False)(O, P)))
    verify("dl_techniques>SpiegelhalterZLoss", "calzone-tool 0.1.0", got, abs(z))


def test_brier_and_z_add_up(verify):
    expected = 0.1805 + 0.1 * 0.34933043**2 / 5
    got = value(BrierSpiegelhalterLoss()(O, P))
    verify("dl_techniques>BrierSpiegelhalterLoss", "sum of its published parts", got, expected)


def test_goodhart_is_the_sum_of_its_parts(verify):
    y = np.array([0, 2, 1])
    ce, entropy, information = 0.43637935, 0.66372832, 0.34155102
    for a, b in ((0.0, 0.0), (0.1, 0.01), (0.5, 1.0)):
        loss = GoodhartAwareLoss(entropy_weight=a, mi_weight=b)
        expected = ce - a * entropy + b * information
        got = value(loss(y, LOGITS))
        verify("dl_techniques>GoodhartAwareLoss", "golden parts", got, expected, tolerance=2e-6)
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    loss = GoodhartAwareLoss(from_logits=False)
    assert value(loss(y, p)) == pytest.approx(value(GoodhartAwareLoss()(y, LOGITS)), rel=1e-5)


def test_mutual_information_is_the_mean_divergence_from_the_mean(verify):
    from scipy.special import rel_entr

    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    expected = rel_entr(p, p.mean(0)).sum(1).mean()
    y = np.array([0, 2, 1])
    with_, without = (
        value(GoodhartAwareLoss(entropy_weight=0.0, mi_weight=b)(y, LOGITS)) for b in (1.0, 0.0)
    )
    oracle = "mutual information by rel_entr of scipy"
    verify("dl_techniques>GoodhartAwareLoss", oracle, with_ - without, expected, tolerance=2e-6)


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_goodhart_is_finite_at_extreme_logits(scale):
    y = np.array([0, 2, 1])
    logits = (np.sign(LOGITS) * scale).astype("float32")
    result = value_and_gradients(lambda z: GoodhartAwareLoss()(y, z), [], [logits])
    assert np.isfinite(result.value)
    assert np.isfinite(result.inputs[0]).all()


def test_capsule_margins_have_their_golden_values(verify):
    lengths = np.array([[0.95, 0.3, 0.05], [0.2, 0.6, 0.92]], "float32")
    each = ops.convert_to_numpy(CapsuleMarginLoss(reduction=None)(np.array([0, 1]), lengths))
    verify("dl_techniques>CapsuleMarginLoss", "closed form", each, [0.02, 0.4312], tolerance=1e-6)
    direction = np.array([0.6, 0.0, 0.8], "float32")
    capsules = lengths[..., None] * direction
    assert value(CapsuleMarginLoss()(np.array([0, 1]), capsules)) == pytest.approx(0.2256, abs=1e-6)
    zero = value_and_gradients(
        lambda v: CapsuleMarginLoss()(np.array([0, 1]), v), [], [0 * capsules]
    )
    assert np.isfinite(zero.inputs[0]).all()


def test_clip_has_its_closed_forms():
    nothing = np.zeros(8)
    uniform = np.zeros((8, 8), "float32")
    assert value(CLIPContrastiveLoss()(nothing, uniform)) == pytest.approx(np.log(8), rel=1e-6)
    pair = np.array([[2.0, 0], [0, 2]], "float32")
    assert value(CLIPContrastiveLoss()(nothing[:2], pair)) == pytest.approx(0.12692801, rel=1e-5)


@pytest.mark.parametrize("variant", ["clip", "siglip"])
def test_clip_weights_repeat_and_remove_pairs(variant):
    rng = np.random.default_rng(0)
    s, ids = rng.normal(size=(5, 5)).astype("float32"), np.arange(5)
    weight = np.array([2, 1, 1, 1, 0], "float32")
    rows = [0, 0, 1, 2, 3]
    loss = CLIPContrastiveLoss(variant=variant, pair_ids=True)
    expected = value(loss(ids[rows], s[np.ix_(rows, rows)]))
    assert value(loss(ids, s, sample_weight=weight)) == pytest.approx(expected, rel=1e-5)
    removed = value(CLIPContrastiveLoss(variant=variant)(ids[:4], s[:4, :4]))
    weight[0] = 1
    ours = value(CLIPContrastiveLoss(variant=variant)(ids, s, sample_weight=weight))
    assert ours == pytest.approx(removed, rel=1e-5)


def test_clip_takes_both_matrices_and_refuses_others():
    s = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    both = {"logits_per_image": s, "logits_per_text": s.T}
    expected = value(CLIPContrastiveLoss()(None, s))
    assert value(CLIPContrastiveLoss()(None, both)) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ValueError, match="square"):
        CLIPContrastiveLoss()(None, s[:3])


@pytest.mark.oracle
@pytest.mark.parametrize("variant", ["clip", "siglip"])
def test_clip_equals_open_clip(verify, timm, variant):
    torch = pytest.importorskip("torch")
    peer = pytest.importorskip("open_clip.loss")
    rng = np.random.default_rng(0)
    f, g = (torch.nn.functional.normalize(torch.tensor(rng.normal(size=(6, 8)))) for _ in range(2))
    scale = torch.tensor(100.0, dtype=torch.float64)
    logits = (scale * f @ g.T).numpy().astype("float32")
    if variant == "clip":
        expected = peer.ClipLoss()(f, g, scale)
    else:
        logits -= 10
        expected = peer.SigLipLoss()(f, g, scale, torch.tensor(-10.0, dtype=torch.float64))
    got = value(CLIPContrastiveLoss(variant=variant)(np.zeros(6), logits))
    oracle = f"{variant} loss of open_clip 3.3.0, float64"
    verify("dl_techniques>CLIPContrastiveLoss", oracle, got, expected, tolerance=2e-5)


def test_clustering_has_its_golden_values(verify):
    h = Q.argmax(1)
    distance = ClusteringLoss(distribution_weight=0.0)
    balance = ClusteringLoss(distance_weight=0.0)
    pair = [value(distance(h, Q)), value(balance(h, Q))]
    expected = [0.05833333, 0.00597222]
    verify("dl_techniques>ClusteringLoss", "closed form", pair, expected, tolerance=1e-6)
    assert value(ClusteringLoss(targets="argmax")(None, Q)) == pytest.approx(0.06430556, abs=1e-6)


def test_deep_clustering_has_its_golden_values(verify):
    from scipy.stats import entropy

    p = ops.convert_to_numpy(dec_targets(Q))
    exact = Q.astype("float64") ** 2 / Q.sum(0)
    exact /= exact.sum(1, keepdims=True)
    np.testing.assert_allclose(exact[0], [0.89018975, 0.07751312, 0.03229713], atol=1e-6)
    verify("dl_techniques>dec_targets", "closed form in float64", p, exact, tolerance=1e-6)
    each = entropy(exact, Q, axis=1)
    assert each.mean() == pytest.approx(0.12066475, abs=1e-6)
    got = ops.convert_to_numpy(DECLoss(reduction=None)(p, Q))
    verify("dl_techniques>DECLoss", "relative entropy of scipy", got, each, tolerance=1e-6)
    z, mu = np.array([[0.0, 0], [1, 0], [3, 1]]), np.array([[0.0, 0], [2, 1]])
    q = ops.convert_to_numpy(student_t_assignments(z, mu))
    expected = [[0.857143, 0.142857], [0.6, 0.4], [0.153846, 0.846154]]
    verify("dl_techniques>student_t_assignments", "golden values", q, expected, tolerance=1e-6)
    # The summand gives torch a graph.
    fixed = value_and_gradients(lambda p: DECLoss()(p, Q) + 0.0 * ops.sum(p), [], [p]).inputs[0]
    assert not fixed.any()
