"""The conformance kit over everything that dlt-models-seq declares."""

from __future__ import annotations

import os

from dl_techniques.core.testing import parametrize_with_checks

# tests/speed.py says which stacks check the first example of each component alone.
EXAMPLES = os.environ.get("CONFORMANCE_EXAMPLES", "all")


@parametrize_with_checks("dlt-models-seq", strict_documentation=True, examples=EXAMPLES)
def test_conformance(component, check):
    check()
