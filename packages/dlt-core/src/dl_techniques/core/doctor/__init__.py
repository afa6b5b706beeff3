"""Diagnosis of installed distributions."""
