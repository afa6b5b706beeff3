"""Retrieval recall over a whole set of images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from dl_techniques.core import Tensor, component

# So many similarities are held at a time: 64 MiB in float64, whatever the size of the set.
_HELD = 2**23


@component(
    "dl_techniques>retrieval_recall",
    kind="function",
    tags=("contrastive", "retrieval", "vision-language"),
    paper="arXiv:2103.00020",
    since="0.1",
)
def retrieval_recall(
    img_emb: Tensor,
    txt_emb: Tensor,
    ks: int | Sequence[int] = (1, 5, 10),
    img_of_txt: Sequence[int] | None = None,
) -> dict[str, dict[int, float]]:
    """Share of queries that find a partner among their k best candidates, in both directions.

    rank_q = #{c not q's own: S_qc >= max over q's own o of S_qo}, recall@k = mean_q [rank_q < k],
    with S the inner products of the embeddings

    Every image looks among all texts, and every text among all images; unlike `CLIPAccuracy`,
    which sees one batch, the value depends on nothing but the set. An image with several captions
    hits with its best one, and they do not compete with each other. Ties count against the pair,
    so that collapsed embeddings, all equal, score no hit: what differs from the own similarity by
    no more than the rounding of such a product is a tie, and so is NaN. `k` may exceed the number
    of candidates; then every query hits.

    Args:
        img_emb: `(images, features)`. Normalize both embeddings first if the cosine is meant.
        txt_emb: `(texts, features)`.
        ks: The k, one or several.
        img_of_txt: For each text the row of its image; `None` if text i belongs to image i. An
            image without a text is a candidate but no query.

    Returns:
        `"image_to_text"` and `"text_to_image"` -> k -> recall, from 0 to 1.

    Raises:
        ValueError: If the embeddings are no matrices of one width, there is no pair, a k is no
            positive integer, or `img_of_txt` is not one row of `img_emb` for each text.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.metrics import retrieval_recall
        >>> images = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> texts = np.array([[0.9, 0.1], [0.6, 0.5], [0.8, 0.6]])  # the last one is of image 1
        >>> retrieval_recall(images, texts, ks=(1, 2), img_of_txt=[0, 0, 1])
        {'image_to_text': {1: 1.0, 2: 1.0}, 'text_to_image': {1: 0.6666666666666666, 2: 1.0}}

    References:
        Radford et al., "Learning Transferable Visual Models From Natural Language Supervision",
        arXiv:2103.00020. Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments for Generating
        Image Descriptions", arXiv:1412.2306 (the protocol with five captions an image).
    """
    images, texts = _matrix(img_emb, "img_emb"), _matrix(txt_emb, "txt_emb")
    if images.shape[1] != texts.shape[1]:
        raise ValueError(
            "`img_emb` and `txt_emb` must have the same number of features. Received: img_emb of "
            f"shape {images.shape}, txt_emb of shape {texts.shape}"
        )
    wanted = _positive_integers(ks)
    owners = _owners(img_of_txt, len(images), len(texts))
    rows = np.arange(len(images))
    directions = {
        "image_to_text": _ranks(images, rows, texts, owners),
        "text_to_image": _ranks(texts, owners, images, rows),
    }
    return {
        name: {k: float(np.mean(ranks < k)) for k in wanted} for name, ranks in directions.items()
    }


def _matrix(embeddings: Any, name: str) -> Any:
    matrix = np.asarray(ops.convert_to_numpy(embeddings), dtype="float64")
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(
            f"`{name}` must be a matrix with a row for each embedding. "
            f"Received: {name} of shape {matrix.shape}"
        )
    return matrix


def _positive_integers(ks: Any) -> list[int]:
    given = list(ks) if np.iterable(ks) else [ks]
    whole = all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in given)
    if not given or not whole or min(given) < 1:
        raise ValueError(f"`ks` must be positive integers. Received: ks={ks!r}")
    return [int(k) for k in given]


def _owners(img_of_txt: Any, images: int, texts: int) -> Any:
    """For each text the row of its image."""
    if img_of_txt is None:
        if images != texts:
            raise ValueError(
                "`img_of_txt` must say which image a text belongs to, unless there is one text "
                f"for each image. Received: img_of_txt=None, {images} images, {texts} texts"
            )
        return np.arange(texts)
    owners = np.asarray(ops.convert_to_numpy(img_of_txt))
    valid = owners.shape == (texts,) and owners.dtype.kind in "iu"
    if not valid or owners.min() < 0 or owners.max() >= images:
        raise ValueError(
            f"`img_of_txt` must hold one row of `img_emb`, from 0 to {images - 1}, for each of "
            f"the {texts} texts. Received: img_of_txt={img_of_txt!r}"
        )
    return owners


def _ranks(queries: Any, labels: Any, candidates: Any, candidate_labels: Any) -> Any:
    """Return how many candidates of other labels are no worse than the best of the query's own."""
    lengths = np.linalg.norm(candidates, axis=1)
    longest = np.max(lengths, where=np.isfinite(lengths), initial=0.0)
    # Equal embeddings may have products that differ in the last bits.
    rounding = queries.shape[1] * np.finfo("float64").eps * longest
    asked = np.flatnonzero(np.isin(labels, candidate_labels))
    held = max(1, _HELD // len(candidates))
    ranks = []
    for part in (asked[start : start + held] for start in range(0, len(asked), held)):
        scores = queries[part] @ candidates.T
        own = labels[part, None] == candidate_labels[None, :]
        best = np.max(np.where(own, scores, -np.inf), axis=1)
        slack = rounding * np.linalg.norm(queries[part], axis=1)
        # Counting what is worse makes NaN count against the query.
        worse = scores < (best - slack)[:, None]
        ranks.append(np.sum(~(own | worse), axis=1))
    return np.concatenate(ranks)
