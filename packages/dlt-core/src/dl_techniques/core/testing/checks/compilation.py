"""Compiled calls."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras

from dl_techniques.core.contract.keras_types import Tensor
from dl_techniques.core.testing.check import NotApplicable, check, require
from dl_techniques.core.testing.subject import Subject, difference, to_arrays

Function = Callable[..., Any]


@check()
def compiled_parity(subject: Subject) -> None:
    """A compiled call gives what an eager one gives."""
    compiler = _COMPILERS[keras.backend.backend()]
    keys = list(subject.arrays())
    instance = subject.built

    def call(*tensors: Tensor) -> Any:
        return subject.call(instance, dict(zip(keys, tensors, strict=True)))

    tensors = [keras.ops.convert_to_tensor(array) for array in subject.arrays().values()]
    gap = difference(to_arrays(compiler(call)(*tensors)), subject.expected)
    require(gap <= 1e-4, f"a compiled call differs by {gap:.1e}")


def _tensorflow(function: Function) -> Function:
    import tensorflow as tf  # the backend's own compiler is what is called

    compiled: Function = tf.function(function, jit_compile=True)
    return compiled


def _jax(function: Function) -> Function:
    import jax  # the backend's own compiler is what is called

    compiled: Function = jax.jit(function)
    return compiled


def _torch(function: Function) -> Function:
    if not os.environ.get("DL_TECHNIQUES_TORCH_COMPILE"):
        raise NotApplicable("torch.compile takes long; DL_TECHNIQUES_TORCH_COMPILE=1 asks for it")
    import torch  # the backend's own compiler is what is called

    compiled: Function = torch.compile(function)
    return compiled


_COMPILERS: dict[str, Callable[[Function], Function]] = {
    "tensorflow": _tensorflow,
    "jax": _jax,
    "torch": _torch,
}

__all__: Sequence[str] = ["compiled_parity"]
