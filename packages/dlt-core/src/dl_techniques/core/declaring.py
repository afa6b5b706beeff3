"""The decorator that declares a component.

Not named `component.py`: importing a submodule binds its name in the package, where `component` is
the decorator itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from dl_techniques.core.errors import DuplicateComponent
from dl_techniques.core.identifier import KINDS, parse_identifier

T = TypeVar("T", bound=Callable[..., Any])

_ATTRIBUTE = "__dl_component__"


class Declaration(NamedTuple):
    """What `@component` was told; `declaration_of` returns it."""

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
    importing the module.

    Args:
        id: `namespace>Name`.
        kind: One of `dl_techniques.core.KINDS`.
        tags: Words to search by, such as `("attention", "vision")`.
        paper: Where it comes from, such as `"arXiv:1910.07467"`.
        aliases: Identifiers of earlier versions; files that hold them keep loading.
        since: The version of the distribution that brought it.
        deprecated: What to use instead, if it should no longer be used.
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
    identifier = parse_identifier(id)
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
        # Imported here: reading a declaration must not cost an import of Keras.
        import keras

        holder = keras.saving.get_custom_objects().get(id)
        if holder is not None and _address(holder) != _address(target):
            raise DuplicateComponent(
                f"{id!r} is already declared by {_address(holder)}; {_address(target)} needs an "
                "identifier of its own.",
                id=id,
            )
        keras.saving.register_keras_serializable(identifier.namespace, identifier.name)(target)
        setattr(target, _ATTRIBUTE, declaration)
        return target

    return declare


def declaration_of(target: object) -> Declaration | None:
    """What a class or function declared for itself; inherited declarations do not count.

    Args:
        target: A class or function.

    Returns:
        Its declaration, or `None` if it is not a component.
    """
    declaration = vars(target).get(_ATTRIBUTE) if hasattr(target, "__dict__") else None
    return declaration if isinstance(declaration, Declaration) else None


def _address(target: Any) -> str:
    return f"{target.__module__}:{target.__qualname__}"
