"""Retrieval accuracy of paired embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from keras import ops

from dl_techniques.core import Example, Metric, Rejection, Tensor, TensorSpec, component
from dl_techniques.losses.clip_contrastive_loss import pair_weights, square
from dl_techniques.losses.masks import mask_of

_DIRECTIONS = ("mean", "image_to_text", "text_to_image")


@component(
    "dl_techniques>CLIPAccuracy",
    kind="metric",
    tags=("contrastive", "retrieval", "vision-language"),
    paper="arXiv:2103.00020",
    since="0.1",
)
class CLIPAccuracy(Metric):
    """Top-k retrieval accuracy of a batch of image and text pairs.

    rank_i = #{j: S_ij > S_ii} + #{j != i: S_ij = S_ii}, hit_i = [rank_i < k]; the accuracy is the
    share of hits.

    S is the similarity matrix whose row i is image i and whose column j is text j. Ties count
    against the pair, so that collapsed embeddings, all equal, score no hit. The state holds
    hits and pairs: the value of an epoch is exact over its batches. It depends on the batch
    size, because more candidates are harder; `k >= batch` always hits.

    Args:
        top_k: The k.
        direction: `"image_to_text"` looks along rows, `"text_to_image"` along columns, `"mean"`
            takes the mean of both.
        name: Name of the metric.
        dtype: Dtype of its state.

    Input shape:
        `y_pred`: `(batch, batch)` similarities, or (called directly) a mapping of two such
        matrices, `logits_per_image` and `logits_per_text`, the second with texts in rows. `y_true`
        is ignored. `sample_weight`: `(batch,)`, one weight a pair. A mask of `y_pred` hides pairs
        as queries; they stay candidates, as pairs of weight zero do.

    Output shape:
        `()`.

    Raises:
        ValueError: If `top_k` or `direction` is out of range, or the matrix is not square.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import CLIPAccuracy
        >>> metric = CLIPAccuracy()
        >>> metric.update_state(None, np.array([[2.0, 1.0], [3.0, 1.5]]))
        >>> float(metric.result())  # one image of two finds its text, and so does one text
        0.5

    References:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        arXiv:2103.00020.
    """

    def __init__(
        self,
        top_k: int = 1,
        direction: str = "mean",
        name: str | None = "clip_accuracy",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1:
            raise ValueError(f"`top_k` must be a positive integer. Received: top_k={top_k!r}")
        if direction not in _DIRECTIONS:
            raise ValueError(
                f"`direction` must be one of {_DIRECTIONS}. Received: direction={direction!r}"
            )
        self.top_k = top_k
        self.direction = direction
        self.hits = self.add_variable(shape=(), initializer="zeros", name="hits")
        self.pairs = self.add_variable(shape=(), initializer="zeros", name="pairs")

    def update_state(
        self,
        y_true: Tensor | None,
        y_pred: Tensor | Mapping[str, Tensor],
        sample_weight: Tensor | None = None,
    ) -> None:
        """Add a batch.

        Args:
            y_true: Ignored: pair i belongs to pair i.
            y_pred: The similarities.
            sample_weight: One weight a pair.
        """
        del y_true
        if isinstance(y_pred, Mapping):
            by_image, by_text = y_pred["logits_per_image"], y_pred["logits_per_text"]
        else:
            by_image, by_text = y_pred, None
        mask = mask_of(by_image)
        by_image = square(by_image, self.dtype)
        if self.direction == "image_to_text":
            hits = self._hits(by_image)
        else:
            by_text = ops.transpose(by_image) if by_text is None else square(by_text, self.dtype)
            hits = self._hits(by_text)
            if self.direction == "mean":
                hits = 0.5 * (hits + self._hits(by_image))
        weight = pair_weights(by_image, mask, sample_weight)
        self.hits.assign_add(ops.sum(hits * weight))
        self.pairs.assign_add(ops.sum(weight))

    def result(self) -> Tensor:
        """The share of hits; zero before the first pair."""
        return ops.divide_no_nan(self.hits, self.pairs)

    def _hits(self, s: Tensor) -> Tensor:
        """1 for each row whose diagonal entry is among its k largest."""
        own = ops.expand_dims(ops.diagonal(s), -1)
        # Counting what is smaller makes a NaN rank last instead of first.
        smaller = ops.sum(ops.cast(ops.less(s, own), "int32"), axis=-1)
        rank = ops.shape(s)[1] - 1 - smaller
        return ops.cast(rank < self.top_k, self.dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Both directions, and the two best of one."""
        pair = (TensorSpec((5,)), TensorSpec((5, 5)))
        traits = frozenset({"couples_batch"})
        yield Example(cls, {}, pair, traits=traits)
        texts = {"top_k": 2, "direction": "image_to_text"}
        yield Example(cls, texts, pair, traits=traits, name="top_2_texts")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """No candidate, an unknown direction."""
        yield Rejection(cls, {"top_k": 0}, "top_k")
        yield Rejection(cls, {"direction": "both"}, "direction")
