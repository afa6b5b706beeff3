"""Decay of a self-organizing map's learning rate and radius."""

from __future__ import annotations

from typing import Any

DECAYS = ("asymptotic", "linear", "inverse")


def decayed(name: str, rate: float, sigma: float, progress: Any) -> tuple[Any, Any]:
    """Return the learning rate and the radius.

    Args:
        name: One of `DECAYS`.
        rate: Learning rate at the start.
        sigma: Radius at the start.
        progress: t / T, from 0 to 1.

    Example:
        >>> decayed("linear", 0.5, 3.0, 0.5)
        (0.25, 2.0)
    """
    if name == "asymptotic":
        return rate / (1 + 2 * progress), sigma / (1 + 2 * progress)
    if name == "linear":
        return rate * (1 - progress), sigma + progress * (1 - sigma)
    return rate / (1 + 100 * progress), sigma / (1 + progress * (sigma - 1))
