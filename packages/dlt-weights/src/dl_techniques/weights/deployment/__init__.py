"""Models made ready for inference: folded, joined, compiled."""
