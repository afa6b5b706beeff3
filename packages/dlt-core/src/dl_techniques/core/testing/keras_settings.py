"""Keras's settings of the whole process, which no component may change."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras


class Settings(NamedTuple):
    """The settings of `keras.config`."""

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: Any


def global_settings() -> Settings:
    """The settings as they are."""
    config = keras.config
    return Settings(
        config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy()
    )


def restore_settings(settings: Settings) -> None:
    """Bring back settings that a check found.

    Args:
        settings: The answer of `global_settings`.
    """
    for name, value in settings._asdict().items():
        getattr(keras.config, f"set_{name}")(value)
