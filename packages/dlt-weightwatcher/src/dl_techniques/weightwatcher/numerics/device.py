"""Eigenvalues on a device of a backend that the caller has imported."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import numpy as np

from dl_techniques.weightwatcher.numerics.arrays import Array


class Solver(Protocol):
    """One device of one backend."""

    def eigenvalues(self, blocks: Iterable[Array]) -> Array:
        """The eigenvalues, ascending, of the sum of X^H X over blocks X of rows.

        Args:
            blocks: Shape (rows, n) each, finite, of one type.
        """


def solver_for(device: str) -> Solver:
    """The solver of a device, on Keras's backend where Keras is imported.

    Args:
        device: Such as `cpu`, `gpu`, `cuda:1`.

    Raises:
        ValueError: If no backend is imported, or it has no such device.
    """
    name = _imported()
    kind, _, index = device.lower().partition(":")
    if name is None or not kind or (index and not index.isdecimal()):
        raise ValueError(
            "`device` must be such as 'cpu', 'gpu' or 'cuda:1' of PyTorch, JAX or TensorFlow, "
            "one of which is to be imported before (with Keras: its backend). "
            f"Received: device={device!r}, imported: {name}"
        )
    try:
        return _SOLVERS[name](sys.modules[name], kind, int(index or 0))
    # Each backend has its own words and exceptions for a missing device.
    except Exception as error:
        raise ValueError(f"`device` is not there: {error}. Received: device={device!r}") from error


def check_device(device: str, precision: str) -> None:
    """Solve a small problem, so that a device that cannot is told before any layer is analysed.

    Args:
        device: Such as `cpu`, `gpu`, `cuda:1`.
        precision: `float64` or `float32`.

    Raises:
        ValueError: If there is no such device, or it does not compute in this precision.
    """
    solver = solver_for(device)
    try:
        found = solver.eigenvalues([np.diag([3.0, 2.0]).astype(precision)])
        if found.dtype != precision or not np.allclose(found, [4.0, 9.0]):
            raise ArithmeticError(f"it answers {found} in {found.dtype} in place of 4 and 9")
    # Each backend has its own exceptions for what a device cannot do.
    except Exception as error:
        raise ValueError(
            f"`device` does not compute in {precision}: {error}. Received: device={device!r}"
        ) from error


def _imported() -> str | None:
    keras = sys.modules.get("keras")
    if keras is not None:
        name = str(keras.backend.backend())
        return name if name in _SOLVERS else None
    return next((name for name in _SOLVERS if name in sys.modules), None)


class _Torch:
    def __init__(self, torch: Any, kind: str, index: int) -> None:
        self._torch = torch
        if kind == "cpu" and index:
            raise ValueError("PyTorch has one device of the kind cpu")
        self._device = torch.device("cuda" if kind == "gpu" else kind, index)
        torch.zeros(1, device=self._device)

    def eigenvalues(self, blocks: Iterable[Array]) -> Array:
        tensors = (self._torch.tensor(block, device=self._device) for block in blocks)
        total = sum(x.mH @ x for x in tensors)
        values: Array = self._torch.linalg.eigvalsh(total).cpu().numpy()
        return values


class _Jax:
    def __init__(self, jax: Any, kind: str, index: int) -> None:
        self._jax = jax
        self._device = jax.devices("gpu" if kind == "cuda" else kind)[index]

    def eigenvalues(self, blocks: Iterable[Array]) -> Array:
        with self._double():
            put = (self._jax.device_put(block, self._device) for block in blocks)
            total = sum(self._jax.numpy.matmul(x.conj().T, x, precision="highest") for x in put)
            return np.asarray(self._jax.numpy.linalg.eigvalsh(total))

    def _double(self) -> Any:
        """JAX knows no double precision unless it is told to."""
        if hasattr(self._jax, "enable_x64"):
            return self._jax.enable_x64(True)
        from importlib import import_module

        return import_module("jax.experimental").enable_x64()


class _TensorFlow:
    def __init__(self, tensorflow: Any, kind: str, index: int) -> None:
        self._tf = tensorflow
        kind = "GPU" if kind == "cuda" else kind.upper()
        found = tensorflow.config.list_logical_devices(kind)
        if index >= len(found):
            raise ValueError(f"TensorFlow has {len(found)} devices of the kind {kind}")
        self._device = found[index].name

    def eigenvalues(self, blocks: Iterable[Array]) -> Array:
        with self._tf.device(self._device):
            tensors = (self._tf.constant(block) for block in blocks)
            total = sum(self._tf.linalg.matmul(x, x, adjoint_a=True) for x in tensors)
            values = self._tf.linalg.eigvalsh(total).numpy()
        return np.asarray(values.real)


_SOLVERS: Final[dict[str, Callable[[Any, str, int], Solver]]] = {
    "torch": _Torch,
    "jax": _Jax,
    "tensorflow": _TensorFlow,
}
