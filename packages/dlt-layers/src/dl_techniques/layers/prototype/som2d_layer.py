"""Kohonen's self-organizing map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
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
from dl_techniques.layers.arguments import (
    require_one_of,
    require_pair,
    require_shares,
)
from dl_techniques.layers.prototype.decay import DECAYS, decayed
from dl_techniques.layers.prototype.distances import squared_distances

_NEIGHBORHOODS = ("gaussian", "bubble", "mexican_hat")


@component(
    "dl_techniques>SOM2dLayer",
    kind="layer",
    tags=("prototype", "clustering", "visualization"),
    since="0.1",
)
class SOM2dLayer(Layer):
    """Self-organizing map: a grid of prototypes whose neighbours resemble each other.

    b(x) = argmin_j |x - w_j|
    h_j(x) = exp(-d(j, b(x))^2 / (2 sigma^2)), d the distance on the grid
    "sequential": for each sample in order, w_j <- w_j + lr h_j(x) (x - w_j)
    "batch": w_j <- (1 - lr) w_j + lr sum_x h_j(x) x / sum_x h_j(x), where the last sum is positive

    The prototypes move when the layer is called in training, without gradients, and the outputs
    are those of the map before the step. One pass of `"sequential"` equals MiniSom's; `"batch"`
    is Kohonen's batch map, and takes the time of two products of matrices.

    With iteration t of T, the learning rate and sigma decay: `"asymptotic"` divides both by
    1 + 2 t / T; `"linear"` moves lr to 0 and sigma to 1; `"inverse"` divides lr by 1 + 100 t / T
    and sigma by 1 + t (sigma - 1) / T.

    Args:
        map_size: Number of prototypes, (rows, columns).
        initial_learning_rate: lr at the start, above 0 and at most 1.
        sigma: Radius of the neighbourhood at the start; `None` for half of the longer side.
        decay_function: `"asymptotic"`, `"linear"`, `"inverse"`, `None` for constants, or a
            function of (value, t, T); register it with Keras to save the layer.
        neighborhood_function: `"gaussian"`; `"bubble"` for 1 up to distance sigma; or
            `"mexican_hat"`, (1 - d^2 / sigma^2) times the Gaussian.
        update_mode: `"batch"` or `"sequential"`.
        max_iterations: T, the number of batches in all, or of samples for `"sequential"`.
        initializer: Initializer of the prototypes; `None` for uniform numbers from 0 to 1.
        **kwargs: Arguments of `keras.layers.Layer`.

    Input shape:
        `(batch, features)`; the features must be known.

    Output shape:
        Row and column of the nearest prototype, int32 `(batch, 2)`, and the distance to it, the
        quantization error, `(batch,)`.

    Raises:
        ValueError: If a number is out of range, a word is unknown, or the features are unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.layers import SOM2dLayer
        >>> layer = SOM2dLayer((2, 3))
        >>> place, error = layer(np.ones((4, 5), "float32"), training=True)
        >>> tuple(place.shape), tuple(error.shape), int(layer.iterations)
        ((4, 2), (4,), 1)

    References:
        Kohonen, "The Self-Organizing Map", Proceedings of the IEEE 78(9), 1990;
        Kohonen, "Essentials of the Self-Organizing Map", Neural Networks 37, 2013.
    """

    def __init__(
        self,
        map_size: tuple[int, int],
        initial_learning_rate: PositiveNumber = 0.5,
        sigma: PositiveNumber | None = None,
        decay_function: Any = "asymptotic",
        neighborhood_function: str = "gaussian",
        update_mode: Literal["batch", "sequential"] = "batch",
        max_iterations: Count = 1000,
        initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.map_size = require_pair(map_size=map_size)
        if decay_function is not None and not callable(decay_function):
            require_one_of(DECAYS, decay_function=decay_function)
        require_one_of(_NEIGHBORHOODS, neighborhood_function=neighborhood_function)
        require_shares(initial_learning_rate=initial_learning_rate)
        self.initial_learning_rate = initial_learning_rate
        self.sigma = sigma
        self.decay_function = decay_function
        self.neighborhood_function = neighborhood_function
        self.update_mode = update_mode
        self.max_iterations = max_iterations
        self.initializer = keras.initializers.get(initializer)
        rows, columns = np.indices(self.map_size).reshape(2, -1)
        squares = (rows[:, None] - rows) ** 2 + (columns[:, None] - columns) ** 2
        self._grid_distances = squares.astype("float32")

    def build(self, input_shape: Shape) -> None:
        """Create the prototypes and the counter of iterations."""
        if len(input_shape) != 2 or input_shape[1] is None:
            raise ValueError(
                "The input must be (batch, features) with known features. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        initializer = self.initializer
        if initializer is None:
            initializer = keras.initializers.RandomUniform(0.0, 1.0)
        self.weights_map = self.add_weight(
            name="weights_map",
            shape=(*self.map_size, input_shape[1]),
            initializer=initializer,
            trainable=False,
            autocast=False,
        )
        self.iterations = self.add_weight(
            name="iterations",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def call(self, inputs: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Find the nearest prototypes, and move the map in training."""
        x = upcast(inputs)
        prototypes = ops.cast(ops.convert_to_tensor(self.weights_map), x.dtype)
        prototypes = ops.reshape(prototypes, (-1, x.shape[-1]))
        nearest = _nearest(ops.stop_gradient(x), prototypes)
        if training:
            self._move(ops.stop_gradient(x), nearest, prototypes)
        squares = ops.sum(ops.square(x - ops.take(prototypes, nearest, axis=0)), axis=-1)
        # The root of zero has no gradient.
        error = ops.sqrt(ops.maximum(squares, 1e-12))
        columns = self.map_size[1]
        place = ops.stack([nearest // columns, nearest % columns], axis=-1)
        return place, ops.cast(error, self.compute_dtype)

    def _move(self, x: Tensor, nearest: Tensor, prototypes: Tensor) -> None:
        if self.update_mode == "batch":
            moved = self._batch_step(x, nearest, prototypes)
            steps: Any = 1
        else:
            moved = self._sequential_steps(x, prototypes)
            steps = ops.shape(x)[0]
        self.weights_map.assign(ops.reshape(moved, self.weights_map.shape))
        self.iterations.assign_add(steps)

    def _batch_step(self, x: Tensor, nearest: Tensor, prototypes: Tensor) -> Tensor:
        rate, sigma = self._settings(ops.convert_to_tensor(self.iterations), x.dtype)
        influence = self._influence(nearest, sigma)
        total = ops.sum(influence, axis=0)[:, None]
        mean = ops.matmul(ops.transpose(influence), x) / ops.where(total > 0, total, 1.0)
        return ops.where(total > 0, prototypes + rate * (mean - prototypes), prototypes)

    def _sequential_steps(self, x: Tensor, prototypes: Tensor) -> Tensor:
        start = ops.convert_to_tensor(self.iterations)

        def step(index: Any, prototypes: Tensor) -> Tensor:
            sample = ops.take(x, index, axis=0)
            rate, sigma = self._settings(start + index, x.dtype)
            influence = self._influence(_nearest(sample[None], prototypes), sigma)
            return prototypes + rate * influence[0][:, None] * (sample - prototypes)

        return ops.fori_loop(0, ops.shape(x)[0], step, prototypes)

    def _settings(self, iteration: Tensor, dtype: Any) -> tuple[Any, Any]:
        """Return the learning rate and sigma at an iteration."""
        sigma = max(self.map_size) / 2 if self.sigma is None else self.sigma
        if self.decay_function is None:
            return self.initial_learning_rate, sigma
        last = self.max_iterations
        t = ops.cast(ops.minimum(iteration, last), dtype)
        if callable(self.decay_function):
            rate = self.decay_function(self.initial_learning_rate, t, last)
            return rate, self.decay_function(sigma, t, last)
        return decayed(self.decay_function, self.initial_learning_rate, sigma, t / last)

    def _influence(self, nearest: Tensor, sigma: Any) -> Tensor:
        """Return h of each prototype for each sample."""
        table = ops.convert_to_tensor(self._grid_distances)
        share = ops.take(table, nearest, axis=0) / (sigma * sigma)
        if self.neighborhood_function == "bubble":
            return ops.cast(share <= 1, share.dtype)
        gaussian = ops.exp(-0.5 * share)
        return gaussian * (1 - share) if self.neighborhood_function == "mexican_hat" else gaussian

    def topographic_error(self, inputs: Tensor) -> float:
        """Return the share of samples whose two nearest prototypes are not neighbours.

        Args:
            inputs: `(batch, features)`.
        """
        prototypes = ops.reshape(self.weights_map, (-1, self.weights_map.shape[-1]))
        distances = squared_distances(ops.convert_to_tensor(inputs, "float32"), prototypes)
        _, pair = ops.top_k(-distances, 2)
        first, second = np.moveaxis(ops.convert_to_numpy(pair), -1, 0)
        # The eight neighbours are at most the diagonal away.
        return float(np.mean(self._grid_distances[first, second] > 2))

    def compute_output_shape(self, input_shape: Shape) -> tuple[Shape, Shape]:
        """Places `(batch, 2)` and errors `(batch,)`."""
        return (input_shape[0], 2), (input_shape[0],)

    def compute_output_spec(self, inputs: Any, **_: Any) -> Any:
        """Int32 places, and errors of the compute dtype."""
        place, error = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(place, "int32"), keras.KerasTensor(error, self.compute_dtype)

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The batch map, the sequential one, and the other neighbourhoods."""
        samples, traits = TensorSpec((5, 4)), frozenset({"changes_in_training", "hides_nan"})
        yield Example(cls, {"map_size": (3, 4)}, samples, traits=traits)
        sequential = {"map_size": (2, 3), "update_mode": "sequential", "sigma": 0.8}
        sequential |= {"decay_function": "inverse", "neighborhood_function": "mexican_hat"}
        yield Example(cls, sequential, samples, traits=traits, name="sequential")
        bubble = {"map_size": 3, "neighborhood_function": "bubble", "decay_function": "linear"}
        yield Example(cls, bubble, samples, traits=traits, name="bubble")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers and words."""
        plain = {"map_size": (2, 2)}
        yield Rejection(cls, {"map_size": (2, 0)}, "map_size")
        yield Rejection(cls, {**plain, "initial_learning_rate": 1.5}, "initial_learning_rate")
        yield Rejection(cls, {**plain, "decay_function": "fast"}, "decay_function")
        yield Rejection(cls, {**plain, "neighborhood_function": "cone"}, "neighborhood_function")
        yield Rejection(cls, plain, "input_shape", build=(2, 3, 4))


def _nearest(x: Tensor, prototypes: Tensor) -> Tensor:
    return ops.cast(ops.argmin(squared_distances(x, prototypes), axis=-1), "int32")
