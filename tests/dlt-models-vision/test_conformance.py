"""The conformance kit over everything that dlt-models-vision declares."""

from __future__ import annotations

from dl_techniques.core.testing import parametrize_with_checks


@parametrize_with_checks("dlt-models-vision", strict_documentation=True)
def test_conformance(component, check):
    check()
