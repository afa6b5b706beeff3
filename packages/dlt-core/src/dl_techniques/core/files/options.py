"""The terms of `load_model`, as they are handed from one step to the next."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from dl_techniques.core.files.limits import LIMITS, Limits


class Options(NamedTuple):
    """The arguments of `load_model`, which documents each."""

    compile: bool = True
    custom_objects: Mapping[str, Any] = MappingProxyType({})
    allow_unsafe: bool = False
    finite: bool = False
    limits: Limits = LIMITS


OPTIONS: Final = Options()
