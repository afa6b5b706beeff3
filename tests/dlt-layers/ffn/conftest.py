"""Pairing of dense layers with torch's."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def dense_pairs():
    """The weights of a Keras `Dense` and a torch `Linear`, for the fixture `agree`."""

    def pairs(dense, linear):
        found = [(dense.kernel, linear.weight, np.transpose)]
        return found if linear.bias is None else [*found, (dense.bias, linear.bias, np.asarray)]

    return pairs
