"""The base of models that forecast quantiles of series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from dl_techniques.core import Model, Tensor
from dl_techniques.layers.arguments import require_integers, require_numbers
from dl_techniques.models.tirex.scaling import location_and_scale, pinball
from dl_techniques.models.tirex.series import as_given, as_series, at_levels

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Forecaster(Model):
    """Base of models of `(batch, length)` that give quantiles `(batch, steps, levels)`.

    A subclass sets `context_length` and `quantiles` and implements `predict_quantiles`. `fit`
    without a loss of its own minimizes the mean pinball loss in units of each input's deviation;
    targets that are NaN do not count.

    Attributes:
        context_length: Samples of a series that the model sees.
        quantiles: Levels of the quantiles.
    """

    expected_failures: ClassVar[Mapping[str, str]] = {
        "mixed_policies": "forecasts stay in float32: half precision rounds the values of series"
    }
    context_length: int
    quantiles: tuple[float, ...]

    def __init__(self, **kwargs: Any) -> None:
        # Half precision would round series before they are scaled.
        super().__init__(**{"autocast": False, **kwargs})

    def predict_quantiles(self, context: Any, horizon: int, **settings: Any) -> Any:
        """Forecast from series of the model's length.

        Args:
            context: `(batch, context_length)`, NaN = not observed.
            horizon: Number of steps.
            **settings: Of `forecast`.

        Returns:
            A NumPy array `(batch, horizon, levels)`.
        """
        raise NotImplementedError

    def forecast(
        self,
        context: Any,
        horizon: int | None = None,
        quantiles: Sequence[float] | None = None,
        batch_size: int = 32,
        **settings: Any,
    ) -> Any:
        """Forecast the quantiles of the steps that follow.

        Args:
            context: `(time,)`, `(batch, time)`, a list of series of any lengths, a pandas Series,
                or a pandas DataFrame with a series in each column; NaN = not observed. Of longer
                series the last `context_length` samples count.
            horizon: Number of steps; `None` for those that the model predicts at once.
            quantiles: Levels to return, interpolated between the model's; `None` for the model's.
            batch_size: Series of a step of computation.
            **settings: Of the model's own.

        Returns:
            `(batch, horizon, levels)`, or `(horizon, levels)` for a vector, in float32. For a
            pandas Series a DataFrame with the levels as columns, for a DataFrame one with columns
            (series, level), with the index that follows.

        Raises:
            ValueError: If a number is out of range, a level lies outside the model's, a series is
                no vector, or an index does not say how it goes on.
        """
        steps = self.native_horizon if horizon is None else horizon
        require_integers(horizon=steps, batch_size=batch_size)
        series = as_series(context, self.context_length)
        known = self.quantiles
        found = self.predict_quantiles(series.values, steps, batch_size=batch_size, **settings)
        levels = known if quantiles is None else tuple(quantiles)
        return as_given(at_levels(found, known, quantiles), levels, series.source)

    @property
    def native_horizon(self) -> int:
        """Number of steps that are predicted at once."""
        raise NotImplementedError

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the mean pinball loss of the observed targets plus the layers' losses.

        A loss given to `compile` replaces it.

        Args:
            x: Series `(batch, length)`.
            y: The steps that follow, `(batch, steps)`, NaN = not observed.
            y_pred: Quantiles `(batch, steps, levels)`.
            sample_weight: `(batch,)`, or `None`.
            training: Whether the model is being trained.

        Raises:
            ValueError: If there are no targets.
        """
        if getattr(self, "loss", None) is not None:
            inherited: Any = super()
            return inherited.compute_loss(x, y, y_pred, sample_weight, training)
        if y is None:
            raise ValueError("`y` must be given: the steps that follow. Received: y=None")
        y = ops.cast(y, y_pred.dtype)
        _, scale = location_and_scale(ops.cast(x, y_pred.dtype))
        losses = pinball(y, y_pred, self.quantiles) / scale
        if sample_weight is not None:
            weights = ops.cast(ops.reshape(sample_weight, (-1, 1)), losses.dtype)
            losses = losses * weights
        seen = ops.sum(ops.cast(ops.logical_not(ops.isnan(y)), losses.dtype))
        loss = ops.sum(losses) / ops.maximum(seen, 1.0)
        for extra in self.losses:
            loss = loss + ops.cast(extra, loss.dtype)
        return loss


def checked_levels(quantiles: Sequence[float]) -> tuple[float, ...]:
    """The levels of a model.

    Args:
        quantiles: The setting.

    Raises:
        ValueError: If they are not ascending numbers between 0 and 1.
    """
    levels = tuple(quantiles)
    for level in levels:
        require_numbers(quantiles=level)
    inside = bool(levels) and all(0 < level < 1 for level in levels)
    if not inside or any(a >= b for a, b in pairwise(levels)):
        raise ValueError(
            "`quantiles` must be ascending numbers between 0 and 1. "
            f"Received: quantiles={quantiles!r}"
        )
    return levels


def predicted(model: Any, context: Any, batch_size: int) -> Any:
    """The outputs of a model of a NumPy array, in float32.

    Args:
        model: The model.
        context: Its input.
        batch_size: Batch size of `predict`.
    """
    return np.asarray(model.predict(context, batch_size=batch_size, verbose=0), "float32")


class Ahead(keras.Model):  # type: ignore[misc]  # Keras has no types
    """The last patches of a model's forecast, compiled once for each number of patches.

    Args:
        model: The model, with a method `ahead`.
        patches: How many patches to predict.
    """

    def __init__(self, model: Any, patches: int) -> None:
        super().__init__(autocast=False, dtype=model.dtype_policy)
        self.model = model
        self.patches = patches

    def call(self, series: Tensor) -> Tensor:
        """Predict the quantiles.

        Args:
            series: `(batch, length)`.
        """
        return self.model.ahead(series, self.patches)
