"""Signed distances against a search over all pairs of pixels."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.losses import signed_distance_map


def by_search(mask, sampling):
    """Search for the nearest pixel of the other side, for each pixel."""
    places = np.argwhere(np.ones_like(mask)) * sampling
    sides = mask.ravel().astype(bool)
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1)
    nearest = np.where(sides[None] != sides[:, None], gaps, np.inf).min(1)
    return np.where(sides, 1.0 - nearest, nearest).reshape(mask.shape)


@pytest.mark.parametrize("sampling", [None, (1.0, 2.5)])
def test_distances_equal_a_search_over_all_pixels(verify, sampling):
    masks = np.random.default_rng(0).integers(0, 2, (2, 6, 5, 3))
    ours = signed_distance_map(masks, sampling)
    for sample in range(2):
        for kind in range(3):
            expected = by_search(masks[sample, ..., kind], sampling or (1.0, 1.0))
            got = ours[sample, ..., kind]
            verify("dl_techniques>signed_distance_map", "search over all pixels", got, expected)


def test_regions_without_a_border_are_zero_and_vectors_are_refused():
    masks = np.stack([np.zeros((1, 4, 3)), np.ones((1, 4, 3))], axis=-1)
    assert not signed_distance_map(masks).any()
    with pytest.raises(ValueError, match="masks"):
        signed_distance_map(np.ones((4, 2)))
