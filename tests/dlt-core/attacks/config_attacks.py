"""Attacks that the configuration and the metadata of a model file carry."""

from __future__ import annotations

import base64
import json
import marshal
import zipfile
from pathlib import Path
from typing import Any

from attack import attack, configs
from model_forge import Forge, component, dense, function, keras_object, layer, sequential


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
    "refused by a trial in isolation",
    isolated=True,
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
    normalization_bomb=lambda c: sequential(
        layer(
            "Normalization",
            {"axis": -1, "mean": 0.0, "variance": 1.0},
            build_config={"input_shape": [None, 10**9]},
        )
    ),
    ngrams_bomb=lambda c: sequential(layer("TextVectorization", {"ngrams": 10**9})),
    thresholds_bomb=lambda c: sequential(
        compile_config={
            "metrics": [keras_object("keras.metrics", "AUC", {"num_thresholds": 10**9})]
        }
    ),
    confusion_bomb=lambda c: sequential(
        compile_config={
            "metrics": [keras_object("keras.metrics", "MeanIoU", {"num_classes": 10**5})]
        }
    ),
)
configs(
    "1.2 numbers beyond every size",
    "no size or seed",
    huge_integer=lambda c: sequential(
        {**dense(), "build_config": {"input_shape": [None, 1 << 70]}}
    ),
)
configs(
    "1.2 what is not a model",
    "not the configuration|must be strings|must be its name",
    config_is_a_list=lambda c: [],
    config_without_class=lambda c: {"config": {}},
    class_is_a_number=lambda c: sequential({**dense(), "class_name": 7}),
    function_is_an_object=lambda c: sequential(dense(activation={**function("x"), "config": {}})),
)


def _constant(name: str, **config: Any) -> Any:
    return {"class_name": name, "config": config}


@attack("1.2 config-only memory", "refused by a trial in isolation", isolated=True)
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


@attack("1.2 constants", "is not UTF-8")
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
