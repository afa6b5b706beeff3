"""Readers of weight files: NumPy only, lazy, and safe for files of strangers."""
