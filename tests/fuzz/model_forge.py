"""Model files made by hand, without Keras: sound ones, and every kind of unsound one."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Config = dict[str, Any]


def keras_object(module: str, name: str, config: Any, **more: Any) -> Config:
    return {"module": module, "class_name": name, "config": config, "registered_name": None, **more}


def policy(name: str = "float32") -> Config:
    return keras_object("keras", "DTypePolicy", {"name": name})


def layer(name: str, config: Config | None = None, *, label: str = "", **more: Any) -> Config:
    own = {"name": label or name.lower(), "trainable": True, "dtype": policy(), **(config or {})}
    return keras_object("keras.layers", name, own, **more)


def dense(units: int = 3, inputs: int | None = 4, *, label: str = "dense", **config: Any) -> Config:
    initializer = keras_object("keras.initializers", "GlorotUniform", {"seed": None})
    zeros = keras_object("keras.initializers", "Zeros", {})
    own = {
        "units": units,
        "activation": "linear",
        "use_bias": True,
        "kernel_initializer": initializer,
        "bias_initializer": zeros,
        "kernel_regularizer": None,
        "bias_regularizer": None,
        "kernel_constraint": None,
        "bias_constraint": None,
        **config,
    }
    build = {} if inputs is None else {"build_config": {"input_shape": [None, inputs]}}
    return layer("Dense", own, label=label, **build)


def function(name: str, module: str = "builtins", registered: str = "function") -> Config:
    return {
        "module": module,
        "class_name": "function",
        "config": name,
        "registered_name": registered,
    }


def component(id: str, name: str, config: Config | None = None, **more: Any) -> Config:
    return {
        "module": "somewhere.else",
        "class_name": name,
        "config": {"name": name.lower(), **(config or {})},
        "registered_name": id,
        **more,
    }


def sequential(*layers: Config, inputs: int = 4, **more: Any) -> Config:
    first = layer(
        "InputLayer",
        {"batch_shape": [None, inputs], "dtype": "float32", "sparse": False},
        label="input_layer",
    )
    del first["config"]["trainable"]
    config = {
        "name": "sequential",
        "trainable": True,
        "dtype": policy(),
        "layers": [first, *(layers or (dense(),))],
        "build_input_shape": [None, inputs],
    }
    shape = {"input_shape": [None, inputs]}
    return keras_object("keras", "Sequential", config, build_config=shape, **more)


def output_of(name: str, call: int = 0, tensor: int = 0) -> Any:
    config = {"shape": [None, 4], "dtype": "float32", "keras_history": [name, call, tensor]}
    return {"class_name": "__keras_tensor__", "config": config}


def called(part: Config, name: str, *given: Any) -> Config:
    """A layer of a functional model, with one call for each of what it is given."""
    calls = [{"args": [tensor], "kwargs": {}} for tensor in given]
    return {**part, "name": name, "inbound_nodes": calls}


def functional(*layers: Config, output: str = "b") -> Config:
    first = layer("InputLayer", {"batch_shape": [None, 4], "dtype": "float32"}, label="i")
    del first["config"]["trainable"]
    config = {
        "name": "functional",
        "trainable": True,
        "layers": [called(first, "i"), *layers],
        "input_layers": ["i", 0, 0],
        "output_layers": [output, 0, 0],
    }
    made = keras_object("keras.src.models.functional", "Functional", config)
    return {**made, "registered_name": "Functional"}


Fill = Callable[[h5py.File], None]


def dense_weights(file: h5py.File) -> None:
    group = file.create_group("layers/dense/vars")
    group.attrs["name"] = "dense"
    group["0"] = np.arange(12, dtype="float32").reshape(4, 3)
    group["1"] = np.ones(3, "float32")
    file.create_group("layers/input_layer/vars").attrs["name"] = "input_layer"


def with_dataset(make: Fill) -> Fill:
    """The usual weights, but the kernel is made by `make` in its group."""

    def fill(file: h5py.File) -> None:
        dense_weights(file)
        del file["layers/dense/vars/0"]
        make(file["layers/dense/vars"])

    return fill


def h5(fill: Fill) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        fill(file)
    return buffer.getvalue()


METADATA = {"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}


class Forge:
    """The members of one file; change them, then `write`."""

    def __init__(self, config: Config | None = None, weights: Fill | bytes = dense_weights) -> None:
        document = copy.deepcopy(config) if config is not None else sequential()
        data = weights if isinstance(weights, bytes) else h5(weights)
        self.members: list[tuple[zipfile.ZipInfo, bytes]] = []
        self.add("metadata.json", json.dumps(METADATA).encode())
        self.add("config.json", json.dumps(document).encode())
        self.add("model.weights.h5", data)

    def add(self, name: str, data: bytes, **fields: Any) -> Forge:
        info = zipfile.ZipInfo("x")
        info.filename = name  # the constructor would tidy it
        info.external_attr = 0o600 << 16
        for field, value in fields.items():
            setattr(info, field, value)
        self.members.append((info, data))
        return self

    def replace(self, name: str, data: bytes, **fields: Any) -> Forge:
        self.remove(name)
        return self.add(name, data, **fields)

    def remove(self, name: str) -> Forge:
        self.members = [member for member in self.members if member[0].filename != name]
        return self

    def data(self) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for info, data in self.members:
                archive.NameToInfo.pop(info.filename, None)  # lets a name occur twice
                archive.writestr(copy.copy(info), data, compress_type=info.compress_type)
        return buffer.getvalue()

    def write(self, path: Path) -> Path:
        path.write_bytes(self.data())
        return path


def seal(path: Path) -> Path:
    """Add a provenance member to a forged file, as `save_model` does."""
    from dl_techniques.core.files.archive import PROVENANCE, Archive
    from dl_techniques.core.files.provenance import Provenance

    with Archive(path) as archive:
        members = {member.name: archive.digest(member.name) for member in archive.members}
    provenance = Provenance("3.15.1", "3.8.0", "jax", "3.11.7", "0.1.0", 1, {}, members)
    with zipfile.ZipFile(path, "a") as target:
        target.writestr(PROVENANCE, provenance.to_bytes())
    return path
