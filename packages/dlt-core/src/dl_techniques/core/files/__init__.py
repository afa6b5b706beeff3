"""Model files: saved atomically, checked before they are loaded."""
