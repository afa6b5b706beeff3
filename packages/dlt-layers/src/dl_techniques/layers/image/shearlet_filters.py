"""Cone-adapted Meyer shearlets in the frequency domain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def default_scales(height: int, width: int) -> int:
    """Return the usual number of scales, floor(log2(longer side) / 2), at least one.

    Args:
        height: Height of the image.
        width: Width of the image.
    """
    return max(int(math.log2(max(height, width)) / 2), 1)


def shearlet_filters(height: int, width: int, scales: int | None = None) -> Any:
    """Compute the filters of a Parseval frame of shearlets, by Haeuser and Steidl.

    With Meyer's auxiliary function v, b(w) = sin(pi/2 v(|w| - 1)) up to 2 and cos(pi/2 v(|w|/2 -
    1)) beyond:

    |psi_1(w)|^2 = b(2 w)^2 + b(w)^2,  |psi_2(s)|^2 = v(1 - |s|)
    psi_{j,k}(w) = psi_1(4^-j w_1) psi_2(2^j w_2 / w_1 + k),  k = 1 - 2^j .. 2^j - 1, |w_1| >= |w_2|

    likewise with the axes exchanged, and two filters k = -2^j, 2^j on the seams of both cones.
    Frequencies are scaled so that Nyquist's is 2 4^(J - 1).

    Args:
        height: Height of the image.
        width: Width of the image.
        scales: Number of scales J; `None` for `default_scales`.

    Returns:
        Float64, `(K, height, width)`, in the order of the frequencies of an FFT. The squares sum
        to one at each frequency.

    Example:
        >>> filters = shearlet_filters(5, 8, 1)
        >>> filters.shape, bool(abs((filters**2).sum(0) - 1).max() < 1e-12)
        ((5, 5, 8), True)
    """
    scales = default_scales(height, width) if scales is None else scales
    nyquist = 2.0 * 4 ** (scales - 1)
    vertical, horizontal = np.meshgrid(
        2 * nyquist * np.fft.fftfreq(height), 2 * nyquist * np.fft.fftfreq(width), indexing="ij"
    )
    larger = np.maximum(abs(vertical), abs(horizontal))
    powers = [np.cos(np.pi / 2 * _meyer(2 * larger - 1)) ** 2]
    flat = abs(horizontal) >= abs(vertical)
    for scale in range(scales):
        across = _wavelet_power(horizontal / 4**scale) * flat
        along = _wavelet_power(vertical / 4**scale) * ~flat
        slope = 2**scale * _quotient(vertical, horizontal)
        steepness = 2**scale * _quotient(horizontal, vertical)
        shears = range(1 - 2**scale, 2**scale)
        powers += [across * _meyer(1 - abs(slope + k)) for k in shears]
        powers += [along * _meyer(1 - abs(steepness + k)) for k in shears]
        powers += [
            across * _meyer(1 - abs(slope + k)) + along * _meyer(1 - abs(steepness + k))
            for k in (-(2**scale), 2**scale)
        ]
    power = np.stack(powers)
    # Of an even axis, Nyquist's frequency is its own negative, with one sign only on the grid.
    return np.sqrt((power + _negated(power)) / 2)


def analytic_factor(height: int, width: int) -> Any:
    """Return the factors that leave half of the frequencies, and keep the energy of real images.

    sqrt(2) on an open half plane, 0 on the other, 1 where a frequency is its own negative.

    Args:
        height: Height of the image.
        width: Width of the image.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)
    place = rows * width + columns
    opposite = (-rows) % height * width + (-columns) % width
    # Positive horizontal frequencies; on the vertical axes, positive vertical ones.
    sign = np.sign(_signed(columns, width)) + 0 * rows
    sign = np.where(sign == 0, np.sign(_signed(rows, height)), sign)
    return np.where(place == opposite, 1.0, np.where(sign > 0, math.sqrt(2), 0.0))


def _signed(index: Any, size: int) -> Any:
    """Return frequencies from -size/2 to size/2, and 0 for those that are their own negative."""
    signed = (index + (size - 1) // 2) % size - (size - 1) // 2
    return np.where((2 * index) % size == 0, 0, signed)


def _negated(power: Any) -> Any:
    return np.roll(power[:, ::-1, ::-1], (1, 1), axis=(1, 2))


def _meyer(x: Any) -> Any:
    """Return Meyer's auxiliary function, which rises from 0 to 1 on [0, 1]."""
    x = np.clip(x, 0.0, 1.0)
    return x**4 * (35 - 84 * x + 70 * x**2 - 20 * x**3)


def _wavelet_power(w: Any) -> Any:
    return _bump(2 * w) ** 2 + _bump(w) ** 2


def _bump(w: Any) -> Any:
    w = abs(w)
    rise = np.sin(np.pi / 2 * _meyer(w - 1))
    return np.where(w <= 2, rise, np.cos(np.pi / 2 * _meyer(w / 2 - 1)))


def _quotient(a: Any, b: Any) -> Any:
    return a / np.where(b == 0, 1.0, b)
