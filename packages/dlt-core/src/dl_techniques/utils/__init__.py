"""General utilities: the logger and functions on weight tensors."""
