"""Functions such as `ViTTiny`, which make one variant of a model."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar, cast

M_co = TypeVar("M_co", covariant=True)
M = TypeVar("M")


class Constructor(Protocol[M_co]):
    """Makes one variant of a model; the arguments are those of `keras.applications`."""

    def __call__(
        self,
        include_top: bool = True,
        weights: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        classes: int = 1000,
        **kwargs: Any,
    ) -> M_co:
        """Make the model.

        Args:
            include_top: Whether the model ends with its classifier.
            weights: `None`, a tag such as `"imagenet"`, a file, or a `WeightEntry`.
            input_shape: Height, width and channels of the images.
            classes: Number of classes.
            **kwargs: Further arguments of the model.
        """


def constructor(name: str, model: type[M], variant: str) -> Constructor[M]:
    """Make the function that makes one variant of a model.

    Args:
        name: The function's name; it stands in the module `constructors` beside the class's.
        model: The class.
        variant: Its variant.

    Returns:
        The function.
    """

    def make(
        include_top: bool = True,
        weights: Any = None,
        input_shape: tuple[int | None, int | None, int] | None = None,
        classes: int = 1000,
        **kwargs: Any,
    ) -> Any:
        return cast("Any", model)(
            variant,
            include_top=include_top,
            weights=weights,
            input_shape=input_shape,
            classes=classes,
            **kwargs,
        )

    make.__name__ = make.__qualname__ = name
    make.__module__ = f"{model.__module__.rpartition('.')[0]}.constructors"
    make.__doc__ = f"`{model.__name__}({variant!r}, ...)`; the arguments are those of the class."
    return make
