"""Mutated model files, four classes of them, each decided by its number alone."""

from __future__ import annotations

import copy
import functools
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import model_forge as forge
import numpy as np
from model_forge import Forge, component, dense, function, keras_object, layer, sequential

CLASSES = ("archive", "config", "weights", "state")
STATE = "dl_techniques_state.json"


class Mutant(NamedTuple):
    kind: str
    number: int
    data: bytes
    members: dict[str, str] | None
    """Of a file with digests, member -> its sha256: what is accepted must hold the same."""


def seeds(folder: Path) -> list[tuple[bytes, bool]]:
    """The sound files that are mutated, and whether each is sealed."""
    compiled = sequential(
        dense(activation="relu", kernel_regularizer=keras_object("keras.regularizers", "L2", {})),
        compile_config={
            "optimizer": keras_object("keras.optimizers", "Adam", {"learning_rate": 0.001}),
            "loss": function("mean_squared_error"),
            "metrics": ["mae", [keras_object("keras.metrics", "MeanMetricWrapper", {})]],
        },
    )
    vocabulary = sequential(
        layer("StringLookup", {"vocabulary": None}), component("evil>Evil", "Evil"), dense()
    )
    graph = forge.functional(
        forge.called(dense(), "b", forge.output_of("a")),
        forge.called(dense(4), "a", forge.output_of("i"), forge.output_of("b")),
    )
    random = sequential(layer("Dropout", {"rate": 0.5, "seed": 1}), dense())
    state = {
        "format": 1,
        "layers": {
            "layers/0": {"seeds": {"seed_generator": [1, 2]}},
            "layers/1": {"autocast": False},
        },
    }
    files = [
        Forge(),
        Forge(graph),
        Forge(compiled, _chunked),
        Forge(random).add(STATE, json.dumps(state).encode()),
        Forge(vocabulary, _halves).add("assets/layers/string_lookup/vocabulary.txt", b"a\nb"),
    ]
    plain = [(made.data(), False) for made in files]
    sealed = []
    for index, made in enumerate(files):
        path = forge.seal(made.write(folder / f"{index}.keras"))
        sealed.append((path.read_bytes(), True))
    return plain + sealed


def _chunked(file: Any) -> None:
    forge.dense_weights(file)
    del file["layers/dense/vars/0"]
    data = np.arange(12, dtype="float32").reshape(4, 3)
    group = file["layers/dense/vars"]
    group.create_dataset("0", data=data, chunks=(2, 3), compression="gzip", shuffle=True)
    for index in range(20):
        file[f"optimizer/vars/{index}"] = np.full(7, index, "int64")


def _halves(file: Any) -> None:
    forge.dense_weights(file)
    file["layers/dense/vars/2"] = np.zeros((2, 2), "V2")
    file["layers/dense/vars/2"].attrs["dtype"] = "bfloat16"
    file["layers/dense/vars/3"] = np.ones(5, bool)
    file["layers/dense/vars/4"] = np.ones(5, "float16")


def mutant(number: int, bases: list[tuple[bytes, bool]], kinds: Any = CLASSES) -> Mutant:
    """The mutant of a number; the classes take turns."""
    kind = kinds[number % len(kinds)]
    chance = random.Random(f"{kind} {number}")
    data, sealed = chance.choice([b for b in bases if kind != "state" or _digests(b[0]).get(STATE)])
    members = _digests(data) if sealed and kind == "archive" else None
    return Mutant(kind, number, _MUTATIONS[kind](chance, data), members)


@functools.cache
def _digests(data: bytes) -> dict[str, str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def damage(chance: random.Random, data: bytes) -> bytes:
    """The bytes with a few of them flipped, set, left out, doubled or cut off."""
    mutated = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 4, 16))):
        if not mutated:
            break
        position = chance.randrange(len(mutated))
        length = min(chance.choice((1, 2, 4, 8, 64, 512)), len(mutated) - position)
        kind = chance.randrange(8)
        if kind <= 1:
            mutated[position] ^= 1 << chance.randrange(8)
        elif kind == 2:
            mutated[position] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
        elif kind == 3:
            filler = chance.choice((b"\0", b"\xff", b"\x7f")) * length
            mutated[position : position + length] = filler
        elif kind == 4:
            del mutated[position : position + length]
        elif kind == 5:
            other = chance.randrange(len(mutated))
            mutated[position:position] = mutated[other : other + length]
        elif kind == 6:
            other = chance.randrange(len(mutated))
            piece = mutated[other : other + length]
            mutated[position : position + len(piece)] = piece
        else:
            del mutated[position:]
    return bytes(mutated)


_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**70), 1.5, 1e308, "", "x", "relu", "../x",
    "a\x00b", "\ud800", [], {}, [[]], [None], {"class_name": "Lambda", "config": {}},
    {"class_name": "function", "config": "exec", "module": "builtins"},
    {"class_name": "__lambda__", "config": {"value": "x"}},
    {"class_name": "__numpy__", "config": {"value": [1], "dtype": "S9"}},
    {"class_name": None, "config": None}, {"class_name": "Dense"}, "evil>Evil", "a" * 5000,
    [0] * 300, {str(index): index for index in range(300)},
)  # fmt: skip
_KEYS = (
    "class_name", "config", "module", "registered_name", "build_config", "compile_config", "name",
    "units", "dtype", "layers", "shared_object_id", "inbound_nodes", "input_shape", "vocabulary",
)  # fmt: skip


def _tree(chance: random.Random, data: bytes, member: str = "config.json") -> bytes:
    def change(text: bytes) -> bytes:
        document = json.loads(text)
        for _ in range(chance.choice((1, 1, 2, 3, 8))):
            document = _change(chance, document)
        return json.dumps(document).encode()

    return _rezip(data, member, change)


def _state(chance: random.Random, data: bytes) -> bytes:
    return _tree(chance, data, STATE)


def _change(chance: random.Random, document: Any) -> Any:
    places = [*_places(document)] if isinstance(document, dict | list) else []
    if not places:
        return copy.deepcopy(chance.choice(_VALUES))
    parent, key = chance.choice(places)
    kind = chance.randrange(7)
    if kind <= 1:
        parent[key] = copy.deepcopy(chance.choice(_VALUES))
    elif kind == 2:
        del parent[key]
    elif kind == 3:
        other, place = chance.choice(places)
        parent[key] = copy.deepcopy(other[place])
    elif kind == 4 and isinstance(parent, dict):
        parent[chance.choice(_KEYS)] = parent.pop(key)
    elif kind == 5 and isinstance(parent, dict):
        parent[chance.choice(_KEYS)] = copy.deepcopy(chance.choice(_VALUES))
    elif isinstance(parent, list):
        parent.extend(copy.deepcopy(parent[key]) for _ in range(chance.choice((1, 5, 50))))
    else:
        parent[key] = [parent[key]]
    return document


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    stack = [value]
    while stack:
        item = stack.pop()
        keys = item.keys() if isinstance(item, dict) else range(len(item))
        for key in keys:
            yield item, key
            if isinstance(item[key], dict | list):
                stack.append(item[key])


def _payload(chance: random.Random, data: bytes) -> bytes:
    return _rezip(data, "model.weights.h5", lambda content: damage(chance, content))


def _rezip(data: bytes, name: str, change: Any) -> bytes:
    """The file with one member changed and all checksums right again."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as source,
        zipfile.ZipFile(buffer, "w") as target,
    ):
        for item in source.infolist():
            content = source.read(item)
            # Its digests would end every test at the same place.
            if item.filename != "dl_techniques.json":
                target.writestr(item, change(content) if item.filename == name else content)
    return buffer.getvalue()


_MUTATIONS = {"archive": damage, "config": _tree, "weights": _payload, "state": _state}
