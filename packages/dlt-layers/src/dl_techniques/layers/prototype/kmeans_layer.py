"""Clustering by k-means within a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    Fraction,
    InitializerLike,
    Layer,
    PositiveNumber,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
    upcast,
)
from dl_techniques.initializers.orthonormal_initializer import OrthonormalInitializer
from dl_techniques.layers.parts import features_of
from dl_techniques.layers.prototype.distances import squared_distances


@component(
    "dl_techniques>KMeansLayer",
    kind="layer",
    tags=("prototype", "clustering"),
    since="0.1",
)
class KMeansLayer(Layer):
    """K-means clustering that learns from each batch, without gradients.

    a = softmax(-|x - c_j|^2 / T), or one at the nearest centroid and zero elsewhere
    "momentum": c_j <- m c_j + (1 - m) (sum_b a_bj x_b / sum_b a_bj)
    "counts":   n_j <- n_j + sum_b a_bj,  c_j <- c_j + sum_b a_bj (x_b - c_j) / n_j

    The centroids move when the layer is called in training; a centroid without samples stays.
    Hard assignments with momentum 0 are one step of Lloyd on the batch, and with counts the
    mini-batch algorithm of Sculley. The outputs are those of the centroids before the step.
    Gradients reach the inputs, through soft assignments, and never the centroids.

    Args:
        n_clusters: Number of centroids K.
        temperature: T of soft assignments.
        mode: `"soft"` or `"hard"`.
        update: `"momentum"` or `"counts"`.
        momentum: m, from 0 to 1.
        output_mode: `"assignments"` for a, or `"mixture"` for sum_j a_j c_j.
        centroid_initializer: Initializer of the centroids, `(K, features)`; `None` for
            orthonormal rows, or standard normal numbers if K exceeds the features.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, ..., features)`; the features must be known.

    Output shape:
        `(batch, ..., K)`, or the input's for `"mixture"`.

    Raises:
        ValueError: If a number is out of range, a word is unknown, or the features are unknown.

    Example:
        >>> from keras import ops
        >>> from dl_techniques.layers import KMeansLayer
        >>> layer = KMeansLayer(2, mode="hard", momentum=0.0)
        >>> x = ops.array([[4.0, 0.0], [6.0, 0.0], [0.0, 3.0]])
        >>> layer.build((3, 2))
        >>> _ = layer.centroids.assign([[1.0, 0.0], [0.0, 1.0]])
        >>> ops.convert_to_numpy(layer(x, training=True)).tolist()
        [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
        >>> ops.convert_to_numpy(layer.centroids).tolist()
        [[5.0, 0.0], [0.0, 3.0]]

    References:
        Lloyd, "Least Squares Quantization in PCM", IEEE Transactions on Information Theory 28(2),
        1982; Sculley, "Web-Scale K-Means Clustering", WWW 2010.
    """

    def __init__(
        self,
        n_clusters: Count,
        temperature: PositiveNumber = 1.0,
        mode: Literal["soft", "hard"] = "soft",
        update: Literal["momentum", "counts"] = "momentum",
        momentum: Fraction = 0.9,
        output_mode: Literal["assignments", "mixture"] = "assignments",
        centroid_initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.n_clusters = n_clusters
        self.temperature = temperature
        self.mode = mode
        self.update = update
        self.momentum = momentum
        self.output_mode = output_mode
        self.centroid_initializer = keras.initializers.get(centroid_initializer)

    def build(self, input_shape: Shape) -> None:
        """Create the centroids, and how many samples each has had."""
        features = features_of(input_shape)
        initializer = self.centroid_initializer
        if initializer is None:
            normal = keras.initializers.RandomNormal(stddev=1.0)
            initializer = OrthonormalInitializer() if self.n_clusters <= features else normal
        self.centroids = self.add_weight(
            name="centroids",
            shape=(self.n_clusters, features),
            initializer=initializer,
            trainable=False,
            autocast=False,
        )
        self.counts = self.add_weight(
            name="counts",
            shape=(self.n_clusters,),
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        """Assign samples to centroids, and move these in training."""
        x = upcast(inputs)
        centroids = ops.cast(ops.convert_to_tensor(self.centroids), x.dtype)
        distances = squared_distances(x, centroids)
        if self.mode == "hard":
            nearest = ops.argmin(ops.stop_gradient(distances), axis=-1)
            assignments = ops.one_hot(nearest, self.n_clusters, dtype=x.dtype)
        else:
            assignments = ops.softmax(-distances / self.temperature, axis=-1)
        if training:
            self._move(ops.stop_gradient(x), ops.stop_gradient(assignments), centroids)
        y = assignments
        if self.output_mode == "mixture":
            y = ops.matmul(assignments, centroids)
        return ops.cast(y, self.compute_dtype)

    def _move(self, x: Tensor, assignments: Tensor, centroids: Tensor) -> None:
        x = ops.reshape(x, (-1, centroids.shape[1]))
        shares = ops.transpose(ops.reshape(assignments, (-1, self.n_clusters)))
        sums, amounts = ops.matmul(shares, x), ops.sum(shares, axis=-1)
        counts = ops.cast(ops.convert_to_tensor(self.counts), x.dtype) + amounts
        if self.update == "counts":
            divisor, rate = counts, 1.0
        else:
            divisor, rate = amounts, 1.0 - self.momentum
        step = (sums - amounts[:, None] * centroids) / ops.where(divisor > 0, divisor, 1.0)[:, None]
        self.centroids.assign(centroids + rate * step)
        self.counts.assign(counts)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """A number for each cluster, or the input's shape."""
        if self.output_mode == "mixture":
            return input_shape
        return (*input_shape[:-1], self.n_clusters)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """Soft assignments; hard ones by counts; mixtures of sequences."""
        traits = frozenset({"changes_in_training"})
        yield Example(cls, {"n_clusters": 3}, TensorSpec((4, 5)), traits=traits)
        hard = {"n_clusters": 4, "mode": "hard", "update": "counts"}
        flat = traits | {"not_differentiable", "hides_nan"}
        yield Example(cls, hard, TensorSpec((6, 2)), traits=flat, name="hard")
        mixture = {"n_clusters": 2, "output_mode": "mixture", "temperature": 5.0, "momentum": 0.5}
        yield Example(cls, mixture, TensorSpec((2, 3, 4)), traits=traits, name="mixture")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers and words."""
        yield Rejection(cls, {"n_clusters": 2}, "input_shape", build=(2, None))
