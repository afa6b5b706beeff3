"""Constants inside a configuration: tensors, arrays, shapes and the like, in plain JSON."""

from __future__ import annotations

from typing import Any, Final

from dl_techniques.core.text import short_repr

_NUMERIC: Final = frozenset(
    {"bool", "bfloat16"}
    | {f"float{bits}" for bits in (16, 32, 64)}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
# A symbolic tensor holds nothing, so that its dtype may be any that Keras knows.
_SYMBOLIC: Final = _NUMERIC | {"string", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2"}
_LARGEST_SIZE: Final = 1 << 31
_LARGEST_RANK: Final = 32


def problem(name: str, config: Any) -> str | None:
    """Describe what is invalid in a constant.

    Args:
        name: Its kind, such as `"__tensor__"`.
        config: Its configuration in the file.

    Returns:
        The problem, or `None` if Keras may have the constant.

    Example:
        >>> problem("__numpy__", {"value": [1.0, 2.0], "dtype": "float32"})
        >>> problem("__numpy__", {"value": [1.0], "dtype": "S900000000"})
        "holds an array of the dtype 'S900000000'."
    """
    if name == "__typespec__":
        return "holds a type specification, which is found by a module that the file names."
    if name not in _CHECKS:
        return f"holds a constant of the unknown kind {short_repr(name)}."
    if not isinstance(config, dict):
        return f"holds a malformed {name}."
    found: str | None = _CHECKS[name](config)
    return found


def _array(config: dict[str, Any]) -> str | None:
    if not _is_one_of(config.get("dtype"), _NUMERIC):
        return f"holds an array of the dtype {short_repr(config.get('dtype'))}."
    stack: list[tuple[Any, int]] = [(config.get("value"), 0)]
    while stack:
        value, depth = stack.pop()
        if isinstance(value, list) and depth < _LARGEST_RANK:
            stack.extend((item, depth + 1) for item in value)
        elif not isinstance(value, bool | int | float):
            return "holds an array of something else than numbers."
    return None


def _symbolic(config: dict[str, Any]) -> str | None:
    shape, dtype, history = (config.get(key) for key in ("shape", "dtype", "keras_history"))
    if not isinstance(shape, list) or len(shape) > _LARGEST_RANK:
        return "holds a tensor without a shape."
    if not all(size is None or _is_size(size) for size in shape):
        return f"holds a tensor of the impossible shape {short_repr(str(shape))}."
    if not _is_one_of(dtype, _SYMBOLIC):
        return f"holds a tensor of the dtype {short_repr(dtype)}."
    simple = history is None or (
        isinstance(history, list)
        and len(history) == 3
        and isinstance(history[0], str)
        and all(_is_size(index) for index in history[1:])
    )
    return None if simple else "holds a tensor with a malformed history."


def _is_one_of(value: Any, known: frozenset[str]) -> bool:
    return isinstance(value, str) and value in known


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_SIZE


def _bytes(config: dict[str, Any]) -> str | None:
    return None if isinstance(config.get("value"), str) else "holds malformed bytes."


def _slice(config: dict[str, Any]) -> str | None:
    parts = [config.get(key) for key in ("start", "stop", "step")]
    fine = all(part is None or isinstance(part, int | dict) for part in parts)
    return None if fine else "holds a malformed slice."


def _ellipsis(config: dict[str, Any]) -> str | None:
    return "holds a malformed ellipsis." if config else None


_CHECKS: Final = {
    "__tensor__": _array,
    "__numpy__": _array,
    "__keras_tensor__": _symbolic,
    "__bytes__": _bytes,
    "__slice__": _slice,
    "__ellipsis__": _ellipsis,
}
