"""The detection loss as it is usually written in PyTorch, from its formulas, for comparison.

Images are assigned one after the other, and only the anchors that got an object enter the loss of
boxes: shapes depend on the data, which PyTorch allows and a compiler does not.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from dl_techniques.losses.detection.anchors import anchor_points


def ciou(a: Any, b: Any, epsilon: float = 1e-7) -> Any:
    """Complete IoU of corners that broadcast."""
    wh = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0)
    shared, size_a, size_b = wh.prod(-1), a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    iou = shared / (size_a.prod(-1) + size_b.prod(-1) - shared + epsilon)
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    gap = (b[..., :2] + b[..., 2:] - a[..., :2] - a[..., 2:]) / 2
    angles = [torch.atan(s[..., 0] / (s[..., 1] + epsilon)) for s in (size_a, size_b)]
    v = 4 / math.pi**2 * (angles[1] - angles[0]) ** 2
    with torch.no_grad():
        factor = v / (1 - iou + v + epsilon)
    return iou - (gap**2).sum(-1) / ((around**2).sum(-1) + epsilon) - factor * v


@torch.no_grad()
def assign(scores: Any, boxes: Any, points: Any, objects: Any, kinds: Any) -> tuple[Any, Any, Any]:
    """Target scores, the object of each anchor, and which anchors have one, of one image."""
    low, high = objects[:, None, :2], objects[:, None, 2:]
    inside = torch.minimum(points - low, high - points).amin(-1) > 1e-9
    u = ciou(objects[:, None], boxes).clamp(0) * inside
    m = scores[:, kinds].T ** 0.5 * u**6
    picked = torch.zeros_like(inside).scatter_(1, m.topk(min(10, m.shape[1])).indices, True)
    picked &= inside
    contested = picked.sum(0) > 1
    picked[:, contested] = functional.one_hot(u.argmax(0)[contested], len(u)).T.bool()
    m, u = m * picked, u * picked
    score = (m * u.amax(1, keepdim=True) / (m.amax(1, keepdim=True) + 1e-9)).amax(0)
    foreground, owner = picked.any(0), picked.int().argmax(0)
    targets = torch.zeros_like(scores)
    targets[foreground, kinds[owner[foreground]]] = score[foreground]
    return targets, owner, foreground


class DetectionLoss:
    """The loss of a batch.

    Args:
        side: Height and width of the images in pixels.
        reg_max: Number of bins of a side.
    """

    def __init__(self, side: int, reg_max: int = 16) -> None:
        points, strides = anchor_points((side, side), (8, 16, 32))
        self.points, self.strides = torch.tensor(points), torch.tensor(strides)
        self.reg_max = reg_max

    def __call__(self, y: Any, z: Any) -> Any:
        """Return the sum of the three parts.

        Args:
            y: Objects, `(batch, objects, 5)`.
            z: Predictions, `(batch, anchors, 4 * reg_max + classes)`.
        """
        bins, logits = z.split([4 * self.reg_max, z.shape[-1] - 4 * self.reg_max], -1)
        bins = bins.unflatten(-1, (4, self.reg_max))
        sides = bins.softmax(-1) @ torch.arange(self.reg_max, dtype=z.dtype)
        boxes = torch.cat([self.points - sides[..., :2], self.points + sides[..., 2:]], -1)
        box = dfl = z.new_zeros(())
        everything = []
        for n, padded in enumerate(y):
            image = padded[padded[:, 0] >= 0]
            if not len(image):
                everything.append(torch.zeros_like(logits[n]))
                continue
            targets, owner, chosen = assign(
                logits[n].detach().sigmoid(),
                boxes[n].detach() * self.strides,
                self.points * self.strides,
                image[:, 1:],
                image[:, 0].long(),
            )
            everything.append(targets)
            weight = targets[chosen].sum(-1)
            cells = image[owner[chosen], 1:] / self.strides[chosen]
            box = box + (weight * (1 - ciou(boxes[n][chosen], cells))).sum()
            dfl = dfl + (weight * self._bins(bins[n][chosen], self.points[chosen], cells)).sum()
        target = torch.stack(everything)
        total = target.sum().clamp(1)
        entropy = functional.binary_cross_entropy_with_logits(logits, target, reduction="sum")
        return (7.5 * box + 0.5 * entropy + 1.5 * dfl) / total

    def _bins(self, bins: Any, points: Any, cells: Any) -> Any:
        d = torch.cat([points - cells[:, :2], cells[:, 2:] - points], -1)
        d = d.clamp(0, self.reg_max - 1.01)
        low = d.long()
        nats = -bins.log_softmax(-1)
        below = nats.gather(-1, low[..., None])[..., 0]
        above = nats.gather(-1, low[..., None] + 1)[..., 0]
        return (below * (low + 1 - d) + above * (d - low)).mean(-1)
