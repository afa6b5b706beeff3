"""Series in all forms, levels between a model's, indices that follow, pictures."""

from __future__ import annotations

import numpy as np
import pytest

from dl_techniques.models.tirex.plot import plot_forecast
from dl_techniques.models.tirex.series import as_given, as_series, at_levels, following

LEVELS = (0.1, 0.5, 0.9)


def test_lists_of_any_lengths_are_padded_at_their_start():
    """Closed form: the last samples count, NaN stands before shorter series."""
    found = as_series([np.arange(2), [7, np.nan, 9, 10], []], 3).values
    nan = np.nan
    np.testing.assert_array_equal(found, [[nan, 0, 1], [nan, 9, 10], [nan, nan, nan]])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(as_series([1, 2, 3, 4], 3).values, [[2, 3, 4]])
    for wrong in (np.zeros((2, 2, 2)), [np.zeros((2, 2))], [[np.inf, 1.0]], []):
        with pytest.raises(ValueError, match="`context`"):
            as_series(wrong, 3)


def test_levels_between_are_interpolated():
    """Oracle: NumPy's linear interpolation."""
    q = np.random.default_rng(0).normal(size=(2, 3, 3)).astype("float32")
    wanted = (0.1, 0.25, 0.5, 0.7, 0.9)
    found = at_levels(q, LEVELS, wanted)
    expected = [[np.interp(wanted, LEVELS, row) for row in rows] for rows in q]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert at_levels(q, LEVELS, None) is q
    np.testing.assert_array_equal(at_levels(q[..., :1], (0.5,), (0.5,)), q[..., :1])
    for wrong in ((0.05,), (0.95,), ()):
        with pytest.raises(ValueError, match="`quantiles`"):
            at_levels(q, LEVELS, wrong)


def test_a_vector_comes_back_without_a_batch():
    q = np.zeros((1, 4, 3), "float32")
    assert as_given(q, LEVELS, np.zeros(5)).shape == (4, 3)
    assert as_given(q, LEVELS, [1.0, 2.0]).shape == (4, 3)
    assert as_given(q, LEVELS, np.zeros((1, 5))).shape == (1, 4, 3)
    assert as_given(q, LEVELS, [np.zeros(5)]).shape == (1, 4, 3)


def test_pandas_comes_back_as_pandas():
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2024-01-30", periods=5, freq="D")
    one = pandas.Series([1.0, None, 3.0, 4.0, 5.0], index=days)
    np.testing.assert_array_equal(as_series(one, 5).values, [[1, np.nan, 3, 4, 5]])
    q = np.arange(12.0).reshape(2, 2, 3)
    frame = as_given(q[:1], LEVELS, one)
    assert list(frame.columns) == list(LEVELS)
    assert list(frame.index) == list(pandas.date_range("2024-02-04", periods=2, freq="D"))
    two = pandas.DataFrame({"a": one, "b": one})
    np.testing.assert_array_equal(as_series(two, 2).values, [[4, 5], [4, 5]])
    both = as_given(q, LEVELS, two)
    np.testing.assert_array_equal(both["b"].to_numpy(), q[1])
    months = pandas.period_range("2024-11", periods=3, freq="M")
    assert list(following(months, 2)) == list(pandas.period_range("2025-02", periods=2, freq="M"))
    assert list(following(pandas.RangeIndex(0, 10, 2), 2)) == [10, 12]
    for wrong in (days[[0, 1, 4]], pandas.Index([0, 1, 4]), pandas.Index(["a", "b"])):
        with pytest.raises(ValueError, match="index"):
            following(wrong, 2)


def test_a_picture_has_a_band_for_each_pair_of_levels():
    bands = np.linspace(-1, 1, 9)[None] * np.ones((6, 1))
    axes = plot_forecast(np.zeros(20), bands, actual=np.zeros(6)).axes[0]
    assert len(axes.collections) == 4
    assert len(axes.lines) == 3
    low = axes.collections[0].get_paths()[0].vertices[:, 1].min()
    assert low == -1
    with pytest.raises(ValueError, match="`levels`"):
        plot_forecast(np.zeros(20), bands, LEVELS)
