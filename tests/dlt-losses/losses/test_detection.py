"""Detection: golden values, a plain NumPy reference, and torchvision for boxes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.losses import (
    YOLOv12ObjectDetectionLoss,
    bbox_iou,
    bbox_nms,
    task_aligned_assigner,
)
from dl_techniques.losses.boxes.bbox_iou import KINDS


def array(tensor):
    return ops.convert_to_numpy(tensor)


def golden_problem():
    """Three classes, images of 64 pixels; drawn channels first, as the reference has them."""
    rs = np.random.RandomState(0)
    z = np.concatenate([rs.randn(2, 64, 84), rs.randn(2, 3, 84) - 2], axis=1)
    objects = np.zeros((2, 4, 5), "float32")
    objects[..., 0] = -1
    rows = [
        (0, 0, 1, 0.40, 0.45, 0.50, 0.40),
        (0, 1, 2, 0.65, 0.60, 0.40, 0.55),
        (0, 2, 0, 0.3, 0.7, 0.3, 0.3),
        (1, 0, 1, 0.5, 0.5, 0.8, 0.9),
    ]
    for image, slot, kind, x, y, w, h in rows:
        box = 64 * np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        objects[image, slot] = [kind, *box]
    return objects, z.transpose(0, 2, 1).astype("float32")


LOSS = {"num_classes": 3, "input_shape": (64, 64)}


def test_parts_have_their_golden_values():
    objects, z = golden_problem()
    parts = YOLOv12ObjectDetectionLoss(**LOSS).parts(objects, z)
    for name, expected in {"box": 6.16553, "cls": 35.97242, "dfl": 4.58479}.items():
        assert float(array(parts[name])) == pytest.approx(expected, abs=2e-5)
    objects[..., 0] = -1
    parts = YOLOv12ObjectDetectionLoss(**LOSS).parts(objects, z)
    assert float(array(parts["cls"])) == pytest.approx(46.73644, abs=2e-5)
    assert float(array(parts["box"])) == 0
    assert float(array(parts["dfl"])) == 0


def ciou(a, b):
    """CIoU of two boxes by its formula."""
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    sides = [(x[2] - x[0], x[3] - x[1]) for x in (a, b)]
    union = sides[0][0] * sides[0][1] + sides[1][0] * sides[1][1] - w * h
    iou = w * h / (union + 1e-7)
    c2 = (max(a[2], b[2]) - min(a[0], b[0])) ** 2 + (max(a[3], b[3]) - min(a[1], b[1])) ** 2
    d2 = ((a[0] + a[2] - b[0] - b[2]) ** 2 + (a[1] + a[3] - b[1] - b[3]) ** 2) / 4
    angles = [np.arctan2(x, y + 1e-7) for x, y in sides]
    v = 4 / np.pi**2 * (angles[1] - angles[0]) ** 2
    return iou - d2 / (c2 + 1e-7) - v * v / (1 - iou + v + 1e-7)


def assigned(real, points, boxes, scores, topk):
    """Assign anchors by loops: which object claims which, and the target scores."""
    u = np.zeros((len(real), len(points)))
    m = np.zeros_like(u)
    inside = np.zeros_like(u, dtype=bool)
    for g, (kind, true) in enumerate(real):
        for a, (x, y, s) in enumerate(points):
            px, py = x * s, y * s
            inside[g, a] = min(px - true[0], py - true[1], true[2] - px, true[3] - py) > 1e-9
            if inside[g, a]:
                u[g, a] = max(0.0, ciou(true, [s * c for c in boxes[a]]))
                m[g, a] = scores[a, kind] ** 0.5 * u[g, a] ** 6
    claimed = np.zeros_like(inside)
    for g in range(len(real)):
        claimed[g, np.argsort(-m[g], kind="stable")[:topk]] = True
    claimed &= inside
    for a in np.flatnonzero(claimed.sum(0) > 1):
        claimed[:, a] = False
        claimed[u[:, a].argmax(), a] = True
    targets = np.zeros_like(scores)
    for g, (kind, _) in enumerate(real):
        mine = np.flatnonzero(claimed[g])
        for a in mine:
            targets[a, kind] = m[g, a] * u[g, mine].max() / (m[g, mine].max() + 1e-9)
    return claimed, targets


def reference(objects, z, reg_max, classes, strides, size, topk):
    """The loss by loops over images, objects and anchors, in float64."""
    points = [
        ((x + 0.5), (y + 0.5), s)
        for s in strides
        for y in range(size // s)
        for x in range(size // s)
    ]
    box_loss = cls_loss = dfl_loss = total = 0.0
    for image, logits in zip(objects, z.astype("float64"), strict=True):
        bins = logits[:, : 4 * reg_max].reshape(-1, 4, reg_max)
        scores = 1 / (1 + np.exp(-logits[:, 4 * reg_max :]))
        p = np.exp(bins - bins.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        sides = p @ np.arange(reg_max)
        boxes = [
            (x - d[0], y - d[1], x + d[2], y + d[3])
            for (x, y, _), d in zip(points, sides, strict=True)
        ]
        real = [(int(k), b) for k, *b in image if k >= 0 and b[2] > b[0] and b[3] > b[1]]
        claimed, targets = assigned(real, points, boxes, scores, topk)
        for g, (kind, true) in enumerate(real):
            for a in np.flatnonzero(claimed[g]):
                x, y, s = points[a]
                cells = [c / s for c in true]
                box_loss += targets[a, kind] * (1 - ciou(boxes[a], cells))
                d = np.clip(
                    [x - cells[0], y - cells[1], cells[2] - x, cells[3] - y], 0, reg_max - 1.01
                )
                for side in range(4):
                    lo = int(d[side])
                    share = lo + 1 - d[side]
                    nats = -np.log(p[a, side])
                    dfl_loss += (
                        targets[a, kind] * (share * nats[lo] + (1 - share) * nats[lo + 1]) / 4
                    )
        total += targets.sum()
        cls_loss -= (targets * np.log(scores) + (1 - targets) * np.log(1 - scores)).sum()
    total = max(total, 1.0)
    return {
        "box": 7.5 * box_loss / total,
        "cls": 0.5 * cls_loss / total,
        "dfl": 1.5 * dfl_loss / total,
    }


@pytest.mark.parametrize("seed", range(3))
def test_parts_equal_a_reference_written_with_loops(verify, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 32, (2, 5, 2))
    objects = np.concatenate(
        [rng.integers(-1, 3, (2, 5, 1)), corner, corner + rng.uniform(2, 32, (2, 5, 2))], axis=-1
    ).astype("float32")
    z = rng.normal(size=(2, 84, 4 * 8 + 3)).astype("float32")
    expected = reference(objects, z, 8, 3, (8, 16, 32), 64, topk=4)
    parts = YOLOv12ObjectDetectionLoss(**LOSS, reg_max=8, topk=4).parts(objects, z)
    oracle = "its formulas by loops in NumPy, float64"
    for name, value in expected.items():
        verify("dl_techniques>YOLOv12ObjectDetectionLoss", oracle, array(parts[name]), value)


def test_assigned_anchors_equal_loops(verify):
    rng = np.random.default_rng(0)
    points = [(rng.uniform(0, 64), rng.uniform(0, 64), 1) for _ in range(60)]
    centers = np.array([p[:2] for p in points])
    boxes = np.concatenate([centers - 12, centers + rng.uniform(6, 18, (60, 2))], axis=1)
    scores = rng.random((60, 3))
    real = [(1, [4, 4, 40, 36]), (0, [10, 8, 50, 44]), (1, [30, 20, 60, 62])]
    claimed, targets = assigned(real, points, boxes, scores, topk=6)
    assert (claimed.sum(1) > 1).all()
    found = task_aligned_assigner(
        *(x[None].astype("float32") for x in (scores, boxes)),
        centers.astype("float32"),
        np.array([[box for _, box in real]], "float32"),
        np.array([[kind for kind, _ in real]]),
        topk=6,
    )
    component, oracle = "dl_techniques>task_aligned_assigner", "its formulas by loops in NumPy"
    verify(component, oracle, array(found.scores)[0], targets)
    owners = np.array([box for _, box in real]).T @ claimed
    verify(component, oracle, array(found.boxes)[0], owners.T)


def test_images_of_weight_two_count_twice_and_of_weight_zero_not():
    objects, z = golden_problem()
    loss = YOLOv12ObjectDetectionLoss(**LOSS)
    twice = array(loss(objects[[0, 0, 1]], z[[0, 0, 1]]))
    weighted = array(loss(objects, z, sample_weight=np.array([2.0, 1.0], "float32")))
    np.testing.assert_allclose(weighted, twice, rtol=1e-5)
    broken = z.copy()
    broken[1] = np.nan
    one = array(loss(objects, broken, sample_weight=np.array([1.0, 0.0], "float32")))
    np.testing.assert_allclose(one, array(loss(objects[:1], z[:1])), rtol=1e-5)


def test_hidden_anchors_do_not_count():
    objects, z = golden_problem()
    loss = YOLOv12ObjectDetectionLoss(**LOSS)
    hidden = z.copy()
    hidden[:, -4:] = 0.0
    inputs = keras.Input((84, 67))
    model = keras.Model(inputs, keras.layers.Masking()(inputs))
    model.compile("sgd", loss)
    got = model.evaluate(hidden, objects, batch_size=2, verbose=0)
    # Hidden anchors of the coarsest level gave this much entropy, and no object.
    plain = float(array(loss(objects, hidden)))
    assert got < plain


def test_gradients_are_finite_without_objects_and_with_boxes_without_area():
    objects, z = golden_problem()
    for case in (np.full_like(objects, -1), np.zeros_like(objects), objects):
        result = value_and_gradients(
            lambda z, case=case: YOLOv12ObjectDetectionLoss(**LOSS)(case, z), [], [100 * z]
        )
        assert np.isfinite(result.value)
        assert np.isfinite(result.inputs[0]).all()


def test_a_head_learns_to_find_its_objects():
    objects, _ = golden_problem()
    head = keras.Sequential([keras.Input((8,)), keras.layers.Dense(84 * 67)])
    head.add(keras.layers.Reshape((84, 67)))
    head.compile(keras.optimizers.Adam(0.05), YOLOv12ObjectDetectionLoss(**LOSS))
    x = np.eye(8, dtype="float32")[:2]
    history = head.fit(x, objects, epochs=60, verbose=0).history["loss"]
    assert history[-1] < 0.3 * history[0]


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_overlaps_equal_torchvision(verify, timm, kind):
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    name = {"iou": "box_iou", "giou": "generalized_box_iou"}.get(
        kind, {"diou": "distance_box_iou", "ciou": "complete_box_iou"}.get(kind)
    )
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 50, (2, 7, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 40, (2, 7, 2))], -1).astype("float32")
    expected = getattr(torchvision.ops, name)(
        *(torch.tensor(b, dtype=torch.float64) for b in boxes)
    )
    oracle = f"{name} of torchvision {torchvision.__version__}, float64"
    verify("dl_techniques>bbox_iou", oracle, array(bbox_iou(*boxes, kind=kind)), expected)


def test_overlaps_have_their_golden_values_in_every_format():
    a = np.array([[27.4407, 35.7595, 60.1097, 57.9153]], "float32")
    b = np.array([[48.9309, 39.9579, 70.8048, 57.5444]], "float32")
    for layout in ("xyxy", "xywh", "center_xywh"):
        first, second = (boxes.copy() for boxes in (a, b))
        for boxes in (first, second):
            if layout != "xyxy":
                boxes[:, 2:] -= boxes[:, :2]
            if layout == "center_xywh":
                boxes[:, :2] += boxes[:, 2:] / 2
        for kind, expected in {"giou": 0.164724, "diou": 0.104833}.items():
            got = array(bbox_iou(first, second, kind, layout))
            assert got[0, 0] == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_boxes_without_area_have_finite_overlaps_and_gradients(kind):
    boxes = np.zeros((2, 4), "float32")
    result = value_and_gradients(
        lambda b: ops.sum(bbox_iou(b, boxes, kind, pairwise=False)), [], [boxes]
    )
    assert np.isfinite(result.value)
    assert np.isfinite(result.inputs[0]).all()


def greedy(boxes, scores, threshold, ids):
    """Suppression by loops."""
    left, kept = list(np.argsort(-scores, kind="stable")), []
    while left:
        best = left.pop(0)
        kept.append(int(best))
        left = [
            i
            for i in left
            if ids[i] != ids[best] or array(bbox_iou(boxes[[best]], boxes[[i]]))[0, 0] <= threshold
        ]
    return kept


@pytest.mark.parametrize("aware", [False, True])
def test_suppression_equals_loops(verify, aware):
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 10, (2, 12, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(3, 8, (2, 12, 2))], -1).astype("float32")
    scores = rng.integers(0, 6, (2, 12)).astype("float32")
    ids = rng.integers(0, 2, (2, 12)) * aware
    kept = bbox_nms(boxes, scores, 0.3, max_outputs=15, class_ids=ids if aware else None)
    for n in range(2):
        expected = greedy(boxes[n], scores[n], 0.3, ids[n])
        ours = array(kept.indices)[n][array(kept.valid)[n]]
        verify("dl_techniques>bbox_nms", "loops in NumPy", ours, expected, tolerance=0)


def test_suppression_keeps_a_box_of_exactly_the_threshold_and_never_nan():
    boxes = np.array([[0, 0, 2, 2], [0, 0, 2, 1], [9, 9, 10, 10], [20, 20, 21, 21]], "float32")
    scores = np.array([0.9, 0.8, np.nan, 0.1], "float32")
    kept = bbox_nms(boxes, scores, 0.5, max_outputs=4)
    assert array(kept.indices)[array(kept.valid)].tolist() == [0, 1, 3]
    kept = bbox_nms(boxes, scores, 0.5, max_outputs=1, score_threshold=0.5)
    assert array(kept.indices)[array(kept.valid)].tolist() == [0]
