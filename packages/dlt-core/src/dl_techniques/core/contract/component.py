"""The decorator that declares a component.

Not named `component.py`: importing a submodule binds its name in the package, where `component` is
the decorator itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from dl_techniques.core.contract.identifier import KINDS, parse_identifier
from dl_techniques.core.errors import DuplicateComponent

T = TypeVar("T", bound=Callable[..., Any])

_ATTRIBUTE = "__dl_component__"
# No saved model holds one of these: declaring it need not cost an import of Keras. Until Keras is
# there they wait, by identifier.
_OUTSIDE_KERAS: Final = frozenset({"analyzer", "dataset"})
_waiting: dict[str, Any] = {}


class Declaration(NamedTuple):
    """The arguments of `@component`; `declaration_of` returns them."""

    id: str
    kind: str
    tags: tuple[str, ...] = ()
    paper: str | None = None
    aliases: tuple[str, ...] = ()
    since: str | None = None
    deprecated: str | None = None
    unsafe: bool = False
    variants: tuple[str, ...] = ()


def component(
    id: str,
    /,
    *,
    kind: str,
    tags: Sequence[str] = (),
    paper: str | None = None,
    aliases: Sequence[str] = (),
    since: str | None = None,
    deprecated: str | None = None,
    unsafe: bool = False,
    variants: Sequence[str] = (),
) -> Callable[[T], T]:
    """Declare a class or function as a component, once.

    The identifier becomes Keras's registered name and is permanent: saved files hold it. All
    arguments must be literals, because `dl-techniques manifest write` reads them without
    importing the module. An analyzer or a dataset, which no saved model holds, is declared
    without importing Keras; it is registered when the registry loads it.

    Args:
        id: `namespace>Name`.
        kind: One of `dl_techniques.core.KINDS`.
        tags: Words to search by, such as `("attention", "vision")`.
        paper: Where it comes from, such as `"arXiv:1910.07467"`.
        aliases: Identifiers of earlier versions; files that hold them keep loading.
        since: The version of the distribution that brought it.
        deprecated: The replacement, if it should no longer be used.
        unsafe: Whether loading it can run code that the saved file chooses.
        variants: Names of its ready-made configurations.

    Returns:
        A decorator that returns the class or function itself.

    Raises:
        ValueError: If an argument is malformed.
        DuplicateComponent: If another object holds the identifier.

    Example:
        >>> import keras
        >>> from dl_techniques.core import Layer, component
        >>> @component("acme>Twice", kind="layer", tags=("arithmetic",))
        ... class Twice(Layer):
        ...     def call(self, inputs):
        ...         return 2 * inputs
        >>> keras.saving.get_registered_name(Twice)
        'acme>Twice'
    """
    parse_identifier(id)
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}")
    for alias in aliases:
        parse_identifier(alias)
    declaration = Declaration(
        id,
        kind,
        tuple(tags),
        paper,
        tuple(aliases),
        since,
        deprecated,
        unsafe,
        tuple(variants),
    )

    def declare(target: T) -> T:
        _require_free(id, target, _waiting)
        _waiting[id] = target
        if kind not in _OUTSIDE_KERAS or "keras" in sys.modules:
            register_waiting(id)
        setattr(target, _ATTRIBUTE, declaration)
        return target

    return declare


def register_waiting(id: str) -> None:
    """Register with Keras what was declared before Keras was imported; nothing if none waits.

    Args:
        id: Its identifier.

    Raises:
        DuplicateComponent: If another object holds the identifier.
    """
    target = _waiting.pop(id, None)
    if target is None:
        return
    # Imported here: reading a declaration must not cost an import of Keras.
    import keras

    _require_free(id, target, keras.saving.get_custom_objects())
    keras.saving.register_keras_serializable(*parse_identifier(id))(target)


def _require_free(id: str, target: Any, holders: Mapping[str, Any]) -> None:
    holder = holders.get(id)
    if holder is not None and _address(holder) != _address(target):
        raise DuplicateComponent(
            f"{id!r} is already declared by {_address(holder)}; {_address(target)} needs an "
            "identifier of its own.",
            id=id,
        )


def declaration_of(target: object) -> Declaration | None:
    """Return a class's or function's own declaration; inherited ones do not count.

    Args:
        target: A class or function.

    Returns:
        Its declaration, or `None` if it is not a component.
    """
    declaration = vars(target).get(_ATTRIBUTE) if hasattr(target, "__dict__") else None
    return declaration if isinstance(declaration, Declaration) else None


def _address(target: Any) -> str:
    return f"{target.__module__}:{target.__qualname__}"
