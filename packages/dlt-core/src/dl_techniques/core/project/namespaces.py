"""Tell whose namespace an identifier takes."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import Final

from dl_techniques.core.contract.identifier import FIRST_PARTY_NAMESPACE

# Libraries that register their classes with Keras under their own name.
_LIBRARIES: Final = frozenset(
    {
        "Addons", "autokeras", "bayesflow", "keras_core", "keras_cv", "keras_hub", "keras_nlp",
        "keras_rs", "keras_tuner", "tensorflow_addons", "tensorflow_probability", "tf_keras",
        "tfm", "transformers",
    }
)  # fmt: skip


def namespace_warnings(package: str, identifiers: Iterable[str]) -> list[str]:
    """Warn of identifiers in the namespace of another library.

    A file with such an identifier loads one of two classes, by the order of imports.

    Args:
        package: The import package that declares the components.
        identifiers: Their identifiers.
    """
    own = package.partition(".")[0]
    namespaces = {identifier.partition(">")[0]: identifier for identifier in identifiers}
    return [
        f"{identifier!r} takes the namespace of another library, {namespace}; "
        f"{package} may use {own!r}, as in '{own}>{identifier.partition('>')[2]}'"
        for namespace, identifier in sorted(namespaces.items())
        if namespace not in {own, FIRST_PARTY_NAMESPACE} and _is_library(namespace)
    ]


def _is_library(namespace: str) -> bool:
    if namespace in _LIBRARIES:
        return True
    # Finding a top-level package imports nothing.
    return namespace.isidentifier() and importlib.util.find_spec(namespace) is not None
