"""Single metrics of one matrix or one spectrum."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dl_techniques.core.contract.component import component
from dl_techniques.weightwatcher.numerics import shape
from dl_techniques.weightwatcher.numerics.arrays import Array, smallest_step
from dl_techniques.weightwatcher.numerics.marchenko_pastur import (
    MarchenkoPastur,
    fit_marchenko_pastur,
)
from dl_techniques.weightwatcher.numerics.powerlaw import PowerLawFit, fit
from dl_techniques.weightwatcher.numerics.spectrum import spectrum, tall
from dl_techniques.weightwatcher.settings import Settings


@component("dl_techniques>eigenvalues", kind="analyzer", tags=("spectral",), since="0.1")
def eigenvalues(W: Any, method: str = "auto", precision: str = "float64") -> Array:
    """Eigenvalues of W^T W: the squared singular values, ascending.

    Args:
        W: A matrix, or a stack of matrices of shape (slices, rows, columns) whose eigenvalues
            are pooled.
        method: `gram`, `svd`, or `auto`: the Gram matrix, and the SVD where float64 weights
            have small eigenvalues that it cannot resolve.
        precision: `float64` or `float32`.

    Raises:
        ValueError: If W is no matrix, is empty, or is not finite.

    Example:
        >>> from dl_techniques.weightwatcher import eigenvalues
        >>> eigenvalues([[3.0, 0.0], [0.0, 2.0]]).tolist()
        [4.0, 9.0]
    """
    options = Settings(method=method, precision=precision)
    stack = _stack(W)
    found = spectrum(
        stack,
        method=options.method,
        precision=options.precision,
        exact=stack.dtype == np.float64,
    )
    return np.sort(found.evals, axis=None)


@component(
    "dl_techniques>fit_powerlaw",
    kind="analyzer",
    tags=("spectral", "power law"),
    paper="arXiv:0706.1062",
    since="0.1",
)
def fit_powerlaw(
    evals: Any,
    xmin: Any = None,
    xmax: int | float | None = None,
    distribution: str = "PL",
    min_tail: int = 2,
    bootstrap: int = 0,
    gof: int = 0,
    fingers: str | None = None,
    ks: str = "lower",
    seed: int = 0,
) -> PowerLawFit:
    """Fit a continuous power law p(x) ~ x^-alpha to the tail x >= xmin of positive numbers.

    For each candidate xmin, alpha is the maximum-likelihood exponent; the xmin with the
    smallest distance D between the empirical and the fitted distribution is taken.

    Args:
        evals: Positive numbers in any order; those that are not positive are left out.
        xmin: None searches; `"peak"`, a number, or a pair of bounds.
        xmax: An integer drops so many of the largest, a float those above it.
        distribution: `PL`, `TPL` (x^-alpha e^(-Lambda x)), `E_TPL` (the same, xmin near the
            peak of the density) or `best` (also names the best of four laws).
        min_tail: The fewest values that a tail may have.
        bootstrap: Replicas of the 95 % interval of alpha.
        gof: Replicas of the p-value; it is computed with tails of at least a quarter of all.
        fingers: `clip` refits without values that stand out, `test` says how unlikely the
            largest is.
        ks: `lower` or `two_sided`: at which steps of the empirical distribution D is taken.
        seed: Of the replicas.

    Returns:
        alpha, xmin, D, sigma, n_tail, ci, p_value, status and more.

    Raises:
        ValueError: If the values are not finite or an option is not what it may be.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import fit_powerlaw
        >>> u = (np.arange(500) + 0.5) / 500
        >>> round(fit_powerlaw((1 - u) ** (-1 / 1.5)).alpha, 4)
        2.5025

    References:
        Clauset, Shalizi and Newman, "Power-law distributions in empirical data",
        arXiv:0706.1062.
    """
    options = Settings(
        fit=distribution,
        xmin=xmin,
        xmax=xmax,
        min_tail=min_tail,
        bootstrap=bootstrap,
        gof=gof,
        fingers=fingers,
        ks=ks,
        seed=seed,
    )
    if distribution is None:
        raise ValueError("`distribution` must name a law. Received: distribution=None")
    values = _positive(evals)
    return fit(
        values,
        distribution=str(options.fit),
        xmin=options.xmin,
        xmax=options.xmax,
        min_tail=options.min_tail,
        two_sided=options.ks == "two_sided",
        fingers=options.fingers,
        bootstrap=options.bootstrap,
        gof=options.gof,
        rng=np.random.default_rng(options.seed),
    )


@component("dl_techniques>alpha", kind="analyzer", tags=("spectral", "power law"), since="0.1")
def alpha(x: Any = None, *, evals: Any = None) -> float:
    """The exponent of the power-law tail of a matrix's spectrum; NaN if there is no tail.

    Args:
        x: A matrix, or a stack of matrices.
        evals: Its eigenvalues, in place of it.

    Raises:
        ValueError: If not exactly one of both is given, or it is not finite.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import alpha
        >>> W = np.random.default_rng(0).standard_t(3, (300, 100))
        >>> round(alpha(W), 3) == round(alpha(7 * W), 3)
        True
    """
    values, tolerance = _spectrum(x, evals)
    kept = values[values > max(tolerance * values[-1], 0.0)]
    return fit(kept, rng=np.random.default_rng(0)).alpha


@component("dl_techniques>stable_rank", kind="analyzer", tags=("spectral", "rank"), since="0.1")
def stable_rank(x: Any = None, *, evals: Any = None) -> float:
    """sum(lambda) / max(lambda) = ||W||_F^2 / ||W||_2^2.

    Args:
        x: A matrix, or a stack of matrices.
        evals: Its eigenvalues, in place of it.

    Raises:
        ValueError: If not exactly one of both is given, or it is not finite.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import stable_rank
        >>> stable_rank(np.eye(8))
        8.0
    """
    return shape.stable_rank(_spectrum(x, evals)[0])


@component("dl_techniques>matrix_entropy", kind="analyzer", tags=("spectral",), since="0.1")
def matrix_entropy(x: Any = None, *, evals: Any = None) -> float:
    """-sum p ln p / ln r, p = lambda / sum(lambda), over the r eigenvalues above rounding noise.

    Args:
        x: A matrix, or a stack of matrices.
        evals: Its eigenvalues, in place of it.

    Returns:
        Between 0 (rank one) and 1 (all equal); NaN if all are zero.

    Raises:
        ValueError: If not exactly one of both is given, or it is not finite.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import matrix_entropy
        >>> matrix_entropy(np.eye(8)), matrix_entropy(np.ones((8, 8)))
        (1.0, 0.0)
    """
    values, tolerance = _spectrum(x, evals)
    return shape.entropy(values, tolerance)


@component("dl_techniques>concentration_score", kind="analyzer", tags=("spectral",), since="0.1")
def concentration_score(x: Any = None, *, evals: Any = None, variant: str = "whole") -> float:
    """Return how few directions carry the spectrum.

    `whole`: 1 - (PR - 1) / (n - 1) with the participation ratio
    PR = (sum lambda)^2 / sum lambda^2: 0 for equal eigenvalues, 1 for rank one.

    `top3`: ln(1 + G3 lambda_1 / (lambda_2 + lambda_3) / PRu), G3 the Gini coefficient of the three
    largest eigenvalues and PRu the mean of 1 / sum u^4 over their left singular vectors.

    Args:
        x: A matrix, or a stack of matrices.
        evals: Its eigenvalues, in place of it.
        variant: `whole`, or `top3`, which needs the matrix.

    Raises:
        ValueError: If not exactly one of both is given, it is not finite, or `top3` has no
            matrix with three eigenvalues to work on.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import concentration_score
        >>> concentration_score(np.eye(8)), concentration_score(np.ones((8, 8)))
        (0.0, 1.0)
    """
    if variant == "whole":
        return shape.concentration(_spectrum(x, evals)[0])
    if variant != "top3":
        raise ValueError(f"`variant` must be 'whole' or 'top3'. Received: variant={variant!r}")
    if x is None:
        raise ValueError("`variant='top3'` needs the matrix. Received: x=None")
    matrix = _stack(x)
    if matrix.shape[0] != 1 or min(matrix.shape[1:]) < 3:
        raise ValueError(
            "`variant='top3'` needs one matrix of 3 x 3 or more. "
            f"Received: x of shape {np.shape(x)}"
        )
    vectors, values, _ = np.linalg.svd(tall(matrix[0]).astype(np.float64), full_matrices=False)
    top = values[:3] ** 2
    localised = float(np.mean(1.0 / np.sum(vectors[:, :3] ** 4, axis=0)))
    return math.log(1.0 + shape.gini(top[::-1]) * top[0] / (top[1] + top[2]) / localised)


@component(
    "dl_techniques>mp_fit",
    kind="analyzer",
    tags=("spectral", "random matrix"),
    paper="arXiv:1810.01075",
    since="0.1",
)
def mp_fit(evals: Any, N: int, M: int) -> MarchenkoPastur:
    """Fit the Marchenko-Pastur law to the bulk of a spectrum and count what sticks out.

    rho(x) = Q / (2 pi sigma^2) sqrt((lambda+ - x) (x - lambda-)) / x, with the edges
    lambda+- = sigma^2 (1 +- 1/sqrt Q)^2 and Q = N / M.

    Args:
        evals: Eigenvalues in any order.
        N: The longer side of the matrix.
        M: The shorter side.

    Raises:
        ValueError: If a side is not positive, or the eigenvalues are not finite or all zero.

    Example:
        >>> import numpy as np
        >>> from dl_techniques.weightwatcher import eigenvalues, mp_fit
        >>> W = np.random.default_rng(0).normal(size=(600, 300))
        >>> found = mp_fit(eigenvalues(W), 600, 300)
        >>> found.num_spikes, round(found.sigma, 1)
        (0, 1.0)
    """
    if min(N, M) < 1:
        raise ValueError(f"`N` and `M` must be positive. Received: N={N}, M={M}")
    values = _spectrum(None, evals)[0]
    if values[-1] <= 0:
        raise ValueError("`evals` must hold a positive number; all of them are zero.")
    return fit_marchenko_pastur(values, N, M)


def _stack(x: Any) -> Array:
    array = np.asarray(x)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or 0 in array.shape:
        raise ValueError(
            f"`x` must be a matrix or a stack of them. Received: x of shape {np.shape(x)}"
        )
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _spectrum(x: Any, evals: Any) -> tuple[Array, float]:
    """Ascending eigenvalues, and the share of the largest below which they are noise."""
    if (x is None) == (evals is None):
        raise ValueError("Give either a matrix `x` or its eigenvalues `evals`.")
    if evals is None:
        stack = _stack(x)
        noise = (smallest_step(stack.dtype) * max(stack.shape[1:])) ** 2
        return eigenvalues(stack), noise
    values = np.sort(np.asarray(evals, np.float64), axis=None)
    if not values.size or not np.isfinite(values).all() or values[0] < 0:
        raise ValueError("`evals` must be finite numbers, none of them negative.")
    return values, 0.0


def _positive(evals: Any) -> Array:
    values = np.sort(np.asarray(evals, np.float64), axis=None)
    if not np.isfinite(values).all():
        raise ValueError("`evals` must be finite.")
    return values[values > 0]
