"""Forecast CO2 at Mauna Loa with TiRexCore, and sunspots with intervals of MDNModel.

Both series come with statsmodels: `pip install "dlt-models-seq[jax,pandas,plot]" statsmodels`.

python co2_and_sunspots.py --output forecast.png --sunspots intervals.png
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import keras
import numpy as np
from matplotlib.figure import Figure
from statsmodels.datasets import co2, sunspots

from dl_techniques.models.mdn import MDNModel
from dl_techniques.models.tirex import TiRexCore
from dl_techniques.models.tirex.plot import plot_forecast

CONTEXT, HORIZON, SEASON = 208, 52, 52
LAGS, CALIBRATION = 11, 40


class Intervals(NamedTuple):
    """Square roots of sunspots, and the ends (2, years) of intervals for them."""

    years: np.ndarray
    roots: np.ndarray
    plain: np.ndarray
    calibrated: np.ndarray


def inside(low: np.ndarray, high: np.ndarray, actual: np.ndarray) -> float:
    """Share of the observed values inside an interval."""
    seen = ~np.isnan(actual)
    return float(((low <= actual) & (actual <= high))[seen].mean())


def windows(series: np.ndarray, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Every stretch of a series, cut into what a model sees and what follows."""
    cut = np.lib.stride_tricks.sliding_window_view(series, before + after)
    return cut[:, :before].astype("float32"), cut[:, before:].astype("float32")


def mase(found: np.ndarray, actual: np.ndarray, past: np.ndarray) -> float:
    """Mean absolute error in units of the seasonal naive forecast's on the training series."""
    naive = np.nanmean(np.abs(past[SEASON:] - past[:-SEASON]))
    return float(np.nanmean(np.abs(found - actual)) / naive)


def forecast_co2(epochs: int) -> tuple[dict[str, float], Figure]:
    """Train on the first four fifths, forecast each year of the rest."""
    series = co2.load_pandas().data["co2"]
    split = int(0.8 * len(series))
    values = series.to_numpy()
    x, y = windows(values[:split], CONTEXT, HORIZON)
    keras.utils.set_random_seed(0)
    model = TiRexCore(CONTEXT, HORIZON, patch_size=26, embed_dim=32, num_blocks=1, num_heads=2)
    steps = epochs * -(-len(x) // 64)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(4e-3, steps)))
    model.fit(x, y, epochs=epochs, batch_size=64, verbose=2)
    starts = range(split, len(values) - HORIZON + 1, HORIZON)
    past = np.stack([values[s - CONTEXT : s] for s in starts])
    actual = np.stack([values[s : s + HORIZON] for s in starts])
    found = model.forecast(past)
    # A week without a sample takes that of the year before.
    naive = past[:, -SEASON:]
    naive = np.where(np.isnan(naive), past[:, -2 * SEASON : -SEASON], naive)
    figures = {
        "co2, MASE of TiRexCore": mase(found[..., 4], actual, values[:split]),
        "co2, MASE of the seasonal naive forecast": mase(naive, actual, values[:split]),
        "co2, share inside the band of 0.1 to 0.9": inside(found[..., 0], found[..., -1], actual),
    }
    last = starts[-1]
    picture = plot_forecast(
        series.iloc[last - CONTEXT : last],
        model.forecast(series.iloc[last - CONTEXT : last]),
        actual=values[last : last + HORIZON],
    )
    return figures, picture


def intervals_of_sunspots(epochs: int, block: int = 45, first: int = 120) -> Intervals:
    """Predict each year from the eleven before as a mixture, from the first years' on.

    A model for each block of years is fitted to the years before it, but for the last 40, which
    calibrate its intervals.
    """
    data = sunspots.load_pandas().data
    # Square roots make the noise of counts even.
    roots = np.sqrt(data["SUNACTIVITY"].to_numpy())
    x, y = windows(roots, LAGS, 1)
    plain, calibrated = [], []
    for start in range(first, len(x), block):
        fit, held = slice(0, start - CALIBRATION), slice(start - CALIBRATION, start)
        test = slice(start, start + block)
        seen = roots[: fit.stop + LAGS]
        u, v = ((part - seen.mean()) / seen.std() for part in (x, y))
        keras.utils.set_random_seed(0)
        model = MDNModel((16,), num_mixtures=3, dropout_rate=0.1, seed=0)
        model.compile(keras.optimizers.Adam(5e-3))
        model.fit(u[fit], v[fit], epochs=epochs, batch_size=32, verbose=0)
        for found, held_out in ((plain, None), (calibrated, (u[held], v[held]))):
            ends = model.predict_interval(u[test], 0.9, calibration=held_out)
            found.append(np.stack(ends) * seen.std() + seen.mean())
    years = data["YEAR"].to_numpy()[first + LAGS :]
    ends = (np.concatenate(parts, axis=1)[..., 0] for parts in (plain, calibrated))
    return Intervals(years, y[first:, 0], *ends)


def picture_of_sunspots(found: Intervals) -> Figure:
    """The years and their calibrated intervals, in sunspots."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axis = figure.subplots()
    low, high = np.maximum(found.calibrated, 0) ** 2
    axis.fill_between(found.years, low, high, color="tab:blue", alpha=0.25, lw=0, label="0.9")
    axis.plot(found.years, found.roots**2, "k.", ms=4, label="sunspots")
    axis.set_xlabel("year")
    axis.legend(loc="upper left", ncols=2)
    return figure


def main() -> None:
    """Train both models, print the figures and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="where to write the picture of CO2")
    parser.add_argument("--sunspots", help="where to write that of the sunspots")
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    found = intervals_of_sunspots(40)
    figures = {
        f"sunspots, share of {len(found.years)} years inside the interval of 0.9": found.plain,
        "sunspots, the same after calibration": found.calibrated,
    }
    figures = {name: inside(*ends, found.roots) for name, ends in figures.items()}
    more, picture = forecast_co2(arguments.epochs)
    for name, value in (figures | more).items():
        print(f"{name}: {value:.3f}")
    if arguments.output:
        picture.savefig(arguments.output)
    if arguments.sunspots:
        picture_of_sunspots(found).savefig(arguments.sunspots)


if __name__ == "__main__":
    main()
