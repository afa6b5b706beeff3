"""Pictures and pages. matplotlib is imported here only, and never its global state."""
