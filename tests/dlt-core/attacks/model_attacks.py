"""Every known attack on model files, as code that builds the file. Nothing hostile is stored.

Each attack names the row of the threat list that it stands for. `canary` is a path: if it exists
after an attack, code of the file's choosing ran.
"""

from __future__ import annotations

import base64
import json
import marshal
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import model_forge as forge
import numpy as np
from model_forge import Forge, component, dense, function, keras_object, layer, sequential


class Attack(NamedTuple):
    name: str
    row: str
    build: Callable[[Path, Path], Path]
    """(target, canary) -> the file to load."""
    says: str
    """What the refusal must say (a regular expression)."""
    needs_keras: bool = False
    """Whether only the loader, not the pre-flight, can see it."""


ATTACKS: list[Attack] = []


def attack(row: str, says: str, *, needs_keras: bool = False) -> Callable[..., Any]:
    def add(build: Callable[..., Any]) -> Any:
        def make(target: Path, canary: Path) -> Path:
            made = build(target, canary)
            return made if isinstance(made, Path) else made.write(target)

        ATTACKS.append(Attack(build.__name__, row, make, says, needs_keras))
        return build

    return add


def configs(row: str, says: str, **made: Callable[[Path], Any]) -> None:
    """Attacks that are one object somewhere in an otherwise sound configuration."""
    for name, make in made.items():

        def build(_: Path, canary: Path, make: Callable[[Path], Any] = make) -> Forge:
            return Forge(make(canary))

        build.__name__ = name
        attack(row, says)(build)


def weights(row: str, says: str, *, needs_keras: bool = False, **made: forge.Fill) -> None:
    """Attacks that are one dataset in otherwise sound weights."""
    for name, make in made.items():

        def build(_: Path, __: Path, make: forge.Fill = make) -> Forge:
            return Forge(weights=forge.with_dataset(make))

        build.__name__ = name
        attack(row, says, needs_keras=needs_keras)(build)


def bytecode(canary: Path) -> str:
    source = f"open({str(canary)!r}, 'w').close()"
    return base64.b64encode(marshal.dumps(compile(source, "<lambda>", "exec"))).decode()


def lambda_function(canary: Path) -> Any:
    code = bytecode(canary)
    return {
        "class_name": "__lambda__",
        "config": {"value": [code, None, None], "code": code, "defaults": None, "closure": None},
    }


def lambda_layer(canary: Path, given: Any = None) -> Any:
    return layer("Lambda", {"function": given or lambda_function(canary), "arguments": {}})


def fetch(canary: Path) -> Any:
    return function("get_file", "keras.utils", "get_file")


def named(module: str, name: str, canary: Path, **config: Any) -> Any:
    return keras_object(module, name, {"command": f"touch {canary}", **config})


# Code execution: 1.1 and 1.2.
configs(
    "CVE-2024-3660",
    "Lambda",
    lambda_bytecode=lambda c: sequential(dense(), lambda_layer(c)),
    lambda_as_only_layer=lambda c: sequential(lambda_layer(c)),
)
configs(
    "CVE-2026-12481",
    "Lambda",
    lambda_in_wrapper=lambda c: sequential(
        layer("TimeDistributed", {"layer": lambda_layer(c)}), dense()
    ),
    lambda_short_form=lambda c: sequential(
        dense(kernel_regularizer={"class_name": "Lambda", "config": lambda_layer(c)["config"]})
    ),
)
configs(
    "1.2 Lambda as an activation",
    "lambda",
    lambda_activation=lambda c: sequential(dense(activation=lambda_function(c))),
    lambda_loss=lambda c: sequential(compile_config={"loss": lambda_function(c)}),
)
configs(
    "CVE-2025-1550",
    "never by a module|names the function",
    module_os=lambda c: sequential(dense(), named("os", "system", c)),
    module_subprocess=lambda c: sequential(named("subprocess", "Popen", c)),
    function_exec=lambda c: sequential(dense(activation=function("exec"))),
    function_os_system=lambda c: sequential(dense(activation=function("system", "os"))),
    function_in_compile=lambda c: sequential(
        compile_config={"loss": function("run", "subprocess")}
    ),
    function_in_build=lambda c: sequential({**dense(), "build_config": function("eval")}),
    model_of_module=lambda c: {**sequential(), "module": "pickle", "class_name": "Unpickler"},
    registered_as_module=lambda c: sequential(component("os", "system")),
)
configs(
    "CVE-2025-8747",
    "Lambda",
    lambda_of_get_file=lambda c: sequential(lambda_layer(c, fetch(c))),
)
configs(
    "CVE-2025-9906",
    "enable_unsafe_deserialization",
    enable_unsafe=lambda c: sequential(
        dense(activation=function("enable_unsafe_deserialization", "keras.config")),
        lambda_layer(c),
    ),
)
configs(
    "CVE-2025-12058",
    "a path or an address",
    vocabulary_path=lambda c: sequential(layer("StringLookup", {"vocabulary": "/etc/passwd"})),
    vocabulary_url=lambda c: sequential(
        layer("TextVectorization", {"vocabulary": "http://192.0.2.1/x"})
    ),
    idf_path=lambda c: sequential(layer("IntegerLookup", {"idf_weights": "/etc/passwd"})),
)
configs(
    "CVE-2025-49655",
    "TorchModuleWrapper",
    torch_module=lambda c: sequential(
        layer("TorchModuleWrapper", {"module": {"class_name": "__bytes__", "config": {}}})
    ),
)
configs(
    "CVE-2026-12484",
    "TorchModuleWrapper",
    torch_module_nested=lambda c: sequential(
        layer("Bidirectional", {"layer": layer("TorchModuleWrapper", {"module": "x"})})
    ),
)
configs(
    "CVE-2026-1462",
    "TFSMLayer",
    tfsm_layer=lambda c: sequential(layer("TFSMLayer", {"filepath": str(c.parent)})),
)
configs(
    "1.2 wrappers of foreign functions",
    "JaxLayer|FlaxLayer",
    jax_layer=lambda c: sequential(layer("JaxLayer", {"call_fn": function("exec")})),
    flax_layer=lambda c: sequential(layer("FlaxLayer", {"module": "x"})),
)
configs(
    "CVE-2024-55459, CVE-2025-12060, CVE-2026-12482",
    "get_file",
    get_file=lambda c: sequential(dense(activation=fetch(c))),
    get_file_builtins=lambda c: sequential(dense(activation=function("get_file"))),
)
configs(
    "1.2 import of keras_hub and its siblings",
    "never by a module",
    keras_hub=lambda c: sequential(keras_object("keras_hub.models", "Backbone", {})),
    keras_cv=lambda c: sequential(keras_object("keras_cv", "Layer", {})),
    keras_nlp=lambda c: sequential(keras_object("keras_nlp", "Layer", {})),
)
configs(
    "1.2 other public functions",
    "names the function|not among the classes",
    set_floatx=lambda c: sequential(dense(activation=function("set_floatx", "keras.config"))),
    load_model_again=lambda c: sequential(
        dense(activation=function("load_model", "keras.saving", "load_model"))
    ),
    clear_session=lambda c: sequential(dense(activation=function("clear_session", "keras.utils"))),
    activations_get=lambda c: sequential(dense(activation=function("get", "keras.activations"))),
    private_module=lambda c: sequential(
        keras_object("keras.src.layers.core.lambda_layer", "Lambda", {"function": "x"})
    ),
    feature_space=lambda c: sequential(keras_object("keras.utils", "FeatureSpace", {})),
    map_operation=lambda c: sequential(
        keras_object("keras.src.ops.core", "Map", {"function": function("exec")})
    ),
)
configs(
    "1.2 registered-name spoof",
    "contradict each other|needs the component",
    spoof_dense=lambda c: sequential({**dense(), "registered_name": "evil>Evil"}),
    spoof_bare_name=lambda c: sequential({**dense(), "registered_name": "Embedding"}),
    spoof_function=lambda c: sequential(
        dense(activation=function("relu", "keras.activations", "enable_unsafe_deserialization"))
    ),
)
configs(
    "1.2 undeclared classes",
    "reserved|needs the component|never by a module|without saying",
    custom_namespace=lambda c: sequential(component("Custom>Thing", "Thing")),
    unknown_component=lambda c: sequential(component("evil>Evil", "Evil")),
    undeclared_class=lambda c: sequential(component("Evil", "Evil")),
    no_module=lambda c: sequential({"class_name": "Evil", "config": {}}),
    identifier_as_initializer=lambda c: sequential(dense(kernel_initializer="evil>Evil")),
    function_identifier=lambda c: sequential(dense(activation=function("evil>run"))),
)
configs(
    "1.2 quantizers that read data",
    "data set",
    gptq_config=lambda c: sequential(
        dense(quantization_config=keras_object("keras.quantizers", "GPTQConfig", {"dataset": "x"}))
    ),
)
configs(
    "1.2 constants",
    "dtype|unknown kind|type specification|impossible shape|something else|malformed",
    numpy_bomb=lambda c: sequential(
        dense(kernel_initializer=_constant("__numpy__", value=["x"], dtype="S900000000"))
    ),
    tensor_of_objects=lambda c: sequential(dense(x=_constant("__tensor__", value=[], dtype="O"))),
    tensor_of_texts=lambda c: sequential(
        dense(x=_constant("__tensor__", value=["a"], dtype="float32"))
    ),
    typespec=lambda c: sequential(
        {**_constant("__typespec__"), "spec_name": "system", "module": "os", "registered_name": "x"}
    ),
    unknown_constant=lambda c: sequential(dense(x=_constant("__pickle__", value="x"))),
    huge_symbolic_shape=lambda c: sequential(
        dense(x=_constant("__keras_tensor__", shape=[1 << 62], dtype="float32"))
    ),
    malformed_bytes=lambda c: sequential(dense(x=_constant("__bytes__", value=7))),
)
configs(
    "CVE-2026-12479",
    "lead out of a folder",
    layer_name_escapes=lambda c: sequential(dense(label="../../escape")),
    layer_name_separator=lambda c: sequential(dense(label="a/b")),
    layer_name_backslash=lambda c: sequential(dense(label="a\\b")),
    layer_name_control=lambda c: sequential(dense(label="a\x1b[2Jb")),
)
configs(
    "1.2 config-only memory",
    "asks for|no size or seed",
    units_bomb=lambda c: sequential(dense(15000), dense(15000, 15000, label="dense_1")),
    embedding_bomb=lambda c: sequential(
        layer("Embedding", {"input_dim": 10**6, "output_dim": 10**4})
    ),
    convolution_bomb=lambda c: sequential(
        layer(
            "Conv2D",
            {"filters": 10**5, "kernel_size": [9, 9]},
            build_config={"input_shape": [None, 8, 8, 10**4]},
        )
    ),
    recurrent_bomb=lambda c: sequential(layer("LSTM", {"units": 30000})),
    spectrogram_bomb=lambda c: sequential(
        layer("MelSpectrogram", {"fft_length": 10**6, "num_mel_bins": 10**6})
    ),
    huge_integer=lambda c: sequential(
        {**dense(), "build_config": {"input_shape": [None, 1 << 70]}}
    ),
)
configs(
    "1.2 what is not a model",
    "not the configuration|something else than a text",
    config_is_a_list=lambda c: [],
    config_without_class=lambda c: {"config": {}},
    class_is_a_number=lambda c: sequential({**dense(), "class_name": 7}),
    function_is_an_object=lambda c: sequential(dense(activation={**function("x"), "config": {}})),
)


def _constant(name: str, **config: Any) -> Any:
    return {"class_name": name, "config": config}


@attack("1.2 config-only memory", "asks for|Keras cannot rebuild", needs_keras=True)
def units_bomb_without_shapes(target: Path, canary: Path) -> Forge:
    made = sequential(dense(20000, None), dense(20000, None, label="dense_1"))
    del made["build_config"]
    return Forge(made)


# The text of the configuration.
def _config(data: bytes, **fields: Any) -> Forge:
    return Forge().replace("config.json", data, **fields)


@attack("1.2 deep nesting", "nested deeper")
def nested_100_000(target: Path, canary: Path) -> Forge:
    return _config(b'{"class_name": ' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@attack("1.2 deep nesting", "nested deeper")
def nested_200(target: Path, canary: Path) -> Forge:
    return _config(b'{"a": ' * 200 + b"1" + b"}" * 200)


@attack("1.2 two readers, two models", "twice in one object")
def duplicate_keys(target: Path, canary: Path) -> Forge:
    text = json.dumps(sequential()).encode()
    return _config(text[:-1] + b', "class_name": "Sequential", "module": "os"}')


@attack("1.2 constants", "not JSON")
def not_a_number(target: Path, canary: Path) -> Forge:
    return _config(json.dumps(sequential(dense(epsilon=float("nan")))).encode())


@attack("1.2 constants", "no float can hold")
def infinite_number(target: Path, canary: Path) -> Forge:
    return _config(json.dumps(sequential()).replace("3,", "1e999,", 1).encode())


@attack("1.2 constants", "digits")
def endless_integer(target: Path, canary: Path) -> Forge:
    return _config(json.dumps(sequential()).replace("3,", "9" * 5000 + ",", 1).encode())


@attack("1.2 constants", "not valid JSON")
def not_utf8(target: Path, canary: Path) -> Forge:
    return _config(b'{"class_name": "\xff\xfe"}')


@attack("1.2 constants", "does not end")
def endless_string(target: Path, canary: Path) -> Forge:
    return _config(b'{"class_name": "' + b'\\"' * 100_000)


@attack("1.2 config.json of 700 MiB", "inflates to")
def config_bomb(target: Path, canary: Path) -> Forge:
    return _config(b" " * (64 << 20), compress_type=zipfile.ZIP_DEFLATED)


@attack("1.2 config-only memory", "brackets, commas")
def token_bomb(target: Path, canary: Path) -> Forge:
    return _config(b"[" + b"[]," * 1_000_000 + b"[]]", compress_type=zipfile.ZIP_DEFLATED)


# Metadata.
def _metadata(document: Any) -> Forge:
    return Forge().replace("metadata.json", json.dumps(document).encode())


@attack("1.2 keras_version 99.0.0", "was written by Keras 99.0.0")
def version_99(target: Path, canary: Path) -> Forge:
    return _metadata({"keras_version": "99.0.0"})


@attack("1.2 garbage metadata", "which Keras wrote it")
def garbage_version(target: Path, canary: Path) -> Forge:
    return _metadata({"keras_version": {"a": 1}})


@attack("1.2 garbage metadata", "not valid JSON")
def garbage_metadata(target: Path, canary: Path) -> Forge:
    return Forge().replace("metadata.json", b"garbage")


@attack("1.2 missing metadata", "is missing")
def missing_metadata(target: Path, canary: Path) -> Forge:
    return Forge().remove("metadata.json")


@attack("1.2 missing members", "is missing")
def missing_config(target: Path, canary: Path) -> Forge:
    return Forge().remove("config.json")


@attack("1.2 missing members", "is missing")
def missing_weights(target: Path, canary: Path) -> Forge:
    return Forge().remove("model.weights.h5")


# The container.
@attack("CVE-2026-11816", "leaves its folder")
def path_traversal(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/../../escape", b"x")


@attack("CVE-2026-11816", "leaves its folder")
def absolute_path(target: Path, canary: Path) -> Forge:
    return Forge().add("/tmp/escape", b"x")


@attack("CVE-2026-11816", "leaves its folder")
def backslash_path(target: Path, canary: Path) -> Forge:
    return Forge().add("assets\\..\\escape", b"x")


@attack("CVE-2026-11816", "leaves its folder")
def drive_path(target: Path, canary: Path) -> Forge:
    return Forge().add("C:/escape", b"x")


@attack("1.2 symlink member", "symbolic link")
def symlink_member(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/link", b"/etc/passwd", external_attr=0o120777 << 16)


@attack("1.2 symlink member", "not a regular file")
def device_member(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/device", b"", external_attr=0o060600 << 16)


@attack("1.2 two config.json members", "occurs twice")
def duplicate_members(target: Path, canary: Path) -> Forge:
    evil = json.dumps(sequential(named("os", "system", canary))).encode()
    return Forge().add("config.json", evil)


@attack("1.2 two config.json members", "occurs twice")
def duplicate_by_case(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/a", b"").add("assets/A", b"")


@attack("1.2 four 200 MiB assets", "would inflate")
def asset_bomb(target: Path, canary: Path) -> Forge:
    made = Forge(sequential(layer("StringLookup", {"vocabulary": None})))
    for index in range(4):
        made.add(f"assets/{index}", bytes(8 << 20), compress_type=zipfile.ZIP_DEFLATED)
    return made


@attack("1.2 four 200 MiB assets", "belongs to no layer")
def assets_of_nobody(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/vocabulary.txt", b"x")


@attack("1.2 unknown members", "not a member")
def unknown_member(target: Path, canary: Path) -> Forge:
    return Forge().add("evil.py", b"x")


@attack("1.2 shard map", "not a member")
def shard_map(target: Path, canary: Path) -> Forge:
    return Forge().add("model.weights.json", b'{"weight_map": {"/vars": "../../x.h5"}}')


@attack("1.2 pickle in npz weights", "pickled code")
def npz_weights(target: Path, canary: Path) -> Forge:
    class Touch:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {canary}",)

    return Forge().remove("model.weights.h5").add("model.weights.npz", pickle.dumps(Touch()))


@attack("1.2 encrypted members", "encrypted")
def encrypted(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    target.write_bytes(data)
    return target


@attack("1.2 unknown compression", "compressed in an unknown way")
def bzip2(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/x", b"x" * 100, compress_type=zipfile.ZIP_BZIP2)


@attack("1.2 too many members", "members; at most")
def many_members(target: Path, canary: Path) -> Forge:
    made = Forge()
    for index in range(2000):
        made.add(f"assets/{index}", b"")
    return made


@attack("1.2 long names", "name is")
def long_name(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/" + "x" * 5000, b"")


@attack("1.2 appended and prepended bytes", "after its end")
def trailing_bytes(target: Path, canary: Path) -> Path:
    target.write_bytes(Forge().data() + b"evil")
    return target


@attack("1.2 appended and prepended bytes", "belong to no member")
def prepended_bytes(target: Path, canary: Path) -> Path:
    target.write_bytes(b"#!/bin/sh\n" + Forge().data())
    return target


@attack("1.2 appended and prepended bytes", "belong to no member")
def bytes_before_directory(target: Path, canary: Path) -> Path:
    data = Forge().data()
    start = data.index(b"PK\1\2")
    end = bytearray(data[-22:])
    end[16:20] = struct.pack("<L", start + 4)
    target.write_bytes(data[:start] + b"evil" + data[start:-22] + end)
    return target


@attack("1.2 overlapping members", "overlap")
def overlapping_members(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    target.write_bytes(data)
    return target


@attack("1.2 contradicting headers", "contradicts the directory")
def contradicting_names(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    data[30:43] = b"METADATA.JSON"
    target.write_bytes(data)
    return target


@attack("1.4 truncated", "truncated")
def truncated(target: Path, canary: Path) -> Path:
    target.write_bytes(Forge().data()[:-30])
    return target


@attack("1.4 empty", "truncated: it is empty")
def empty(target: Path, canary: Path) -> Path:
    target.write_bytes(b"")
    return target


@attack("1.4 not a zip", "not a `.keras` archive")
def not_a_zip(target: Path, canary: Path) -> Path:
    target.write_bytes(b"hello" * 100)
    return target


@attack("1.4 damaged", "does not match its checksum")
def flipped_bit(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    data[data.index(b"model.weights.h5") + 500] ^= 1
    target.write_bytes(data)
    return target


@attack("1.4 a folder, a pipe", "not a regular file")
def named_pipe(target: Path, canary: Path) -> Path:
    os.mkfifo(target)
    return target


@attack("1.4 a folder, a pipe", "not a regular file")
def folder(target: Path, canary: Path) -> Path:
    target.mkdir()
    return target


@attack("1.4 missing", "cannot be opened")
def missing_file(target: Path, canary: Path) -> Path:
    return target


# HDF5.
@attack("CVE-2025-9905", "Legacy whole-model HDF5")
def legacy_h5(target: Path, canary: Path) -> Path:
    other = target.with_suffix(".h5")
    other.write_bytes(forge.h5(forge.dense_weights))
    return other


@attack("CVE-2025-9905", "HDF5 file, not a `.keras`")
def legacy_h5_renamed(target: Path, canary: Path) -> Path:
    target.write_bytes(forge.h5(forge.dense_weights))
    return target


def _outside(group: Any) -> str:
    return "/etc/hostname"


weights(
    "CVE-2026-0897, CVE-2026-12570",
    "declares",
    petabytes=lambda g: g.create_dataset("0", (1 << 50,), "float32", chunks=(1024,)),
    unallocated=lambda g: g.create_dataset("0", (1 << 40,), "float32"),
    half_gibibyte=lambda g: g.create_dataset(
        "0", (1 << 27,), "float32", chunks=(1 << 20,), compression="gzip"
    ),
    inflated=lambda g: g.create_dataset(
        "0", data=np.zeros((4 << 20,), "float32"), chunks=(1 << 20,), compression="gzip"
    ),
)
weights(
    "CVE-2026-1669",
    "in another file|soft link|link to another file",
    external_storage=lambda g: g.create_dataset(
        "0", (4, 3), "uint8", external=[(_outside(g), 0, 12)]
    ),
    soft_link=lambda g: g.__setitem__("0", h5py.SoftLink("/layers/dense/vars/1")),
    dangling_soft_link=lambda g: g.__setitem__("0", h5py.SoftLink("/nowhere")),
)
weights(
    "CVE-2026-9335",
    "link to another file|soft link",
    external_link=lambda g: g.__setitem__("0", h5py.ExternalLink("/etc/hostname", "/x")),
    external_group=lambda g: g.file.__setitem__("extra", h5py.ExternalLink("other.h5", "/")),
    soft_group=lambda g: g.file.__setitem__("extra", h5py.SoftLink("/layers")),
)


def _virtual(group: Any) -> None:
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", (4, 3))
    group.create_virtual_dataset("0", layout)


def _committed(group: Any) -> None:
    group["0"] = np.dtype("float32")


def _cycle(group: Any) -> None:
    group["0"] = np.zeros((4, 3), "float32")
    group["loop"] = group.file["layers"]


def _shared(group: Any) -> None:
    group["0"] = group["1"]


def _deep(group: Any) -> None:
    group["0"] = np.zeros((4, 3), "float32")
    for _ in range(200):
        group = group.create_group("g")


def _reference(group: Any) -> None:
    made = group.create_dataset("0", (1,), dtype=h5py.ref_dtype)
    made[0] = group.ref


def _attribute(group: Any) -> None:
    group["0"] = np.zeros((4, 3), "float32")
    group["0"].attrs["dtype"] = group.ref


def _foreign_filter(group: Any) -> None:
    group.create_dataset("0", data=np.zeros((4, 3), "float32"), chunks=(4, 3), compression="lzf")


weights("CVE-2026-12480", "virtual dataset", virtual_dataset=_virtual)
weights(
    "1.7 R3 only numbers",
    "holds|neither a group nor|attribute|no shape",
    texts=lambda g: g.create_dataset("0", data=["a", "b"]),
    objects_of_varying_length=lambda g: g.create_dataset(
        "0", (2,), dtype=h5py.vlen_dtype("float32")
    ),
    compound=lambda g: g.create_dataset("0", (2,), dtype=[("a", "f4"), ("b", "i4")]),
    references=_reference,
    opaque=lambda g: g.create_dataset("0", data=np.zeros((4, 3), "V8")),
    committed_type=_committed,
    reference_attribute=_attribute,
    empty_dataspace=lambda g: g.create_dataset("0", data=h5py.Empty("float32")),
    complex_weights=lambda g: g.create_dataset("0", data=np.ones((4, 3), "complex64")),
    long_double=lambda g: g.create_dataset("0", data=np.ones((4, 3), np.longdouble)),
)
weights(
    "1.7 R3 only hard links, once",
    "reached twice|nested deeper",
    cyclic_group=_cycle,
    shared_dataset=_shared,
    deep_groups=_deep,
)
weights("1.7 R3 foreign filters", "decoder", foreign_filter=_foreign_filter)
weights(
    "1.2 NaN and infinity",
    "NaN or infinity",
    nan_weights=lambda g: g.create_dataset("0", data=np.full((4, 3), np.nan, "float32")),
    infinite_weights=lambda g: g.create_dataset("0", data=np.full((4, 3), -np.inf, "float16")),
    nan_compressed=lambda g: g.create_dataset(
        "0", data=np.full((4, 3), np.nan, "float32"), compression="gzip"
    ),
)
weights(
    "1.2 lossy casts",
    "cannot hold unchanged",
    needs_keras=True,
    float64_weights=lambda g: g.create_dataset("0", data=np.full((4, 3), 1e300)),
    integer_weights=lambda g: g.create_dataset("0", data=np.ones((4, 3), "int32")),
    boolean_weights=lambda g: g.create_dataset("0", data=np.ones((4, 3), bool)),
)
weights(
    "1.2 wrong shapes",
    "Keras cannot rebuild",
    needs_keras=True,
    other_shape=lambda g: g.create_dataset("0", data=np.ones((5, 3), "float32")),
)


@attack("1.4 damaged", "not an HDF5 file")
def weights_of_text(target: Path, canary: Path) -> Forge:
    return Forge(weights=b"hello" * 100)


@attack("1.4 damaged", "truncated")
def truncated_weights(target: Path, canary: Path) -> Forge:
    return Forge(weights=forge.h5(forge.dense_weights)[:-100])


# Provenance.
@attack("R4 digests", "was altered")
def altered_after_sealing(target: Path, canary: Path) -> Path:
    forge.seal(Forge().write(target))
    with zipfile.ZipFile(target) as archive:
        members = [(item, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(target, "w") as archive:
        for item, data in members:
            changed = data.replace(b'"units": 3', b'"units": 4')
            archive.writestr(item, changed)
    _canonical(target)
    return target


@attack("R4 digests", "is missing|was added")
def member_taken_away(target: Path, canary: Path) -> Path:
    made = Forge(sequential(layer("StringLookup", {"vocabulary": None})))
    made.add("assets/vocabulary.txt", b"x")
    forge.seal(made.write(target))
    with zipfile.ZipFile(target) as archive:
        members = [(i, archive.read(i)) for i in archive.infolist() if "assets" not in i.filename]
    with zipfile.ZipFile(target, "w") as archive:
        for item, data in members:
            archive.writestr(item, data)
    _canonical(target)
    return target


@attack("R4 digests", "has the format|one short line|not an object|not a number")
def forged_provenance(target: Path, canary: Path) -> Forge:
    made = Forge()
    document = {"format": 1, "keras": "\x1b]0;evil\x07", "contract": 1}
    made.add("dl_techniques.json", json.dumps(document).encode())
    for info, _ in made.members:
        info.external_attr = 0o100600 << 16
    return made


def _canonical(target: Path) -> None:
    with zipfile.ZipFile(target, "a") as archive:
        for item in archive.infolist():
            item.external_attr = 0o100600 << 16
        archive._didModify = True
