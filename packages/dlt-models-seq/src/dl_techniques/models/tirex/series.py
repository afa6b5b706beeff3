"""Series in the forms that users have them, as arrays and back."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

# Levels are compared as they are written.
_DIGITS = 9


class Series(NamedTuple):
    """Series of one length."""

    values: Any
    """`(batch, length)` in float32, NaN = not observed."""
    source: Any
    """The object that they come from."""


def as_series(context: Any, length: int) -> Series:
    """The last `length` samples of each series, with NaN before those that are shorter.

    Args:
        context: `(time,)`, `(batch, time)`, a list of `(time,)` of any lengths, a pandas Series,
            or a pandas DataFrame with a series in each column.
        length: Number of samples.

    Raises:
        ValueError: If there is no series, or one is no vector of numbers.
    """
    if _is_pandas(context, "DataFrame"):
        rows = list(context.to_numpy(dtype="float64", na_value=np.nan).T)
    elif _is_pandas(context, "Series"):
        rows = [context.to_numpy(dtype="float64", na_value=np.nan)]
    elif isinstance(context, list | tuple) and np.ndim(context[0] if context else 0):
        rows = list(context)
    else:
        array = np.asarray(context, dtype="float64")
        if array.ndim not in {1, 2}:
            raise ValueError(
                "`context` must be (time,), (batch, time) or a list of series. "
                f"Received: context of shape {array.shape}"
            )
        rows = list(array[None] if array.ndim == 1 else array)
    if not rows or (len(rows) == 1 and not len(rows[0])):
        raise ValueError(f"`context` must hold at least one sample. Received: context={context!r}")
    values = np.full((len(rows), length), np.nan, "float32")
    for place, row in zip(values, rows, strict=True):
        samples = np.asarray(row, dtype="float64")
        if samples.ndim != 1 or np.isinf(samples).any():
            raise ValueError(
                "Each series of `context` must be a vector of finite numbers or NaN. "
                f"Received: context with a series of shape {samples.shape}"
            )
        kept = samples[-length:]
        place[length - len(kept) :] = kept
    return Series(values, context)


def at_levels(forecasts: Any, known: Sequence[float], wanted: Sequence[float] | None) -> Any:
    """Quantiles at other levels, by linear interpolation between the model's.

    Args:
        forecasts: `(batch, steps, known levels)`.
        known: The model's levels, ascending.
        wanted: The levels to return; `None` for the model's.

    Raises:
        ValueError: If a level lies outside the model's.
    """
    if wanted is None:
        return forecasts
    levels = np.asarray(list(wanted), "float64").round(_DIGITS)
    have = np.asarray(known, "float64").round(_DIGITS)
    if not len(levels) or levels.min() < have[0] or levels.max() > have[-1]:
        raise ValueError(
            f"`quantiles` must be levels from {have[0]:g} to {have[-1]:g}, which the model "
            f"predicts. Received: quantiles={list(wanted)}"
        )
    right = np.clip(np.searchsorted(have, levels), 1, max(len(have) - 1, 1))
    if len(have) == 1:
        return np.repeat(forecasts, len(levels), axis=-1)
    share = ((levels - have[right - 1]) / (have[right] - have[right - 1])).astype("float32")
    return forecasts[..., right - 1] * (1 - share) + forecasts[..., right] * share


def as_given(forecasts: Any, levels: Sequence[float], source: Any) -> Any:
    """Forecasts in the form of their series.

    Args:
        forecasts: `(batch, steps, levels)`.
        levels: The levels.
        source: What the series came from.

    Returns:
        `(steps, levels)` for a vector; a DataFrame with a column for each level for a Series,
        for each column and level for a DataFrame; the array for the rest.

    Raises:
        ValueError: If the index of a pandas object does not say how it goes on.
    """
    if _is_pandas(source, "Series") or _is_pandas(source, "DataFrame"):
        import pandas

        index = following(source.index, forecasts.shape[1])
        if _is_pandas(source, "Series"):
            return pandas.DataFrame(forecasts[0], index=index, columns=list(levels))
        columns = pandas.MultiIndex.from_product([source.columns, levels])
        flat = np.moveaxis(forecasts, 0, 1).reshape(forecasts.shape[1], -1)
        return pandas.DataFrame(flat, index=index, columns=columns)
    vector = not isinstance(source, list | tuple) or not np.ndim(source[0])
    return forecasts[0] if vector and np.ndim(source) == 1 else forecasts


def following(index: Any, steps: int) -> Any:
    """The index of the steps after a pandas index.

    Args:
        index: Of periods, of dates at equal distances, or of equally spaced integers.
        steps: Number of steps.

    Raises:
        ValueError: If it does not say how it goes on.
    """
    import pandas

    if isinstance(index, pandas.PeriodIndex):
        return pandas.period_range(index[-1] + 1, periods=steps, freq=index.freq)
    if isinstance(index, pandas.DatetimeIndex):
        frequency = index.freq or (index.inferred_freq if len(index) > 2 else None)
        if frequency is not None:
            return pandas.date_range(index[-1], periods=steps + 1, freq=frequency)[1:]
    elif index.dtype.kind in "iu" and len(index):
        distances = np.diff(index.to_numpy())
        distance = int(distances[0]) if len(distances) else 1
        if distance and (distances == distance).all():
            first = int(index[-1]) + distance
            return pandas.RangeIndex(first, first + steps * distance, distance)
    raise ValueError(
        "The index of `context` must be of periods, of dates with a frequency, or of equally "
        f"spaced integers. Received: {type(index).__name__} of {len(index)}"
    )


def _is_pandas(value: Any, name: str) -> bool:
    """Return whether a value is of a class of pandas, which need not be installed."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, getattr(pandas, name))
