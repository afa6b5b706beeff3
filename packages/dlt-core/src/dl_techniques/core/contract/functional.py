"""Functional-style models: subclasses that pass `inputs` and `outputs` to `Model.__init__`.

Keras gives such a subclass a functional model as a base by replacing the bases of all classes
between it and `keras.Model`. `Model` of the contract is one of these: every other subclass in the
process would become functional, too. Here only the class that is constructed gets the base.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import keras

_VARIANT: Final = "__dl_functional__"


def takes_graph(args: Sequence[Any], kwargs: Collection[str]) -> bool:
    """Return whether arguments of `keras.Model` are the inputs and outputs of a graph.

    Args:
        args: The positional ones.
        kwargs: The names of the others.
    """
    return (
        len(args) == 2
        or (len(args) == 1 and "outputs" in kwargs)
        or ("inputs" in kwargs and "outputs" in kwargs)
    )


def is_graph(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration holds a graph of layers.

    Args:
        config: Of a model.
    """
    return {"layers", "input_layers", "output_layers"} <= config.keys()


@functools.cache
def functional_class() -> Any:
    """The class of Keras's functional models, which has no public name."""
    tensor = keras.Input((1,), name="input")
    return type(keras.Model(tensor, tensor, name="functional"))  # names: no name is used up


def make_functional(cls: Any) -> None:
    """Give a class the base of functional models, and no other class.

    It stands behind the last base that is a model, so that methods of the class and of all its
    own bases go first, and mixins without a model stay behind Keras.

    Args:
        cls: A subclass of `keras.Model`.
    """
    if issubclass(cls, functional_class()):
        return
    bases = cls.__bases__
    last = max(i for i, base in enumerate(bases) if issubclass(base, keras.Model))
    cls.__bases__ = (*bases[: last + 1], functional_class(), *bases[last + 1 :])


def functional_variant(cls: Any) -> Any:
    """A functional subclass that bears the name of a class, which stays as it is.

    A class without a constructor may be called with a graph and be the base of other models.

    Args:
        cls: A subclass of `keras.Model`.
    """
    if issubclass(cls, functional_class()):
        return cls
    if _VARIANT not in vars(cls):
        names = {key: getattr(cls, key) for key in ("__module__", "__qualname__", "__doc__")}
        variant = type(cls.__name__, (cls, functional_class()), names)
        registered = keras.saving.get_registered_name(cls)
        if keras.saving.get_registered_object(registered) is cls:
            # Both get the name; the name gets the class that registers last.
            register = keras.saving.register_keras_serializable(*registered.split(">"))
            register(variant)
            register(cls)
        setattr(cls, _VARIANT, variant)
    return vars(cls)[_VARIANT]


def graph_config(model: Any) -> dict[str, Any]:
    """The configuration of a functional-style model as Keras writes that of a functional one.

    Args:
        model: The model.
    """
    plain = keras.Model(model.input, model.output, name=model.name)
    return {**plain.get_config(), "trainable": model.trainable}
