"""Segmentation losses against monai, segmentation-models-pytorch and torchvision."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.losses import (
    BoundaryLoss,
    ComboLoss,
    DiceCrossEntropyLoss,
    DiceFocalLoss,
    DiceLoss,
    FocalLoss,
    FocalTverskyLoss,
    GeneralizedDiceLoss,
    HausdorffDistanceLoss,
    JaccardLoss,
    LovaszLoss,
    TverskyLoss,
)

pytestmark = pytest.mark.oracle

SHAPE = (3, 6, 7)


def problem(classes, seed=0):
    """Label maps as class numbers, with a class absent from one sample, and logits."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, max(classes, 2), SHAPE)
    labels[1] = np.minimum(labels[1], max(classes - 2, 0))
    return labels, rng.normal(size=(*SHAPE, classes)).astype("float32")


def channels_first(torch, labels, logits):
    classes = logits.shape[-1]
    columns = labels[..., None] if classes == 1 else np.eye(classes)[labels]
    y = torch.tensor(columns.transpose(0, 3, 1, 2), dtype=torch.float64)
    z = torch.tensor(logits.transpose(0, 3, 1, 2), dtype=torch.float64, requires_grad=True)
    return y, z


@pytest.fixture
def compare(verify):
    """Compare a loss of labels and logits, and its gradient, with a function in torch."""
    torch = pytest.importorskip("torch")

    def run(loss, oracle, theirs, *, classes, seed=0, tolerance=1e-5):
        labels, logits = problem(classes, seed)
        y, z = channels_first(torch, labels, logits)
        expected = theirs(z, y)
        expected.backward()
        ours = value_and_gradients(lambda z: loss(labels, z), [], [logits])
        component = f"dl_techniques>{type(loss).__name__}"
        gradient = z.grad.numpy().transpose(0, 2, 3, 1)
        verify(component, oracle, ours.value, expected.detach().numpy(), tolerance=tolerance)
        verify(
            component, oracle, ours.inputs[0], gradient, what="gradient of inputs", tolerance=1e-5
        )

    return run


@pytest.fixture(scope="module")
def monai():
    losses = pytest.importorskip("monai.losses")
    import monai

    return losses, f"monai {monai.__version__}, float64"


@pytest.fixture(scope="module")
def smp(timm):
    losses = pytest.importorskip("segmentation_models_pytorch.losses")
    import segmentation_models_pytorch as smp

    return losses, f"segmentation-models-pytorch {smp.__version__}, float64"


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize("classes", [1, 3])
def test_overlap_losses_equal_monai(compare, monai, batch, classes):
    losses, name = monai
    theirs = {"sigmoid": classes == 1, "softmax": classes > 1, "batch": batch}
    ours = {"from_logits": True, "per_sample": not batch}
    cases = [
        (DiceLoss(**ours), losses.DiceLoss(**theirs)),
        (DiceLoss(squared=True, **ours), losses.DiceLoss(squared_pred=True, **theirs)),
        (JaccardLoss(**ours), losses.DiceLoss(jaccard=True, **theirs)),
        (GeneralizedDiceLoss(**ours), losses.GeneralizedDiceLoss(**theirs)),
        (
            TverskyLoss(alpha=0.2, beta=0.9, **ours),
            losses.TverskyLoss(alpha=0.2, beta=0.9, **theirs),
        ),
    ]
    for loss, peer in cases:
        compare(loss, f"{type(peer).__name__} of {name}", peer, classes=classes)


def test_overlap_losses_without_background_equal_monai(compare, monai):
    losses, name = monai
    peer = losses.DiceLoss(softmax=True, include_background=False)
    loss = DiceLoss(from_logits=True, include_background=False)
    compare(loss, f"DiceLoss of {name}", peer, classes=4)


def test_several_labels_a_pixel_equal_monai(compare, monai):
    losses, name = monai
    peer = losses.DiceLoss(sigmoid=True)
    compare(DiceLoss(from_logits=True, multilabel=True), f"DiceLoss of {name}", peer, classes=3)


def test_overlap_losses_equal_segmentation_models(compare, smp):
    losses, name = smp
    ours = {"from_logits": True, "per_sample": False, "smooth": 0.5}
    # Its Dice is a Tversky index with weights of one half: s stands there beside TP, not 2 TP.
    cases = [
        (DiceLoss(**{**ours, "smooth": 1.0}), losses.DiceLoss("binary", smooth=0.5)),
        (JaccardLoss(**ours), losses.JaccardLoss("binary", smooth=0.5)),
        (
            TverskyLoss(fp_weight=0.2, fn_weight=0.9, **ours),
            losses.TverskyLoss("binary", alpha=0.2, beta=0.9, smooth=0.5),
        ),
        (
            FocalTverskyLoss(fp_weight=0.2, fn_weight=0.9, gamma=0.75, **ours),
            losses.TverskyLoss("binary", alpha=0.2, beta=0.9, gamma=0.75, smooth=0.5),
        ),
    ]
    for loss, peer in cases:
        compare(loss, f"{type(peer).__name__} of {name}", peer, classes=1)


@pytest.mark.parametrize("per_sample", [False, True])
def test_lovasz_hinge_equals_segmentation_models(compare, smp, per_sample):
    losses, name = smp
    peer = losses.LovaszLoss("binary", per_image=per_sample)
    loss = LovaszLoss(from_logits=True, per_sample=per_sample)
    compare(
        loss,
        f"LovaszLoss of {name.replace('64', '32')}",
        lambda z, y: peer(z.float(), y.float()),
        classes=1,
    )


@pytest.mark.parametrize("per_sample", [False, True])
def test_lovasz_softmax_equals_segmentation_models(compare, smp, per_sample):
    losses, name = smp
    peer = losses.LovaszLoss("multiclass", per_image=per_sample)
    loss = LovaszLoss(from_logits=True, per_sample=per_sample)

    def theirs(z, y):
        return peer(z.float(), y.argmax(1))

    compare(loss, f"LovaszLoss of {name.replace('64', '32')}", theirs, classes=3)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("alpha", [0.25, None])
def test_sigmoid_focal_equals_torchvision(compare, timm, classes, alpha):
    torchvision = pytest.importorskip("torchvision")
    focal = torchvision.ops.sigmoid_focal_loss
    loss = FocalLoss(alpha=alpha, from_logits=True, multilabel=True)

    def theirs(z, y):
        return focal(z, y, alpha=-1 if alpha is None else alpha, gamma=2.0, reduction="mean")

    oracle = f"sigmoid_focal_loss of torchvision {torchvision.__version__}, float64"
    compare(loss, oracle, theirs, classes=classes)


def test_softmax_focal_equals_its_formula_in_torch(compare):
    import torch

    def theirs(z, y):
        log_p = (z.log_softmax(1) * y).sum(1)
        return -((1 - log_p.exp()) ** 1.5 * log_p).mean()

    loss = FocalLoss(gamma=1.5, from_logits=True)
    compare(loss, f"its formula in torch {torch.__version__}, float64", theirs, classes=4)


@pytest.mark.parametrize("classes", [1, 3])
def test_dice_and_cross_entropy_equal_monai(compare, monai, classes):
    losses, name = monai
    kind = "sigmoid" if classes == 1 else "softmax"
    peer = losses.DiceCELoss(**{kind: True}, lambda_dice=0.7, lambda_ce=1.3)
    loss = DiceCrossEntropyLoss(dice_weight=0.7, entropy_weight=1.3, from_logits=True)
    compare(loss, f"DiceCELoss of {name}", peer, classes=classes)


def test_dice_and_focal_equal_monai(compare, monai):
    losses, name = monai
    peer = losses.DiceFocalLoss(sigmoid=True, gamma=2.0, lambda_dice=0.7, lambda_focal=1.3)
    loss = DiceFocalLoss(dice_weight=0.7, focal_weight=1.3, from_logits=True)
    compare(loss, f"DiceFocalLoss of {name}", peer, classes=1)


def test_combo_equals_its_formula_in_torch(compare):
    import torch

    def theirs(z, y):
        p = z.sigmoid()
        entropy = -(0.8 * y * p.log() + 0.2 * (1 - y) * (1 - p).log()).mean((1, 2, 3))
        overlap, sizes = (p * y).sum((1, 2, 3)), (p + y).sum((1, 2, 3))
        dice = (2 * overlap + 1e-5) / (sizes + 1e-5)
        return (0.3 * entropy + 0.7 * (1 - dice)).mean()

    loss = ComboLoss(alpha=0.3, beta=0.8, from_logits=True)
    compare(loss, f"its formula in torch {torch.__version__}, float64", theirs, classes=1)


def test_hausdorff_distance_equals_monai(compare, monai):
    losses, name = monai
    peer = losses.HausdorffDTLoss(sigmoid=True, include_background=True)
    compare(HausdorffDistanceLoss(from_logits=True), f"HausdorffDTLoss of {name}", peer, classes=1)


def test_boundary_equals_distances_of_scipy(compare):
    import torch
    from scipy.ndimage import distance_transform_edt

    def theirs(z, y):
        phi = []
        for plane in y.numpy().reshape(-1, *SHAPE[1:]).astype(bool):
            outside, inside = distance_transform_edt(~plane), distance_transform_edt(plane)
            used = plane.any() and not plane.all()
            phi.append(used * (outside * ~plane - (inside - 1) * plane))
        return (torch.tensor(np.reshape(phi, y.shape)) * z.softmax(1)).mean()

    oracle = "distance_transform_edt of scipy, and torch, float64"
    compare(BoundaryLoss(from_logits=True), oracle, theirs, classes=3)
    assert ops.shape(BoundaryLoss()(np.zeros((1, 2, 2, 1)), np.zeros((1, 2, 2, 1)))) == ()
