"""The components of installed distributions: found, listed and imported."""
