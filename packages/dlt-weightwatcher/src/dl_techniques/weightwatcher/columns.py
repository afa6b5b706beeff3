"""The order of the columns, and which of them are numbers."""

from __future__ import annotations

from typing import Final

IDENTITY: Final = (
    "layer_id",
    "name",
    "longname",
    "layer_type",
    "path",
    "dtype",
    "N",
    "M",
    "Q",
    "rf",
    "num_evals",
)
FIT: Final = (
    "status",
    "warning",
    "alpha",
    "alpha_lo",
    "alpha_hi",
    "gof_p",
    "xmin",
    "xmax",
    "D",
    "sigma",
    "n_tail",
    "num_pl_spikes",
    "alpha_weighted",
    "log_alpha_norm",
    "alpha_hill",
    "fit_best",
)
SHAPE: Final = (
    "lambda_max",
    "spectral_norm",
    "log_spectral_norm",
    "norm",
    "log_norm",
    "sv_max",
    "sv_min",
    "condition",
    "stable_rank",
    "effective_rank",
    "matrix_rank",
    "rank_loss",
    "weak_rank_loss",
    "entropy",
    "concentration_score",
    "participation_ratio",
    "gini",
    "top1_share",
)
LAST: Final = ("nan_count", "inf_count", "alias_of", "reason", "note")
TEXTS: Final = frozenset(
    {
        "name",
        "longname",
        "layer_type",
        "path",
        "dtype",
        "status",
        "warning",
        "fit_best",
        "alias_of",
        "reason",
        "note",
    }
)
ALWAYS: Final = (*IDENTITY, *FIT, *SHAPE, *LAST)
SUMMARY: Final = (
    "alpha",
    "alpha_weighted",
    "log_alpha_norm",
    "log_norm",
    "log_spectral_norm",
    "stable_rank",
    "entropy",
    "concentration_score",
    "alpha_hill",
    "mp_softrank",
)
