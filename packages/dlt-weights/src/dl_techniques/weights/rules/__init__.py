"""Rules that take weights from a file to a model and back."""
