"""Version of dlt-models-vision."""

__version__ = "0.1.0"
