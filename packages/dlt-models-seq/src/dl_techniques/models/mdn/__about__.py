"""The version of dlt-models-seq."""

__version__ = "0.1.0"
