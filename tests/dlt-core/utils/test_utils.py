"""Logger and tensor utilities."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from dl_techniques.core.testing.differentiation import value_and_gradients
from dl_techniques.utils.logger import configure_logging, logger
from dl_techniques.utils.tensors import gram_matrix, reshape_to_2d


@pytest.fixture
def restored():
    handlers, level, propagate = list(logger.handlers), logger.level, logger.propagate
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


def test_the_logger_is_silent_by_default(capsys):
    logger.info("hidden")
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
    assert logger.name == "dl_techniques"


def test_opting_in_shows_each_message_once_in_the_projects_format(restored):
    first, second = io.StringIO(), io.StringIO()
    root = list(logging.getLogger().handlers)
    configure_logging("INFO", first)
    configure_logging(logging.DEBUG, second)
    logger.debug("Training started")
    assert first.getvalue() == ""
    (line,) = second.getvalue().splitlines()
    assert line.endswith("] Training started")
    assert "DEBUG test_utils.py:test_opting_in" in line
    assert logging.getLogger().handlers == root


def test_an_unknown_level_is_refused(restored):
    with pytest.raises(ValueError, match="LOUD"):
        configure_logging("LOUD")


@pytest.mark.parametrize(
    ("shape", "depthwise", "expected"),
    [
        ((5,), False, (5, 1)),
        ((5, 7), False, (5, 7)),
        ((3, 2, 5, 7), False, (30, 7)),
        ((3, 2, 2, 5, 7), False, (60, 7)),
        ((3, 2, 5, 4), True, (6, 20)),
    ],
)
def test_kernels_become_matrices_whose_columns_are_outputs(shape, depthwise, expected):
    kernel = np.arange(np.prod(shape), dtype="float32").reshape(shape)
    matrix = ops.convert_to_numpy(reshape_to_2d(kernel, depthwise=depthwise))
    np.testing.assert_array_equal(matrix, kernel.reshape(expected))


def test_scalars_and_flat_depthwise_kernels_are_refused():
    with pytest.raises(ValueError, match="rank 1"):
        reshape_to_2d(np.float32(1))
    with pytest.raises(ValueError, match="rank 3"):
        reshape_to_2d(np.ones((2, 3)), depthwise=True)


def test_gram_matrix_equals_numpy_and_is_the_identity_for_orthogonal_weights():
    w = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype("float32")
    flat = w.reshape(-1, 5)
    np.testing.assert_allclose(ops.convert_to_numpy(gram_matrix(w)), flat.T @ flat, rtol=1e-5)
    q = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 4)))[0].astype("float32")
    np.testing.assert_allclose(ops.convert_to_numpy(gram_matrix(q)), np.eye(4), atol=1e-6)


def test_normalized_gram_holds_cosines_and_is_finite_at_zero():
    w = np.array([[3.0, 0.0, 6.0], [4.0, 0.0, 8.0]], "float32")
    cosines = ops.convert_to_numpy(gram_matrix(w, normalize=True))
    np.testing.assert_allclose(cosines, [[1, 0, 1], [0, 0, 0], [1, 0, 1]], atol=1e-6)
    gradient = value_and_gradients(lambda w: ops.sum(gram_matrix(w, normalize=True)), [], [w])
    assert np.isfinite(gradient.inputs[0]).all()


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_cosines_do_not_depend_on_the_scale(scale):
    w = np.array([[1.0, 1.0], [0.0, 1.0]], "float32") * np.float32(scale)
    cosines = ops.convert_to_numpy(gram_matrix(w, normalize=True))
    np.testing.assert_allclose(cosines, [[1, 0.5**0.5], [0.5**0.5, 1]], rtol=1e-6)


def test_the_gradient_of_cosines_equals_the_closed_form():
    w = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
    c = np.random.default_rng(2).normal(size=(3, 3)).astype("float32")
    c = c + c.T
    found = value_and_gradients(
        lambda w: ops.sum(ops.multiply(c, gram_matrix(w, normalize=True))), [], [w]
    ).inputs[0]
    # d sum(c * u^T u) / dw for unit columns u = w / |w| is 2 (u c - u diag(u^T u c)) / |w|.
    norm = np.linalg.norm(w, axis=0)
    u = w / norm
    expected = 2 * (u @ c - u * np.sum(u * (u @ c), axis=0)) / norm
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_logger_shows_nothing_by_itself():
    script = "from dl_techniques.utils.logger import logger; logger.error('loud')"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert child.stdout + child.stderr == b""
