"""Boxes and masks against torchvision, pycocotools, MONAI and OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.losses import bbox_iou, bbox_nms
from dl_techniques.metrics import SegmentationIoU

pytestmark = pytest.mark.oracle

PENALTIES = {
    "giou": "generalized_box_iou_loss",
    "diou": "distance_box_iou_loss",
    "ciou": "complete_box_iou_loss",
}


def corners(rng, count):
    start = rng.uniform(0, 50, (count, 2))
    return np.concatenate([start, start + rng.uniform(3, 40, (count, 2))], -1).astype("float32")


@pytest.mark.parametrize("kind", PENALTIES)
def test_gradients_of_overlaps_equal_torchvision(verify, timm, kind):
    import torch

    torchvision = pytest.importorskip("torchvision")
    rng = np.random.default_rng(0)
    boxes = [corners(rng, 9), corners(rng, 9)]
    theirs = [torch.tensor(b, dtype=torch.float64, requires_grad=True) for b in boxes]
    getattr(torchvision.ops, PENALTIES[kind])(*theirs, reduction="sum").backward()
    ours = value_and_gradients(
        lambda a, b: ops.sum(1.0 - bbox_iou(a, b, kind, pairwise=False)), [], boxes
    )
    oracle = f"{PENALTIES[kind]} of torchvision {torchvision.__version__}, float64"
    for gradient, tensor in zip(ours.inputs, theirs, strict=True):
        verify("dl_techniques>bbox_iou", oracle, gradient, tensor.grad, what="gradient of inputs")


def test_overlaps_equal_pycocotools(verify):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    first, second = corners(rng, 8), corners(rng, 6)
    for boxes in (first, second):
        boxes[:, 2:] -= boxes[:, :2]
    expected = coco.iou(first.astype("float64"), second.astype("float64"), [0] * 6)
    ours = ops.convert_to_numpy(bbox_iou(first, second, format="xywh"))
    verify("dl_techniques>bbox_iou", "iou of pycocotools 2.0.11", ours, expected)


def test_overlap_of_masks_equals_pycocotools(verify):
    coco = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    truth, p = rng.integers(0, 2, (3, 7, 5)), rng.random((3, 7, 5, 1)).astype("float32")
    metric = SegmentationIoU(1)
    metric.update_state(truth, p)
    # All pixels count at once, so the images are one long mask.
    runs = [
        coco.encode(np.asfortranarray(mask.reshape(21, 5).astype("uint8")))
        for mask in (p[..., 0] > 0.5, truth)
    ]
    ours = ops.convert_to_numpy(metric.result())
    expected = coco.iou(runs[:1], runs[1:], [0])[0, 0]
    verify("dl_techniques>SegmentationIoU", "iou of pycocotools 2.0.11, masks", ours, expected)


def kept_boxes(boxes, scores, ids=None):
    kept = bbox_nms(boxes, scores, 0.4, max_outputs=40, class_ids=ids)
    return ops.convert_to_numpy(kept.indices)[ops.convert_to_numpy(kept.valid)]


@pytest.mark.parametrize("aware", [False, True])
def test_suppression_equals_monai_and_opencv(verify, aware):
    """Torchvision's own suppression is compiled for one build of torch and is rarely at hand."""
    peer = pytest.importorskip("monai.data.box_utils")
    cv2 = pytest.importorskip("cv2")
    import monai

    rng = np.random.default_rng(0)
    boxes, scores = corners(rng, 40), (1 + rng.permutation(40)).astype("float32")
    ids = rng.integers(0, 3, 40) if aware else None
    sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], -1)
    if aware:
        by_monai = peer.batched_nms(boxes, scores, ids, 0.4)
        by_opencv = cv2.dnn.NMSBoxesBatched(sizes, scores, ids, 0.0, 0.4)
    else:
        by_monai = peer.non_max_suppression(boxes, scores, 0.4)
        by_opencv = cv2.dnn.NMSBoxes(sizes, scores, 0.0, 0.4)
    ours = kept_boxes(boxes, scores, ids)
    assert 5 < len(ours) < 40
    verify("dl_techniques>bbox_nms", f"nms of monai {monai.__version__}", ours, by_monai)
    # OpenCV lists one class after the other.
    verify(
        "dl_techniques>bbox_nms",
        f"NMSBoxes of OpenCV {cv2.__version__}",
        np.sort(ours),
        np.sort(by_opencv),
    )
