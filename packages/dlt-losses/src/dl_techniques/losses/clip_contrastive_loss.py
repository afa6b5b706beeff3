"""Contrastive losses of paired embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from keras import ops

from dl_techniques.core import Example, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.arguments import require_fractions, require_one_of
from dl_techniques.losses.batch_loss import BatchLoss
from dl_techniques.losses.masks import mask_of
from dl_techniques.losses.ratio import ratio

_VARIANTS = ("clip", "siglip")
_NEVER = -1e9


@component(
    "dl_techniques>CLIPContrastiveLoss",
    kind="loss",
    tags=("contrastive", "vision-language"),
    paper="arXiv:2103.00020",
    since="0.1",
)
class CLIPContrastiveLoss(BatchLoss):
    """Contrastive loss of image and text pairs from the logits of their similarity.

    clip: L_i = (CE(S_i, i) + CE(S^T_i, i)) / 2
    siglip: L_i = sum_j softplus(-l_ij S_ij), l_ij = 1 where i and j are a pair, else -1

    S are logits: the scale (for SigLIP also the bias) times the inner products of normalized
    embeddings. Keep the scale a weight of the model, because a variable inside a loss never
    trains: its logarithm, from log(1 / 0.07), at most log 100, and compute S in float32.

    Rows depend on each other: each is a negative of all others. A pair of weight zero is no
    negative either; one of weight 2 counts as the pair given twice (for SigLIP with `pair_ids`).
    The value grows with the batch, and negatives of other devices are not gathered.

    Args:
        variant: `"clip"` or `"siglip"`.
        label_smoothing: Share of each target that is spread over the batch, from 0 to 1; only
            of `"clip"`.
        pair_ids: Whether `y_true` holds an integer for each row, equal for pairs that belong
            together, such as images with the same caption; otherwise `y_true` is ignored.
        reduction: See `BatchLoss`.
        name: Name of the loss.
        dtype: Dtype of the result; the computation is in float32 at least.

    Input shape:
        `y_pred`: `(batch, batch)`, images in rows and texts in columns; or, called directly, a
        mapping of two matrices, `logits_per_image` and `logits_per_text` (texts in rows).
        `y_true`: anything, or `(batch,)` with `pair_ids=True`. `sample_weight`: `(batch,)`.

    Output shape:
        `()`; `(batch,)` with `reduction=None`.

    Raises:
        ValueError: If a setting is out of range, or the matrix is not square.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.losses import CLIPContrastiveLoss
        >>> logits = np.array([[2.0, 0.0], [0.0, 2.0]])
        >>> round(float(CLIPContrastiveLoss()(np.zeros(2), logits)), 4)
        0.1269

    References:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        arXiv:2103.00020. Zhai et al., "Sigmoid Loss for Language Image Pre-Training",
        arXiv:2303.15343.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "loss_weights": "a row left out takes its column with it, which the check does not do"
    }

    def __init__(
        self,
        variant: str = "clip",
        label_smoothing: float = 0.0,
        pair_ids: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "clip_contrastive_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction=reduction, name=name, dtype=dtype)
        require_one_of(_VARIANTS, variant=variant)
        require_fractions(label_smoothing=label_smoothing)
        self.variant = variant
        self.label_smoothing = label_smoothing
        self.pair_ids = pair_ids

    def rows(
        self,
        y_true: Tensor,
        y_pred: Tensor | Mapping[str, Tensor],
        sample_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the value and the weight of each pair.

        Args:
            y_true: Pair numbers, or anything.
            y_pred: Logits.
            sample_weight: Weights of pairs.
        """
        by_text = None
        if isinstance(y_pred, Mapping):
            by_text = square(y_pred["logits_per_text"], self.wide_dtype)
            y_pred = y_pred["logits_per_image"]
        by_image = square(y_pred, self.wide_dtype)
        weight = pair_weights(by_image, mask_of(y_pred), sample_weight)
        by_text = ops.transpose(by_image) if by_text is None else by_text
        positive = self._positives(y_true, by_image)
        if self.variant == "siglip":
            sides = (_sigmoid_rows(s, positive, weight) for s in (by_image, by_text))
        else:
            sides = (self._softmax_rows(s, positive, weight) for s in (by_image, by_text))
        return 0.5 * sum(sides), weight

    def _positives(self, y_true: Tensor, s: Tensor) -> Tensor:
        """Return 1 where image and text belong together."""
        if not self.pair_ids:
            rows = ops.arange(ops.shape(s)[0])
            return ops.cast(ops.equal(rows[:, None], rows[None, :]), s.dtype)
        ids = ops.reshape(ops.convert_to_tensor(y_true), (-1,))
        return ops.cast(ops.equal(ids[:, None], ids[None, :]), s.dtype)

    def _softmax_rows(self, s: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
        counted = ops.greater(weight, 0)
        both = ops.logical_and(counted[:, None], counted[None, :])
        s = ops.where(both, s, ops.zeros_like(s))
        # A candidate of weight w stands for w candidates.
        log_weight = ops.log(ops.where(counted, weight, ops.ones_like(weight)))
        candidates = ops.where(counted[None, :], s + log_weight[None, :], _NEVER)
        targets = positive * weight[None, :]
        targets = ratio(targets, ops.sum(targets, axis=-1, keepdims=True))
        spread = ratio(weight, ops.sum(weight))
        targets = (1.0 - self.label_smoothing) * targets + self.label_smoothing * spread
        return ops.logsumexp(candidates, axis=-1) - ops.sum(targets * s, axis=-1)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Pairs by row, pairs by number with smoothed targets, sigmoids."""
        traits = frozenset({"couples_batch"})
        pair = (TensorSpec((5,)), TensorSpec((5, 5)))
        yield Example(cls, {}, pair, traits=traits)
        numbered = (TensorSpec((5,), dtype="int32", low=0, high=3), TensorSpec((5, 5)))
        config = {"pair_ids": True, "label_smoothing": 0.1}
        yield Example(cls, config, numbered, traits=traits, name="pair_ids")
        yield Example(cls, {"variant": "siglip"}, pair, traits=traits, name="siglip")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Unknown variants, smoothing beyond the whole target."""
        yield Rejection(cls, {"variant": "simclr"}, "variant")
        yield Rejection(cls, {"label_smoothing": 2.0}, "label_smoothing")


def square(similarities: Tensor, dtype: str) -> Tensor:
    """Return a square matrix as a tensor.

    Args:
        similarities: `(batch, batch)`.
        dtype: Its dtype.

    Raises:
        ValueError: If it is not square.
    """
    s = ops.cast(ops.convert_to_tensor(similarities), dtype)
    if len(s.shape) != 2 or (None not in s.shape and s.shape[0] != s.shape[1]):
        raise ValueError(
            "`y_pred` must be a square matrix of similarities. "
            f"Received: y_pred of shape {tuple(s.shape)}"
        )
    return s


def pair_weights(s: Tensor, mask: Tensor | None, sample_weight: Tensor | None) -> Tensor:
    """Return the weight of each pair, `(batch,)`.

    Args:
        s: Similarities, `(batch, batch)`.
        mask: Mask of the similarities or of pairs, or `None`.
        sample_weight: `(batch,)` or `(batch, 1)`, or `None`.
    """
    weight = ops.ones_like(s[:, 0])
    if mask is not None:
        mask = ops.diagonal(mask) if len(mask.shape) == 2 else mask
        weight = weight * ops.cast(mask, s.dtype)
    if sample_weight is not None:
        weight = weight * ops.reshape(ops.cast(sample_weight, s.dtype), ops.shape(weight))
    return weight


def _sigmoid_rows(s: Tensor, positive: Tensor, weight: Tensor) -> Tensor:
    s = ops.where(ops.greater(weight, 0)[None, :], s, ops.zeros_like(s))
    return ops.sum(weight[None, :] * ops.softplus(-(2.0 * positive - 1.0) * s), axis=-1)
