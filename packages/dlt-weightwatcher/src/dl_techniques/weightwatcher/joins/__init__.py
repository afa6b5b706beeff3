"""Tensors that belong together: factors and bases, values and scales, directions and lengths."""
