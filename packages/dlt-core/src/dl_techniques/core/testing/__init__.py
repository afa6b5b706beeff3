"""The conformance kit: what holds of every component, checked.

`check_component` checks one component and returns a report; `parametrize_with_checks` makes one
pytest test of each check, which is all that a plugin's own test suite needs:

```python
from dl_techniques.core.testing import parametrize_with_checks

@parametrize_with_checks("acme-gates")
def test_conformance(component, check):
    check()
```
"""

from __future__ import annotations

from dl_techniques.core.testing import checks as _checks  # noqa: F401  # fills the table
from dl_techniques.core.testing.check import CHECKS, Check, NotApplicable
from dl_techniques.core.testing.differentiation import Differential, value_and_gradients
from dl_techniques.core.testing.golden import Golden, export_golden, verify_golden
from dl_techniques.core.testing.parametrize import ConformanceWarning, parametrize_with_checks
from dl_techniques.core.testing.result import CheckResult, ConformanceError, Report
from dl_techniques.core.testing.runner import check_component

__all__ = [
    "CHECKS",
    "Check",
    "CheckResult",
    "ConformanceError",
    "ConformanceWarning",
    "Differential",
    "Golden",
    "NotApplicable",
    "Report",
    "check_component",
    "export_golden",
    "parametrize_with_checks",
    "value_and_gradients",
    "verify_golden",
]
