"""Forecast the airline passengers: a small model that is trained, and one that never saw them.

The series comes in the wheel of aeon, of which nothing else is used; the wheel is pinned, and not
installed. Each of the last five years is forecast from the months before it: by `TiRexCore`, fitted
to these months, and by Fracast-0 with the weights that its authors trained on other series. It
needs pip and matplotlib.

python airline.py --output airline.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import keras
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "pretrained"))

import fracast_zero as fracast
from pinned_wheel import NotAvailable, file_of_wheel

from dl_techniques.models.tirex import TiRexCore
from dl_techniques.models.tirex.plot import plot_forecast

REQUIREMENT = "aeon==1.6.0"
WHEEL = "d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409"
FILE = "aeon/datasets/data/Airline/Airline.csv"
SHA256 = "28af0eb869db6d9fbd31d5af03993a0cbf36c0857c3eb046a068c094b60da851"

CONTEXT, SEASON, FIRST = 36, 12, 84
MEDIAN = 4


def passengers() -> np.ndarray:
    """Thousands of passengers in each month of 1949 to 1960.

    Raises:
        NotAvailable: If the wheel cannot be had.
    """
    path = file_of_wheel(REQUIREMENT, WHEEL, FILE, SHA256)
    return np.loadtxt(path, delimiter=",", skiprows=1, usecols=1)


def trained(series: np.ndarray, epochs: int) -> TiRexCore:
    """A model of a year after three, fitted to every window of a series.

    Args:
        series: The months to learn.
        epochs: Passes over the windows.
    """
    cut = np.lib.stride_tricks.sliding_window_view(series, CONTEXT + SEASON).astype("float32")
    keras.utils.set_random_seed(0)
    sizes = {"patch_size": 6, "embed_dim": 32, "num_blocks": 1, "num_heads": 2}
    model = TiRexCore(CONTEXT, SEASON, **sizes)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, epochs * -(-len(cut) // 16))
    model.compile(keras.optimizers.Adam(rate))
    model.fit(cut[:, :CONTEXT], cut[:, CONTEXT:], epochs=epochs, batch_size=16, verbose=0)
    return model


def compare(series: np.ndarray, epochs: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Forecast each of the last years from the months before it.

    Args:
        series: All months.
        epochs: Passes of each training.

    Returns:
        The medians of each forecaster, `(years, 12)`, and the quantiles of `TiRexCore`.
    """
    zero_shot = fracast.pretrained()
    pasts = [series[:start] for start in range(FIRST, len(series), SEASON)]
    quantiles = np.stack([trained(past, epochs).forecast(past) for past in pasts])
    others = np.stack([fracast.forecast(zero_shot, past, SEASON) for past in pasts])
    return {
        "TiRexCore": quantiles[..., MEDIAN],
        "Fracast-0, zero-shot": others[..., MEDIAN],
        "the year before": np.stack([past[-SEASON:] for past in pasts]),
    }, quantiles


def main() -> int:
    """Train, forecast, print the errors and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", help="where to write the picture")
    parser.add_argument("--epochs", type=int, default=60)
    arguments = parser.parse_args()
    try:
        series = passengers()
        medians, quantiles = compare(series, arguments.epochs)
    except NotAvailable as error:
        print(f"skipped: {error}")
        return 0
    actual = series[FIRST:].reshape(-1, SEASON)
    naive = np.abs(series[SEASON:FIRST] - series[: FIRST - SEASON]).mean()
    for name, found in medians.items():
        errors = np.abs(found - actual).mean(axis=1) / naive
        years = ", ".join(f"{error:.2f}" for error in errors)
        print(f"MASE of {name}: {errors.mean():.3f} ({years})")
    inside = (quantiles[..., 0] <= actual) & (actual <= quantiles[..., -1])
    print(f"share inside the band of 0.1 to 0.9: {inside.mean():.3f}")
    if arguments.output:
        past = series[: len(series) - SEASON]
        plot_forecast(past[-CONTEXT:], quantiles[-1], actual=actual[-1]).savefig(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
