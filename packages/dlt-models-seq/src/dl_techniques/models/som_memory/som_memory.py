"""A self-organizing map as a memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from dl_techniques.core import (
    Count,
    Example,
    InitializerLike,
    Model,
    Rejection,
    Shape,
    Tensor,
    TensorSpec,
    component,
)
from dl_techniques.layers import SOM2dLayer
from dl_techniques.layers.arguments import require_integers
from dl_techniques.models.som_memory.progress import Progress


@component(
    "dl_techniques>SOMMemory",
    kind="model",
    tags=("prototype", "clustering", "memory", "visualization"),
    since="0.1",
)
class SOMMemory(Model):
    """Associative memory on a self-organizing map: stores prototypes, recalls, classifies.

    b(x) = argmin_j |x - w_j|; recall(x) = w_b(x);
    class(x) = argmax_c n_{b(x),c}, with n_jc the samples of class c whose nearest prototype is j

    `fit_som` moves the map, `fit_labels` counts the classes. `fit` moves the map as well, by the
    updates of `SOM2dLayer` and without gradients; its loss is the quantization error.

    Args:
        map_size: Number of prototypes, (rows, columns).
        num_classes: Number of classes to count; `None` for a memory without classes.
        initial_learning_rate: Learning rate at the start, above 0 and at most 1.
        sigma: Radius of the neighbourhood at the start; `None` for half of the longer side.
        decay_function: `"asymptotic"`, `"linear"`, `"inverse"` or `None`; see `SOM2dLayer`.
        neighborhood_function: `"gaussian"`, `"bubble"` or `"mexican_hat"`.
        update_mode: `"batch"` or `"sequential"`.
        max_iterations: Batches, or samples for `"sequential"`, over which the settings decay;
            `fit_som` sets it.
        initializer: Initializer of the prototypes; `None` for uniform numbers from 0 to 1.
        **kwargs: Arguments of `keras.Model`.

    Input shape:
        `(batch, features)`; the features must be known.

    Output shape:
        A dictionary: `error`, the distance to the nearest prototype, `(batch,)`; `place`, its row
        and column, int32 `(batch, 2)`.

    Raises:
        ValueError: If a number is out of range, a word is unknown, or the features are unknown.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.models.som_memory import SOMMemory
        >>> x = np.array([[0.0, 0.0], [1.0, 1.0]] * 4, "float32")
        >>> memory = SOMMemory((2, 2), num_classes=2, sigma=0.5)
        >>> errors = memory.fit_som(x, epochs=20, progress=False)
        >>> memory.fit_labels(x, np.array([0, 1] * 4))
        >>> memory.classify(x[:2]).tolist()
        [0, 1]

    References:
        Kohonen, "The Self-Organizing Map", Proceedings of the IEEE 78(9), 1990; the u-matrix:
        Ultsch and Siemon, "Kohonen's Self Organizing Feature Maps for Exploratory Data Analysis",
        INNC 1990.
    """

    def __init__(
        self,
        map_size: tuple[int, int] = (10, 10),
        num_classes: Count | None = None,
        initial_learning_rate: float = 0.5,
        sigma: float | None = None,
        decay_function: Any = "asymptotic",
        neighborhood_function: str = "gaussian",
        update_mode: Literal["batch", "sequential"] = "batch",
        max_iterations: int = 1000,
        initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.som = SOM2dLayer(
            map_size,
            initial_learning_rate,
            sigma=sigma,
            decay_function=decay_function,
            neighborhood_function=neighborhood_function,
            update_mode=update_mode,
            max_iterations=max_iterations,
            initializer=initializer,
            dtype=self.dtype_policy,
            name="som",
        )
        self.map_size = self.som.map_size
        self.num_classes = num_classes
        self.initial_learning_rate = initial_learning_rate
        self.sigma = sigma
        self.decay_function = decay_function
        self.neighborhood_function = neighborhood_function
        self.update_mode = update_mode
        self.max_iterations = max_iterations
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape) -> None:
        """Build the map and the counts of classes."""
        self.som.build(input_shape)
        self.class_counts = None
        if self.num_classes is not None:
            self.class_counts = self.add_weight(
                name="class_counts",
                shape=(*self.map_size, self.num_classes),
                initializer="zeros",
                trainable=False,
                autocast=False,
            )

    def call(self, inputs: Tensor, training: bool | None = None) -> dict[str, Tensor]:
        """Find the nearest prototypes, and move the map in training."""
        place, error = self.som(inputs, training=training)
        return {"error": error, "place": place}

    def compute_output_shape(self, input_shape: Shape) -> dict[str, Shape]:
        """Return errors `(batch,)` and places `(batch, 2)`."""
        return {"error": (input_shape[0],), "place": (input_shape[0], 2)}

    def compute_output_spec(self, inputs: Any, **_: Any) -> Any:
        """Return errors of the compute dtype and int32 places."""
        place, error = self.som.compute_output_spec(inputs)
        return {"error": error, "place": place}

    def compute_loss(
        self,
        x: Any = None,  # noqa: ARG002  # Keras's signature
        y: Any = None,  # noqa: ARG002
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,  # noqa: ARG002
    ) -> Tensor:
        """Return the mean quantization error.

        Args:
            x: Inputs.
            y: Not used.
            y_pred: The model's answer.
            sample_weight: `(batch,)`, or `None`.
            training: Whether the map is being trained.
        """
        error = ops.cast(y_pred["error"], "float32")
        if sample_weight is not None:
            error = error * ops.cast(ops.reshape(sample_weight, (-1,)), error.dtype)
        return ops.mean(error)

    def fit_som(
        self,
        x: Any,
        epochs: int = 10,
        batch_size: int = 32,
        shuffle: bool = True,
        progress: bool = True,
    ) -> list[float]:
        """Move the map from its present prototypes, with settings that decay over all epochs.

        An interrupt keeps what has been learned.

        Args:
            x: Samples `(n, features)`.
            epochs: Passes over the samples.
            batch_size: Samples of a step.
            shuffle: Whether to shuffle before each pass.
            progress: Whether to show a bar.

        Returns:
            The mean quantization error of each epoch.
        """
        require_integers(epochs=epochs, batch_size=batch_size)
        x = np.asarray(x)
        if not self.built:
            self.build((None, *x.shape[1:]))
        steps = len(x) if self.update_mode == "sequential" else -(-len(x) // batch_size)
        self.max_iterations = self.som.max_iterations = epochs * steps
        self.som.iterations.assign(0)
        # Compiled anew: the number of steps is a constant of the compiled function.
        self.compile("sgd")
        bar = Progress(epochs, disable=not progress)
        settings = {"epochs": epochs, "batch_size": batch_size, "shuffle": shuffle, "verbose": 0}
        with warnings.catch_warnings():
            # The map has no weights that an optimizer moves.
            warnings.filterwarnings("ignore", message=".*trainable weights.*")
            self.fit(x, callbacks=[bar], **settings)
        return bar.losses

    def fit_labels(self, x: Any, y: Any, batch_size: int = 256) -> None:
        """Count the classes of labelled samples at their nearest prototypes, from zero on.

        Args:
            x: Samples `(n, features)`.
            y: Their classes, integers from 0 on, `(n,)`.
            batch_size: Batch size of `predict`.

        Raises:
            ValueError: If the memory has no classes, or a class is out of range.
        """
        counts = self._counts()
        y = np.asarray(y)
        if y.shape != (len(x),) or y.dtype.kind not in "iu":
            raise ValueError(
                f"`y` must be one integer for each sample. Received: shape={y.shape}, {y.dtype}"
            )
        if y.size and not (y.min() >= 0 and y.max() < self.num_classes):
            raise ValueError(
                f"`y` must be from 0 to num_classes - 1 = {(self.num_classes or 0) - 1}. "
                f"Received: {y.min()} to {y.max()}"
            )
        rows, columns = self._places(x, batch_size).T
        table = np.zeros(counts.shape, "float32")
        np.add.at(table, (rows, columns, y), 1.0)
        counts.assign(table)

    def recall(self, x: Any, batch_size: int = 256) -> Any:
        """Return the nearest prototype of each sample, a NumPy array `(n, features)`.

        Args:
            x: Samples, noisy ones for example.
            batch_size: Batch size of `predict`.
        """
        rows, columns = self._places(x, batch_size).T
        return self.prototypes[rows, columns]

    def classify(self, x: Any, batch_size: int = 256) -> Any:
        """Return the class that is most frequent at the nearest prototype, `(n,)`.

        Prototypes without labelled samples take the counts of the nearest prototype with some.

        Args:
            x: Samples `(n, features)`.
            batch_size: Batch size of `predict`.

        Raises:
            ValueError: If the memory has no classes, or nothing was counted.
        """
        counts = ops.convert_to_numpy(self._counts()).reshape(-1, self.num_classes)
        known = np.flatnonzero(counts.sum(-1))
        if not known.size:
            raise ValueError("The memory has no classes. Call `fit_labels` before `classify`.")
        prototypes = self.prototypes.reshape(len(counts), -1)
        squares = ((prototypes[:, None] - prototypes[known]) ** 2).sum(-1)
        classes = counts[known[squares.argmin(-1)]].argmax(-1)
        rows, columns = self._places(x, batch_size).T
        return classes[rows * self.map_size[1] + columns]

    @property
    def prototypes(self) -> Any:
        """The prototypes, a NumPy array `(rows, columns, features)`."""
        return ops.convert_to_numpy(self.som.weights_map)

    def quantization_error(self, x: Any, batch_size: int = 256) -> float:
        """Return the mean distance of samples to their nearest prototypes.

        Args:
            x: Samples `(n, features)`.
            batch_size: Batch size of `predict`.
        """
        return float(np.mean(self.predict(x, batch_size=batch_size, verbose=0)["error"]))

    def topographic_error(self, x: Any) -> float:
        """Return the share of samples whose two nearest prototypes are not neighbours.

        Args:
            x: Samples `(n, features)`.
        """
        return self.som.topographic_error(x)

    def u_matrix(self) -> Any:
        """Return the mean distance of each prototype to its up to eight neighbours.

        High values are borders between clusters. A NumPy array `(rows, columns)`.
        """
        w = np.pad(self.prototypes, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
        rows, columns = self.map_size
        moves = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
        centre = w[1:-1, 1:-1]
        neighbours = np.stack([w[i : i + rows, j : j + columns] for i, j in moves])
        distances = np.sqrt(((neighbours - centre) ** 2).sum(-1))
        there = np.isfinite(distances)
        return np.where(there, distances, 0).sum(0) / np.maximum(there.sum(0), 1)

    def _counts(self) -> Any:
        if self.num_classes is None:
            raise ValueError(
                "`num_classes` must be given to the constructor. Received: num_classes=None"
            )
        if not self.built:
            raise ValueError("The memory must be built. Received: built=False")
        return self.class_counts

    def _places(self, x: Any, batch_size: int) -> Any:
        return self.predict(np.asarray(x), batch_size=batch_size, verbose=0)["place"]

    @classmethod
    def examples(cls) -> Iterator[Example]:
        """The default, and a sequential map with classes."""
        samples, traits = TensorSpec((5, 4)), frozenset({"changes_in_training", "hides_nan"})
        yield Example(cls, {}, samples, traits=traits)
        config = {"map_size": (2, 3), "num_classes": 2, "update_mode": "sequential"}
        config |= {"decay_function": "linear", "neighborhood_function": "bubble"}
        yield Example(cls, config, samples, traits=traits, name="sequential")

    @classmethod
    def rejections(cls) -> Iterator[Rejection]:
        """Invalid numbers and words."""
        yield Rejection(cls, {"map_size": (2, 0)}, "map_size")
        yield Rejection(cls, {"initial_learning_rate": 0.0}, "initial_learning_rate")
        yield Rejection(cls, {"sigma": 0.0}, "sigma")
        yield Rejection(cls, {"decay_function": "fast"}, "decay_function")
        yield Rejection(cls, {"neighborhood_function": "cone"}, "neighborhood_function")
        yield Rejection(cls, {"max_iterations": 0}, "max_iterations")
        yield Rejection(cls, {}, "input_shape", build=(2, 3, 4))
