"""Keras's own names as data: those that a model file may hold, and their first versions.

The table `keras_builtins.json` is generated from the sources of Keras releases by
`tools/scan_keras.py`. It is an allow-list: whatever it lacks is refused.
"""

from __future__ import annotations

import functools
import json
import re
from importlib.resources import files
from typing import Any, Final, NamedTuple

_TORCH_OPTIMIZERS: Final = re.compile(r"keras\.src\.backend\.torch\.optimizers\.torch_[a-z]+")
_TABLE: Final = "keras_builtins.json"
# Nothing is imported from there: it is how Keras names operations in the files that it writes.
OPERATIONS: Final = "keras.src.ops."

RUNS_CODE: Final = {
    "keras.layers.Lambda": "it runs code that the file carries",
    "keras.layers.TFSMLayer": "it runs a program from a folder that the file names",
    "keras.layers.TorchModuleWrapper": "it unpickles what the file carries",
    "keras.layers.JaxLayer": "it calls functions that the file names",
    "keras.layers.FlaxLayer": "it calls functions that the file names",
}
"""Built-in layers that a file may hold only if the caller opts in, and why."""

NEVER: Final = {
    "keras.quantizers.AWQConfig": "it reads a data set that the file names",
    "keras.quantizers.GPTQConfig": "it reads a data set that the file names",
}

READS_FILES: Final = frozenset({"IntegerLookup", "StringLookup", "TextVectorization"})
"""Layers that read a file where a path stands in place of the values."""

LITERALS: Final[dict[str, dict[str, tuple[type, ...]]]] = {
    "IntegerLookup": {"vocabulary": (int,), "idf_weights": (int, float)},
    "StringLookup": {"vocabulary": (str,), "idf_weights": (int, float)},
    "TextVectorization": {"vocabulary": (str,), "idf_weights": (int, float)},
    "Discretization": {"bin_boundaries": (int, float)},
}
"""Built-in layer -> its parameters that hold plain values, and their types."""


class Added(NamedTuple):
    """A constructor parameter that came after the oldest supported Keras."""

    since: str
    default: Any


class Builtins(NamedTuple):
    """The table."""

    versions: tuple[str, ...]
    """The Keras releases it was made from, oldest first."""
    classes: dict[str, str]
    """`module.Name` -> the first of these that has it."""
    functions: dict[str, str]
    added: dict[str, dict[str, Added]]
    """`module.Name` -> parameter -> since when."""

    @property
    def span(self) -> str:
        """The releases, for messages."""
        return f"Keras {self.versions[0]} to {self.versions[-1]}"


@functools.cache
def keras_builtins() -> Builtins:
    """Read the table, once."""
    text = files("dl_techniques.core.files").joinpath(_TABLE).read_text(encoding="utf-8")
    table = json.loads(text)
    return Builtins(
        tuple(table["keras"]),
        _flat(table["classes"]),
        _flat(table["functions"]),
        {
            name: {key: Added(*value) for key, value in keys.items()}
            for name, keys in table["added"].items()
        },
    )


def public_name(module: object, name: str) -> str:
    """`module.Name` of a class, where Keras wrote a private module in place of a public one.

    On PyTorch, Keras stores its optimizers as classes of its PyTorch backend, which the other
    backends cannot load.

    Args:
        module: The module as the file has it.
        name: The class's name.

    Example:
        >>> public_name("keras.src.backend.torch.optimizers.torch_adam", "Adam")
        'keras.optimizers.Adam'
    """
    if isinstance(module, str) and _TORCH_OPTIMIZERS.fullmatch(module):
        return f"keras.optimizers.{name}"
    return f"{module}.{name}"


@functools.cache
def class_names() -> frozenset[str]:
    """The bare names of all built-in classes."""
    return frozenset(name.rpartition(".")[2] for name in keras_builtins().classes)


@functools.cache
def function_names() -> frozenset[str]:
    """The bare names of all built-in functions that a file may name."""
    return frozenset(name.rpartition(".")[2] for name in keras_builtins().functions)


def _flat(nested: dict[str, dict[str, str]]) -> dict[str, str]:
    return {f"{module}.{name}": v for module, names in nested.items() for name, v in names.items()}
