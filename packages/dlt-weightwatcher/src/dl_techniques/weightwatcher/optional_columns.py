"""The columns that an option asks for, in either definition of a row."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from dl_techniques.weightwatcher.numerics import distances, shape
from dl_techniques.weightwatcher.numerics.arrays import Array
from dl_techniques.weightwatcher.numerics.localization import localization
from dl_techniques.weightwatcher.numerics.marchenko_pastur import fit_marchenko_pastur
from dl_techniques.weightwatcher.numerics.spectrum import spectrum
from dl_techniques.weightwatcher.numerics.windows import windowed_hill_alpha
from dl_techniques.weightwatcher.parts import Part
from dl_techniques.weightwatcher.settings import Settings

Row = dict[str, Any]

UNDER_TRAINED: Final = 6.0
OVER_TRAINED: Final = 2.0


def optional_columns(
    stack: Array,
    evals: Array,
    part: Part,
    settings: Settings,
    xmin: float,
    rng: np.random.Generator,
) -> Row:
    """The columns that an option asks for.

    Args:
        stack: Shape (slices, rows, columns).
        evals: Its eigenvalues, ascending.
        part: The description of the stack.
        settings: The options.
        xmin: Where the fitted tail begins.
        rng: Where randomness comes from.
    """
    row: Row = {}
    if settings.hill:
        row["alpha_hill"] = shape.hill_alpha(evals)
    if settings.farms is not None:
        row["alpha_farms"] = float(
            np.mean([windowed_hill_alpha(matrix, settings.farms) for matrix in stack])
        )
    if settings.detX:
        count = shape.volume_count(evals)
        row["detX_num"] = row["num_ERG_spikes"] = count
        row["detX_val"] = float(evals[evals.size - count])
        row["detX_val_rescaled"] = row["detX_val"] / float(evals.mean())
        spikes = 0 if math.isnan(xmin) else int(np.count_nonzero(evals >= xmin))
        row["ERG_gap"] = count - spikes
    if settings.mp_fit:
        row.update(_bulk_columns(evals, part, ""))
    if settings.randomize:
        row.update(_randomized_columns(stack, evals, part, settings, rng))
    if settings.vectors and np.isrealobj(stack):
        found = [localization(matrix, xmin) for matrix in stack]
        row.update(
            {
                key: float(np.nanmean([f[key] for f in found]))
                if any(f[key] == f[key] for f in found)
                else math.nan
                for key in found[0]
            }
        )
    return row


def warning(alpha: float) -> str:
    """Return the name of an alpha's range.

    Args:
        alpha: The exponent.
    """
    if not math.isfinite(alpha):
        return ""
    return (
        "over-trained" if alpha < OVER_TRAINED else "under-trained" if alpha > UNDER_TRAINED else ""
    )


def _bulk_columns(evals: Array, part: Part, prefix: str) -> Row:
    bulk = fit_marchenko_pastur(evals, part.N, part.M)
    return {
        f"{prefix}num_spikes": bulk.num_spikes,
        f"{prefix}sigma_mp": bulk.sigma,
        f"{prefix}mp_softrank": bulk.softrank,
        f"{prefix}W_scale": bulk.scale,
        f"{prefix}bulk_max": bulk.bulk_max,
        f"{prefix}bulk_min": bulk.bulk_min,
    }


def _randomized_columns(
    stack: Array, evals: Array, part: Part, settings: Settings, rng: np.random.Generator
) -> Row:
    """The same entries in random places: what a structureless matrix of this kind looks like."""
    permuted = permuted_spectrum(stack, settings, rng)
    distance = (
        distances.jensen_shannon if settings.compat is None else distances.jensen_shannon_of_vectors
    )
    row: Row = {
        "max_rand_eval": float(permuted[-1]),
        "ww_softrank": float(permuted[-1] / evals[-1]),
        "ww_maxdist": float(evals[-1] - permuted[-1]),
        "rand_distance": distance(evals, permuted),
        "rand_wasserstein": distances.wasserstein(evals, permuted),
        **_bulk_columns(permuted, part, "rand_"),
    }
    row["num_traps"] = row["rand_num_spikes"]
    return row


def permuted_spectrum(stack: Array, settings: Settings, rng: np.random.Generator) -> Array:
    """Eigenvalues after a random permutation of each slice's entries, ascending.

    Args:
        stack: Shape (slices, rows, columns).
        settings: The precision.
        rng: Where randomness comes from.
    """
    shuffled = []
    for matrix in stack:
        flat = np.array(matrix).reshape(-1)
        rng.shuffle(flat)
        found = spectrum(
            flat.reshape(1, *matrix.shape), precision=settings.precision, device=settings.device
        )
        shuffled.append(found.evals.ravel())
    return np.sort(np.concatenate(shuffled))
