"""Models side by side: data that other modules render and store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dl_techniques.weightwatcher.result import Analysis


class Comparison:
    """Models side by side.

    Attributes:
        results: Name -> the analysis of each model.
        layers: One record for each layer that at least two models have: the first model against
            each other one.
        models: One record for each model, best first: the distance of the layers' alphas from
            [2, 6], then the mean of alpha_weighted.
        unmatched: Name -> the layers that have no counterpart in the first model.
    """

    def __init__(
        self,
        results: Mapping[str, Analysis],
        layers: list[dict[str, Any]],
        models: list[dict[str, Any]],
        unmatched: dict[str, list[str]],
    ) -> None:
        self.results = results
        self.layers = layers
        self.models = models
        self.unmatched = unmatched
