"""Forecast CO2 at Mauna Loa with TiRexCore, and sunspots with intervals of MDNModel.

Both series come with statsmodels: `pip install "dlt-models-seq[jax,pandas,plot]" statsmodels`.

python co2_and_sunspots.py --output forecast.png
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from statsmodels.datasets import co2, sunspots

from dl_techniques.models.mdn import MDNModel
from dl_techniques.models.tirex import TiRexCore
from dl_techniques.models.tirex.plot import plot_forecast

CONTEXT, HORIZON, SEASON = 208, 52, 52


def windows(series: np.ndarray, before: int, after: int) -> tuple[np.ndarray, np.ndarray]:
    """Every stretch of a series, cut into what a model sees and what follows."""
    cut = np.lib.stride_tricks.sliding_window_view(series, before + after)
    return cut[:, :before].astype("float32"), cut[:, before:].astype("float32")


def mase(found: np.ndarray, actual: np.ndarray, past: np.ndarray) -> float:
    """Mean absolute error in units of the seasonal naive forecast's on the training series."""
    naive = np.nanmean(np.abs(past[SEASON:] - past[:-SEASON]))
    return float(np.nanmean(np.abs(found - actual)) / naive)


def forecast_co2(epochs: int) -> tuple[dict[str, float], object]:
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
    inside = (found[..., 0] <= actual) & (actual <= found[..., -1])
    seen = ~np.isnan(actual)
    figures = {
        "co2, MASE of TiRexCore": mase(found[..., 4], actual, values[:split]),
        "co2, MASE of the seasonal naive forecast": mase(naive, actual, values[:split]),
        "co2, share inside the band of 0.1 to 0.9": float(inside[seen].mean()),
    }
    last = starts[-1]
    picture = plot_forecast(
        series.iloc[last - CONTEXT : last],
        model.forecast(series.iloc[last - CONTEXT : last]),
        actual=values[last : last + HORIZON],
    )
    return figures, picture


def intervals_of_sunspots(epochs: int, folds: int = 5) -> dict[str, float]:
    """Predict a year from the eleven before as a mixture; count what falls inside the interval.

    Each year is held out once.
    """
    # Square roots make the noise of counts even.
    roots = np.sqrt(sunspots.load_pandas().data["SUNACTIVITY"].to_numpy())
    x, y = windows((roots - roots.mean()) / roots.std(), 11, 1)
    fold = np.random.default_rng(0).permutation(len(x)) % folds
    inside = np.zeros(len(x), bool)
    for held_out in range(folds):
        train, test = fold != held_out, fold == held_out
        keras.utils.set_random_seed(0)
        model = MDNModel((16,), num_mixtures=3, dropout_rate=0.1, seed=0)
        model.compile(keras.optimizers.Adam(5e-3))
        model.fit(x[train], y[train], epochs=epochs, batch_size=32, verbose=0)
        low, high = model.predict_interval(x[test], 0.9)
        inside[test] = ((low <= y[test]) & (y[test] <= high))[:, 0]
    return {"sunspots, share inside the interval of 0.9": float(inside.mean())}


def main() -> None:
    """Train both models, print the figures and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="where to write the picture")
    parser.add_argument("--epochs", type=int, default=15)
    arguments = parser.parse_args()
    figures = intervals_of_sunspots(40)
    more, picture = forecast_co2(arguments.epochs)
    for name, value in (figures | more).items():
        print(f"{name}: {value:.3f}")
    if arguments.output:
        picture.savefig(arguments.output)


if __name__ == "__main__":
    main()
