"""The module path of `inspect_model` in the first release, kept for its users."""

from dl_techniques.core.files.report import ModelReport, inspect_model

__all__ = ["ModelReport", "inspect_model"]
