"""The conformance kit: what holds of every component, checked."""
