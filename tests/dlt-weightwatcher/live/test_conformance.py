"""The conformance kit over everything that dlt-weightwatcher declares."""

from __future__ import annotations

from dl_techniques.core.testing import parametrize_with_checks


@parametrize_with_checks("dlt-weightwatcher", strict_documentation=True)
def test_conformance(component, check):
    check()
