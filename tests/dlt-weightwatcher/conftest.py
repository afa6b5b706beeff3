"""Matrices that many tests share."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest


def pareto_quantiles(alpha: float, n: int = 500) -> np.ndarray:
    """A spectrum whose fit is known in closed form up to a few digits."""
    return (1 - (np.arange(1, n + 1) - 0.5) / n) ** (-1 / (alpha - 1))


def matrix_with(evals: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    """A matrix of the given eigenvalues of W^T W, with random singular vectors."""
    rng = np.random.default_rng(seed)
    left, _ = np.linalg.qr(rng.normal(size=(rows, evals.size)))
    right, _ = np.linalg.qr(rng.normal(size=(evals.size, evals.size)))
    return (left * np.sqrt(evals)) @ right.T


@pytest.fixture(scope="session")
def heavy():
    """A heavy-tailed float32 matrix, 300 x 100."""
    return np.random.default_rng(0).standard_t(3, (300, 100)).astype("float32")


@pytest.fixture(scope="session")
def weights(heavy):
    """A small model of several kinds of weights as a dictionary of arrays."""
    rng = np.random.default_rng(1)
    return {
        "dense": heavy,
        "square": rng.standard_t(3, (64, 64)).astype("float32"),
        "conv": rng.standard_t(4, (3, 3, 16, 24)).astype("float32"),
        "bias": np.ones(100, "float32"),
    }


@pytest.fixture
def hidden_torchvision(monkeypatch):
    """Let transformers import where torchvision is installed for another build of torch."""
    real = importlib.util.find_spec

    def find(name, *arguments):
        return None if name.partition(".")[0] == "torchvision" else real(name, *arguments)

    monkeypatch.setattr(importlib.util, "find_spec", find)
