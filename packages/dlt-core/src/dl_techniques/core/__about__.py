"""Version and contract number of the core."""

__version__ = "0.1.0"

CONTRACT = 1
"""The contract between core and components; a manifest states the one that it was made for."""
