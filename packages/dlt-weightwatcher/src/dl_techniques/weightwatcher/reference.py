"""The columns as weightwatcher 0.7.7 defines them, for `compat="weightwatcher"`.

Its constants are absolute: eigenvalues below 1e-5 are dropped from the fit, the norms of pooled
convolutions are halved, and -1 stands for what could not be fitted. Only what is a plain error
there (exchanged N and M of even kernels, products that overflow, -1 that is called over-trained) is
not repeated.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.numerics import shape
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.pareto import Tail, depths, distance, fit_tail
from dl_techniques.weightwatcher.optional_columns import optional_columns, warning
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.settings import Settings

THRESHOLD: Final = 1e-5
_EPSILON: Final = 1e-10
_POOLED_FACTOR: Final = 0.5
_SMALL: Final = 20
_LEAST_TAIL: Final = 8
_FAILED: Final = -1.0
MAX_EVALS: Final = 15000
MAX_N: Final = 50000
_FIXED: Final = frozenset(
    ("fit", "xmin", "xmax", "min_tail", "ks", "fingers", "bootstrap", "gof", "precision")
)


def reference_settings(options: dict[str, Any]) -> dict[str, Any]:
    """The options with the reference's limits where the caller names none.

    Args:
        options: The caller's options.

    Raises:
        ValueError: If an option is given that changes the reference's own fit.
    """
    for name in sorted(options.keys() & _FIXED):
        if options[name] != getattr(Settings(), name):
            raise ValueError(
                f"`compat='weightwatcher'` fits as the reference does by default. "
                f"Received: {name}={options[name]!r}"
            )
    return {"max_evals": MAX_EVALS, "max_N": MAX_N, "hill": False, **options}


def reference_row(
    stack: Array, evals: Array, part: Part, settings: Settings, rng: np.random.Generator
) -> tuple[dict[str, Any], Array]:
    """A row in the reference's definitions, and its eigenvalues.

    Args:
        stack: Shape (slices, rows, columns).
        evals: Eigenvalues slice by slice, each ascending.
        part: The description of the stack.
        settings: The options.
        rng: Where randomness comes from.
    """
    # The taps of a convolution are scaled by sqrt(1/2), a single one too; a matrix is not.
    factor = _POOLED_FACTOR if part.slices > 1 or part.kernel else 1.0
    slices = evals * factor
    pooled = np.sort(slices, axis=None)
    tail = fit_reference(pooled)
    row = _columns(pooled, slices, part)
    row.update(_fit_columns(pooled, tail))
    scaled = stack if factor == 1.0 else np.asarray(stack, np.float64) * math.sqrt(factor)
    row.update(optional_columns(scaled, pooled, part, settings, row["xmin"], rng))
    if "detX_val_rescaled" in row:
        row["detX_val_unrescaled"] = row.pop("detX_val_rescaled")  # its own name for it
    return row, pooled


def fit_reference(evals: Array) -> Tail | None:
    """The reference's fit, with its separate rule for fewer than twenty eigenvalues.

    Args:
        evals: Eigenvalues, ascending.
    """
    x = evals[evals > THRESHOLD]
    if x.size < _SMALL:
        return _fit_few(x)
    return fit_tail(x)


def _fit_few(x: Array) -> Tail | None:
    """Alpha = 1 + (m - 1) / sum, tails of eight and more."""
    if x.size < _LEAST_TAIL:
        return None
    d = depths(x)
    best: Tail | None = None
    for start in range(x.size - _LEAST_TAIL + 1):
        tail = d[start:]
        total = float(np.sum(tail[0] - tail))
        if total <= 0:
            continue
        alpha = 1.0 + (tail.size - 1) / total
        gap = distance(d, start, alpha)
        if best is None or gap < best.D:
            best = Tail(start, alpha, gap)
    return best


def _columns(pooled: Array, slices: Array, part: Part) -> dict[str, Any]:
    top, total = float(pooled[-1]), float(pooled.sum())
    singular = np.sqrt(pooled)
    tolerance = part.N * float(np.finfo(np.float64).eps)
    rank = int(np.count_nonzero(singular > singular[-1] * tolerance))
    roots = np.sqrt(slices)
    ranks = np.count_nonzero(roots > roots[:, -1:] * tolerance, axis=1)
    p = pooled / total + _EPSILON
    entropy = float(-np.sum(p * np.log(p)) / math.log(rank + _EPSILON))
    return {
        "sv_max": math.sqrt(top),
        "sv_min": math.sqrt(float(slices[:, 0].max())),
        "lambda_max": top,
        "spectral_norm": top,
        "log_spectral_norm": math.log10(top),
        "norm": total,
        "log_norm": math.log10(total),
        "stable_rank": shape.stable_rank(pooled),
        "matrix_rank": rank,
        "rank_loss": int(np.sum(slices.shape[1] - ranks)),
        "weak_rank_loss": int(np.count_nonzero(pooled < 1e-6)),
        "entropy": entropy,
        "has_esd": True,
        "nan_count": 0,
    }


def _fit_columns(pooled: Array, tail: Tail | None) -> dict[str, Any]:
    if tail is None:
        names = ("alpha", "xmin", "xmax", "D", "sigma", "num_pl_spikes")
        return {
            **dict.fromkeys(names, _FAILED),
            "alpha_weighted": math.nan,
            "log_alpha_norm": math.nan,
            "status": "failed",
            "reason": "too few eigenvalues above 1e-5",
            "warning": "",
        }
    x = pooled[pooled > THRESHOLD]
    m = x.size - tail.start
    return {
        "alpha": tail.alpha,
        "xmin": float(x[tail.start]),
        "xmax": float(x[-1]),
        "D": tail.D,
        "sigma": (tail.alpha - 1) / math.sqrt(m),
        "num_pl_spikes": m,
        "n_tail": m,
        "alpha_weighted": tail.alpha * math.log10(float(pooled[-1])),
        "log_alpha_norm": shape.log_norm(pooled, tail.alpha),
        "status": "ok",
        "reason": "",
        "warning": warning(tail.alpha),
    }
