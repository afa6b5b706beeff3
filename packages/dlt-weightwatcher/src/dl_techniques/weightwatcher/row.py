"""One row of the table: everything about one matrix, or one stack of matrices."""

from __future__ import annotations

import math
import zlib
from typing import Any, Final, NamedTuple

import numpy as np

from dl_techniques.weightwatcher.numerics import shape
from dl_techniques.weightwatcher.numerics.arrays import Array, smallest_step
from dl_techniques.weightwatcher.numerics.pareto import Tail
from dl_techniques.weightwatcher.numerics.powerlaw import PowerLawFit, fit
from dl_techniques.weightwatcher.numerics.spectrum import (
    NotFiniteError,
    Spectrum,
    spectrum,
    spectrum_of_product,
)
from dl_techniques.weightwatcher.optional_columns import Row, optional_columns, warning
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.settings import Settings

WEAK_EIGENVALUE: Final = 1e-6
# Below, eigenvalues in double precision have lost digits: they are squares.
_LOWEST: Final = float(np.finfo(np.float64).tiny / np.finfo(np.float64).eps)
_EQUAL: Final = 64.0  # spreads below so many rounding errors stand for equal eigenvalues
# If two starts fit almost equally well, single precision may take the wrong one.
_CLOSE_D: Final = 1e-4
# Share of the largest eigenvalue that single precision cannot resolve, and of eigenvalues below.
_NOISE: Final = 4e-6
_NOISY: Final = 0.1


class Finding(NamedTuple):
    """A row and the eigenvalues behind it."""

    row: Row
    evals: Array


def describe(part: Part, dtype: str) -> Row:
    """The columns that need no spectrum.

    Args:
        part: The matrix.
        dtype: Of the storage.
    """
    return {
        "N": part.N,
        "M": part.M,
        "Q": part.N / part.M,
        "rf": part.slices,
        "num_evals": part.evals,
        "dtype": dtype,
        "note": part.note,
    }


def unfit(part: Part, settings: Settings) -> tuple[str, str] | None:
    """Status and reason if the matrix is outside the limits of size.

    Args:
        part: The matrix.
        settings: The limits.
    """
    n = part.evals
    if n < settings.min_evals:
        return "too_small", f"{n} eigenvalues; `min_evals` is {settings.min_evals}"
    if settings.max_evals is not None and n > settings.max_evals:
        return "too_large", f"{n} eigenvalues; `max_evals` is {settings.max_evals}"
    if settings.max_N is not None and settings.max_N < part.N:
        return "too_large", f"N = {part.N}; `max_N` is {settings.max_N}"
    return None


def analyse(stack: Any, part: Part, settings: Settings, name: str) -> Finding:
    """Spectrum, fit and metrics of one part.

    Args:
        stack: An array of shape (slices, rows, columns), or a stack computed block by block.
        part: The description of the stack.
        settings: The options.
        name: The row's name: with the seed it decides the random numbers.
    """
    step = smallest_step(stack.dtype)
    exact = stack.dtype == np.float64 or settings.compat is not None
    try:
        found = _spectrum(stack, part, settings, exact)
    except NotFiniteError as error:
        row = {"status": "nonfinite", "reason": str(error), "nan_count": error.counts.nan}
        return Finding({**row, "inf_count": error.counts.inf}, np.empty(0))
    evals = np.sort(found.evals, axis=None)
    unusable = _unusable(evals, stack)
    if unusable is not None:
        return unusable
    rng = np.random.default_rng([settings.seed, zlib.crc32(name.encode())])
    if settings.compat is not None:
        from dl_techniques.weightwatcher.reference import reference_row

        return Finding(*reference_row(stack, found.evals, part, settings, rng))
    tolerance = (step * part.N) ** 2
    row = _shape_columns(evals, tolerance)
    row.update(_rank_columns(found.evals, tolerance, part))
    kept = evals[evals > max(tolerance * evals[-1], 0.0)]
    fitted = _fit(kept, step, part, settings, rng)
    if _may_mislead(evals, kept, fitted, settings):
        exact_settings = _with_double_precision(settings)
        return analyse(stack, part, exact_settings, name)
    row.update(_fit_columns(evals, kept, fitted, settings))
    whole = np.concatenate([np.zeros(part.M * part.slices - evals.size), evals])
    row.update(optional_columns(stack, whole, part, settings, fitted.xmin, rng))
    if settings.hill:
        row["alpha_hill"] = shape.hill_alpha(evals)
    return Finding(row, evals)


def _spectrum(stack: Any, part: Part, settings: Settings, exact: bool) -> Spectrum:
    """The eigenvalues; of matrices of a known rank, as many as that."""
    factors = getattr(stack, "factors", None)
    if factors is not None:
        return spectrum_of_product(*factors)
    found = spectrum(
        stack,
        precision=settings.precision,
        method=settings.method,
        exact=exact,
        device=settings.device,
    )
    if part.rank is None:
        return found
    return Spectrum(found.evals[:, -part.rank :], found.resolved)


def _unusable(evals: Array, stack: Array) -> Finding | None:
    """Return a warning about a spectrum that is beyond the range of numbers, or zero."""
    if not math.isfinite(evals[-1]):
        return Finding({"status": "failed", "reason": "the eigenvalues overflow"}, np.empty(0))
    if evals[-1] >= _LOWEST:
        return None
    if np.any(stack):
        return Finding({"status": "failed", "reason": "the eigenvalues underflow"}, np.empty(0))
    return Finding({"status": "zero", "reason": "all weights are zero"}, evals)


def _shape_columns(evals: Array, tolerance: float) -> Row:
    top = float(evals[-1])
    row: Row = {
        "sv_max": math.sqrt(top),
        "lambda_max": top,
        "spectral_norm": top,
        "log_spectral_norm": math.log10(top),
        "norm": float(evals.sum()),
        "stable_rank": shape.stable_rank(evals),
        "entropy": shape.entropy(evals, tolerance),
        "effective_rank": shape.effective_rank(evals),
        "participation_ratio": shape.participation_ratio(evals),
        "concentration_score": shape.concentration(evals),
        "gini": shape.gini(evals),
        "top1_share": top / float(evals.sum()),
        "nan_count": 0,
    }
    row["log_norm"] = math.log10(row["norm"])
    return row


def _rank_columns(evals: Array, tolerance: float, part: Part) -> Row:
    """Ranks by the noise of the storage; `evals` slice by slice."""
    tops = evals[:, -1:]
    ranks = np.count_nonzero(evals > tolerance * tops, axis=1)
    pooled = int(np.count_nonzero(evals > tolerance * evals.max()))
    zeros = part.M - evals.shape[1]
    low = 0.0 if zeros else float(evals[:, 0].min())
    return {
        "sv_min": math.sqrt(low),
        "condition": math.sqrt(float(evals.max()) / low) if low > 0 else math.inf,
        "matrix_rank": pooled,
        "rank_loss": int(np.sum(part.M - ranks)),
        "weak_rank_loss": int(np.count_nonzero(evals < WEAK_EIGENVALUE * evals.max()))
        + zeros * part.slices,
    }


def _fit(
    kept: Array, step: float, part: Part, settings: Settings, rng: np.random.Generator
) -> PowerLawFit:
    if settings.fit is None:
        return PowerLawFit(status="ok")
    if kept.size < 2:
        return PowerLawFit(status="degenerate")
    # Orthogonal matrices are stored with rounding errors, which are no spectrum.
    if math.log(kept[-1] / kept[0]) <= _EQUAL * step * math.sqrt(part.N):
        return PowerLawFit(status="degenerate")
    return fit(
        kept,
        distribution=settings.fit,
        xmin=settings.xmin,
        xmax=settings.xmax,
        min_tail=settings.min_tail,
        two_sided=settings.ks == "two_sided",
        fingers=settings.fingers,
        bootstrap=settings.bootstrap,
        gof=settings.gof,
        rng=rng,
    )


def _fit_columns(evals: Array, kept: Array, fitted: PowerLawFit, settings: Settings) -> Row:
    alpha, top = fitted.alpha, float(evals[-1])
    finite = math.isfinite(alpha)
    row: Row = {
        "alpha": alpha,
        "xmin": fitted.xmin,
        "xmax": fitted.xmax,
        "D": fitted.D,
        "sigma": fitted.sigma,
        "num_pl_spikes": fitted.n_tail,
        "n_tail": fitted.n_tail,
        "alpha_lo": fitted.ci[0],
        "alpha_hi": fitted.ci[1],
        "gof_p": fitted.p_value,
        "fit_best": fitted.law,
        "alpha_weighted": alpha * math.log10(top) if finite else math.nan,
        "log_alpha_norm": shape.log_norm(evals, alpha) if finite else math.nan,
        "status": fitted.status,
        "reason": _reason(fitted, kept),
        "warning": warning(alpha) if settings.fit in {"PL", "best"} else "",
    }
    if settings.fit in {"TPL", "E_TPL"}:
        row["Lambda"] = fitted.Lambda
    row.update(fitted.extras)
    return row


def _reason(fitted: PowerLawFit, kept: Array) -> str:
    if fitted.status == "degenerate":
        return "a single eigenvalue" if kept.size < 2 else "all eigenvalues are equal"
    if fitted.status == "small":
        return f"{kept.size} eigenvalues, {fitted.n_tail} in the tail: alpha is a rough guess"
    return "no start of a tail is left by the options" if fitted.status == "failed" else ""


def _may_mislead(evals: Array, kept: Array, fitted: PowerLawFit, settings: Settings) -> bool:
    """Return whether single precision may have fitted noise, or the wrong of two tails."""
    if settings.precision == "float64":
        return False
    if np.count_nonzero(evals < _NOISE * evals[-1]) > _NOISY * evals.size:
        return True  # of low rank: much of what seems a spectrum is rounding
    if not math.isfinite(fitted.alpha):
        return False
    from dl_techniques.weightwatcher.numerics.pareto import runner_up

    second = runner_up(kept, Tail(kept.size - fitted.n_tail, fitted.alpha, fitted.D), _CLOSE_D)
    return second is not None and abs(second.alpha - fitted.alpha) > 1e-3


def _with_double_precision(settings: Settings) -> Settings:
    return Settings(**{**settings.to_dict(), "precision": "float64"})
