"""Layers that a caller passes by name to a child process; some end it."""

from __future__ import annotations

import os
from typing import Any

import keras


class Aborting(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Ends the process when it is built."""

    def build(self, input_shape: Any) -> None:
        os.abort()

    def call(self, inputs: Any) -> Any:
        return inputs


class Twice(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    def call(self, inputs: Any) -> Any:
        return 2 * inputs


class Hungry(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """Takes as much memory as its configuration says, and gives it back."""

    def __init__(self, mebibytes: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mebibytes = mebibytes
        block = bytearray(mebibytes << 20)
        block[::4096] = b"x" * len(block[::4096])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mebibytes": self.mebibytes}

    def call(self, inputs: Any) -> Any:
        return inputs


class Endless(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    def build(self, input_shape: Any) -> None:
        while True:
            pass

    def call(self, inputs: Any) -> Any:
        return inputs
