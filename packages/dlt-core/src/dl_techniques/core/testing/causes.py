"""Tell the cause of a failure in words: what the author wrote, where, and what to write instead.

Backends and Keras report a mistake in their own terms, often wrapped several times: JAX's error
about a traced branch even hides behind an `AttributeError` of Keras's wrapper. Here the chain of
errors is followed to the author's own line, and known mistakes are named.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import keras
import numpy as np

if TYPE_CHECKING:
    from dl_techniques.core.testing.subject import Subject

_LONGEST: Final = 400
_ESCAPES: Final = re.compile("\x1b\\[[0-9;]*m")
_WRAPPED: Final = re.compile(
    r"Exception encountered when calling .*?\n+(.*?)\n+Arguments received by ", re.DOTALL
)
# Keras's wrapper makes an error anew from its text, which these classes of JAX do not take.
_UNTELLING: Final = "'_error_repr'"

# Errors at uses that a graph's tensors do not allow: names of error classes and parts of their
# texts, the mistake, and the way out.
_TRACED: Final = (
    (
        r"TracerBoolConversionError|OperatorNotAllowedInGraph|as a boolean|as a Python `?bool",
        "branches on a tensor",
        "Use `ops.where` or `ops.cond`",
    ),
    (
        r"TracerArrayConversionError|NumPy array|numpy array|call numpy\(\)|numpy\(\) is not",
        "gives a tensor to NumPy",
        "Use the function of that name in `keras.ops`",
    ),
    (
        r"NonConcreteBooleanIndexError",
        "selects elements by a boolean tensor, which gives a shape that depends on values",
        "Use `ops.where`",
    ),
    (
        r"TracerIntegerConversionError|ConcretizationTypeError|to an? (?:int|float|Python scalar)",
        "turns a tensor into a Python number",
        "Keep it a tensor; sizes come from `ops.shape`",
    ),
)
_SEEDED: Final = (
    "Draw only if `training`, with `seed=self.seed_generator`, which `__init__` creates by "
    "`keras.random.SeedGenerator(seed)`"
)
_STRUCTURE: Final = (
    (
        r"forgot to call `?super\(\)|has no attribute '_(?:dtype_policy|tracker|lock)'",
        "must call `super().__init__(**kwargs)` first",
        "",
    ),
    (
        r"cannot add new elements of state|Variables can only be created|tracer leak",
        "creates weights or sub-layers",
        "Create them in `__init__` or `build`",
    ),
    (r"only use seeded random ops", "draws random numbers without a seed generator", _SEEDED),
)
_ABOUT_DTYPES: Final = re.compile(r"float(?:16|32|64)|dtype|policy|round trip: .*name")
_ABOUT_VALUES: Final = re.compile(r"differ|changes|gradient|off by|known axes")
_DOCTEST: Final = re.compile(r"\*{20,}\nFile .*?, line (\d+),.*?\n(?=\n|\*{20,}|\Z)", re.DOTALL)


class Cause(NamedTuple):
    """The cause of a failed check."""

    text: str
    """One line for the author."""
    key: str
    """Equal for failures that one mend removes."""
    traced: bool = False
    """Whether every call in a graph fails for it."""


def cause_of(error: BaseException, subject: Subject) -> Cause | None:
    """Find the cause of an error that a check met.

    Args:
        error: The exception.
        subject: The subject of the check.

    Returns:
        The cause, or `None` where the check's own text says it best.
    """
    if isinstance(error, AssertionError):
        return _behind(str(error), subject)
    chain = list(_chain(error))
    frame = _author_frame(chain, subject.cls)
    texts = "\n".join(f"{type(e).__name__}: {e}" for e in chain)
    for table in (_TRACED, _STRUCTURE):
        for pattern, mistake, remedy in table:
            if frame is not None and re.search(pattern, texts):
                where = _where(*frame)
                text = f"`{_function(frame[0])}` {mistake} ({where}).{remedy and f' {remedy}.'}"
                return Cause(text, where, traced=table is _TRACED)
    told = next((e for e in chain if not _is_wrapper(e)), error)
    if frame is None:
        text = f"{type(told).__name__}: {tidy(told)}"
        return Cause(text, text)
    where = _where(*frame)
    name = type(told).__name__
    return Cause(f"`{_function(frame[0])}` raises {name}: {tidy(told)} ({where})", where)


def _behind(text: str, subject: Subject) -> Cause | None:
    """Return the cause behind what a check states, if one of the usual ones is found."""
    policies = subject.once(_policies) if _ABOUT_DTYPES.search(text) else None
    if policies is not None:
        return Cause(policies, policies)
    impurity = subject.once(impure) if _ABOUT_VALUES.search(text) else None
    if isinstance(impurity, Cause):
        return impurity
    failed = _DOCTEST.search(text)
    if failed is not None:
        last = failed[0].strip().splitlines()[-1].strip()
        return Cause(f"the example in the docstring fails at its line {failed[1]}: {last}", "")
    return None


def tidy(error: BaseException) -> str:
    """Return the text of an error on one line, without terminal codes and Keras's frame.

    Args:
        error: Anything raised.
    """
    text = _ESCAPES.sub("", str(error))
    while (wrapped := _WRAPPED.search(text)) is not None:
        text = wrapped[1]
    text = " ".join(text.split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Iterate from an error to the first one, also where `from None` hides it."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__


def _is_wrapper(error: BaseException) -> bool:
    return _UNTELLING in str(error) or _WRAPPED.search(str(error)) is not None


def _author_frame(chain: list[BaseException], cls: Any) -> tuple[FrameType, int] | None:
    """Return the innermost frame in the author's own package, with its line."""
    root = cls.__module__.partition(".")[0]
    for error in reversed(chain):
        found = None
        traceback = error.__traceback__
        while traceback is not None:
            module = str(traceback.tb_frame.f_globals.get("__name__", ""))
            own = module.partition(".")[0] == root and not module.startswith("dl_techniques.core.")
            if own:
                found = traceback.tb_frame, traceback.tb_lineno
            traceback = traceback.tb_next
        if found is not None and root != "keras":
            return found
    return None


def _function(frame: FrameType) -> str:
    return frame.f_code.co_qualname.replace(".<locals>", "")


def _where(frame: FrameType, line: int) -> str:
    file = frame.f_code.co_filename
    code = linecache.getline(file, line).strip()
    return f"{_shown(file)}:{line}: `{code}`" if code else f"{_shown(file)}:{line}"


def _shown(file: str) -> str:
    return os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file


def impure(subject: Subject) -> Cause | None:
    """Find out whether two calls at inference differ, and by which line of `call`.

    Args:
        subject: A layer.
    """
    if not subject.is_class or not subject.specs or not hasattr(subject.cls, "call"):
        return None
    try:
        instance = subject.make()
        first, second = (subject.outputs(instance, subject.arrays()) for _ in range(2))
    except Exception:  # another cause, which has been told
        return None
    if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)):
        return None
    name = f"{subject.cls.__name__}.call"
    for line, code, is_random in _suspects(subject.cls):
        where = f"{_shown(inspect.getsourcefile(subject.cls) or '')}:{line}: `{code}`"
        if is_random:
            text = f"`{name}` draws random numbers at inference ({where}). {_SEEDED}."
        else:
            text = (
                f"`{name}` creates a layer, with new weights at each call ({where}). Create it in "
                "`__init__` or `build`."
            )
        return Cause(text, where)
    text = f"two calls of `{name}` at inference differ on the same input"
    return Cause(text, text)


def _suspects(cls: Any) -> Iterator[tuple[int, str, bool]]:
    """Iterate over lines of `call` that create a layer or draw numbers: line, code, which."""
    try:
        lines, start = inspect.getsourcelines(cls.call)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return
    for node in ast.walk(tree):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        is_random = "random." in called
        if is_random or re.search(r"(?:^|\.)layers\.[A-Z]\w*$", called):
            number = node.lineno  # type: ignore[attr-defined]  # a call has one
            yield start + number - 1, lines[number - 1].strip(), is_random


def _policies(subject: Subject) -> str | None:
    """Explain a wrong dtype by layers that follow another policy than their owner's."""
    if subject.kind not in {"layer", "activation"} or not subject.is_class:
        return None
    before = keras.config.dtype_policy()
    parts = subject.parts()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        instance = subject.create(dtype="float32", **parts)
        subject.call(instance, subject.arrays())
    except Exception:  # then the check's own text is all that is known
        return None
    finally:
        keras.config.set_dtype_policy(before)
    name = type(instance).__name__
    if instance.dtype_policy.name != "float32":
        return (
            f"`{name}.__init__` does not pass `**kwargs` on to `super().__init__`: "
            "the `dtype` that it is given is lost"
        )
    astray = [path for path, part in _sublayers(instance) if part.dtype_policy.name != "float32"]
    if not astray:
        return None
    listed = ", ".join(f"`{path}`" for path in astray)
    verb = "is a sub-layer" if len(astray) == 1 else "are sub-layers"
    return (
        f"{listed} of `{name}` {verb} made without `dtype=self.dtype_policy`, so that the global "
        "policy decides the dtype instead of the layer's own. Add this argument"
    )


def _sublayers(layer: Any, prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Iterate over the layers in the attributes of a layer, with the attributes' names."""
    for name, value in vars(layer).items():
        if name.startswith("_"):
            continue
        for part in keras.tree.flatten(value):
            if isinstance(part, keras.layers.Layer) and depth < 5:
                yield f"{prefix}{name}", part
                yield from _sublayers(part, f"{prefix}{name}.", depth + 1)
