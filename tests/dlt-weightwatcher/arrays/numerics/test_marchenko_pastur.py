"""The fit of the bulk: its search against SciPy's, sigma against what the law was made with."""

from __future__ import annotations

import math
import struct
import zlib

import numpy as np
import pytest
from scipy.optimize import fmin

from dl_techniques.weightwatcher.numerics.marchenko_pastur import (
    edges,
    fit_marchenko_pastur,
    simplex,
)


@pytest.mark.parametrize(
    "cost",
    [
        lambda x: (x - 0.7) ** 2,
        lambda x: abs(x - 3.0),
        lambda x: math.cosh(x - 0.1) + 0.2 * math.sin(40 * x),
        lambda x: round((x - 0.7) ** 2, 1),
        lambda x: 1.0,
        lambda x: 1e6 if x > 0.52 else -x,
        lambda x: x**4 - 3 * x**3 + 2,
    ],
)
@pytest.mark.parametrize("start", [0.05, 0.5, 1.9])
def test_the_simplex_moves_as_scipys(cost, start):
    expected = fmin(lambda point: cost(float(point[0])), start, disp=False)
    assert simplex(cost, start) == pytest.approx(float(expected[0]), rel=1e-12)


def test_the_simplex_moves_as_scipys_on_noise():
    """Every kind of move; from here, one that is hardly ever made decides where it ends."""

    def cost(x):
        return zlib.crc32(struct.pack("d", round(x, 6))) / 2**32

    start = 0.05 + 96 * 0.01
    expected = fmin(lambda point: cost(float(point[0])), start, disp=False)
    assert simplex(cost, start) == pytest.approx(float(expected[0]), rel=1e-9)


@pytest.mark.parametrize(("N", "M"), [(1200, 400), (900, 300), (500, 450)])
@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0])
def test_sigma_of_a_random_matrix_is_one(N, M, size):
    weights = np.random.default_rng(N).normal(size=(N, M)) * size
    found = fit_marchenko_pastur(np.linalg.eigvalsh(weights.T @ weights), N, M)
    low, high = edges(1.0, N / M)
    assert found.sigma == pytest.approx(1.0, abs=0.05)
    assert found.num_spikes == 0
    assert found.bulk_max == pytest.approx(high * M * size**2 * N / M, rel=0.1)
    assert found.scale == pytest.approx(1 / (size * math.sqrt(N)), rel=0.02)
    assert low < high


@pytest.mark.parametrize("spikes", [1, 4])
def test_spikes_are_counted(spikes):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(800, 400))
    weights += (
        6 * np.sqrt(1 / 800) * rng.normal(size=(800, spikes)) @ rng.normal(size=(spikes, 400))
    )
    found = fit_marchenko_pastur(np.linalg.eigvalsh(weights.T @ weights), 800, 400)
    assert found.num_spikes == spikes
