"""Spectral diagnostics of any model's weights, from live models and from files."""

from dl_techniques.core.lazy import serve

_NAMES = {
    "analyzer": ("analyze_model", "describe_model"),
    "comparison": ("ComparisonResult", "compare_models"),
    "weightwatcher": ("WeightWatcher",),
    "alpha_callback": ("AlphaCallback",),
    "metrics": (
        "alpha",
        "concentration_score",
        "eigenvalues",
        "fit_powerlaw",
        "matrix_entropy",
        "mp_fit",
        "stable_rank",
    ),
    "smoothing": ("sharpen_model", "smooth_model"),
    "analysis_result": ("AnalysisResult",),
    "result": ("Layer",),
    "numerics.powerlaw": ("PowerLawFit",),
    "numerics.marchenko_pastur": ("MarchenkoPastur",),
    "readers.weight": ("Skipped", "SourceError", "Weight"),
    "__about__": ("__version__",),
}
__getattr__, __dir__, __all__ = serve(
    __name__,
    {name: f"{__name__}.{module}:{name}" for module, names in _NAMES.items() for name in names},
)
