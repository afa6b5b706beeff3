"""Files cross Keras versions and backends; what cannot cross says which Keras it needs."""

from __future__ import annotations

import copy
from pathlib import Path

import keras
import model_forge as forge
import numpy as np
import pytest
from model_forge import Forge

from dl_techniques.core import load_model
from dl_techniques.core.errors import ModelFileError
from dl_techniques.core.files import keras_versions as compatibility
from dl_techniques.core.files.config_walk import Builtin
from dl_techniques.core.files.keras_builtins import keras_builtins


def item(name: str, **config: object) -> Builtin:
    return Builtin(name, "config", forge.keras_object(*name.rsplit(".", 1), dict(config)))


def test_arguments_that_say_nothing_are_left_out() -> None:
    made = item("keras.layers.Dense", units=3, quantization_config=None, lora_alpha=None)
    assert compatibility.adapt((made,), label="x", running="3.8.0") == []
    assert made.node["config"] == {"units": 3}


def test_arguments_that_this_keras_knows_stay() -> None:
    made = item("keras.layers.Dense", units=3, quantization_config=None)
    before = copy.deepcopy(made.node)
    assert compatibility.adapt((made,), label="x", running="3.15.1") == []
    assert made.node == before


def test_arguments_that_say_something_are_never_dropped() -> None:
    made = item("keras.layers.BatchNormalization", renorm=True)
    (problem,) = compatibility.adapt((made,), label="x.keras", running="3.8.0")
    assert "renorm" in str(problem)
    assert "needs Keras 3.14.0 or later; this is Keras 3.8.0" in str(problem)
    assert "pip install" in str(problem)
    assert made.node["config"] == {"renorm": True}


def test_classes_that_came_later_are_named() -> None:
    made = item("keras.optimizers.ScheduleFreeAdamW")
    (problem,) = compatibility.adapt((made,), label="x.keras", running="3.8.0")
    assert "ScheduleFreeAdamW, which needs Keras 3.14.0" in str(problem)
    assert compatibility.least_keras((made,)) == "3.14.0"


def test_the_least_version_counts_arguments_too() -> None:
    assert (
        compatibility.least_keras((item("keras.layers.Dense", quantization_config=None),))
        == (keras_builtins().versions[0])
    )
    assert compatibility.least_keras((item("keras.layers.Dense", quantization_config={}),)) == (
        "3.13.2"
    )


@pytest.mark.filterwarnings("ignore:Skipping variable loading")  # the forged file has no state
def test_optimizers_of_the_torch_backend_become_public(tmp_path: Path) -> None:
    """Keras on PyTorch stores its optimizers under a module that other backends cannot load."""
    private = {
        "module": "keras.src.backend.torch.optimizers.torch_adam",
        "class_name": "Adam",
        "config": {"learning_rate": 0.25},
        "registered_name": "Adam",
    }
    config = forge.sequential(compile_config={"optimizer": private, "loss": "mse"})
    model = load_model(Forge(config).write(tmp_path / "model.keras"))
    assert isinstance(model.optimizer, keras.optimizers.Adam)
    assert float(model.optimizer.learning_rate) == 0.25


def test_the_table_covers_this_keras() -> None:
    """Every public class of the modules it names, unless a reason is given."""
    import inspect

    table = keras_builtins()
    if compatibility.version_key(keras.version()) > compatibility.version_key(table.versions[-1]):
        pytest.skip(f"generate the table anew: it ends with Keras {table.versions[-1]}")
    missing = []
    for module in ("layers", "losses", "metrics", "optimizers", "initializers", "regularizers",
                   "constraints", "dtype_policies"):  # fmt: skip
        for name, value in vars(getattr(keras, module)).items():
            if inspect.isclass(value) and f"keras.{module}.{name}" not in table.classes:
                missing.append(f"{module}.{name}")
    for module in ("activations", "losses", "metrics"):
        functions = {n.rpartition(".")[2] for n in table.functions}
        for name, value in vars(getattr(keras, module)).items():
            public = inspect.isfunction(value) and name not in {"get", "serialize", "deserialize"}
            if public and value.__name__ not in functions:
                missing.append(f"{module}.{name}")
    assert missing == []


LAYERS = [
    (lambda: keras.layers.Dense(3), (4,)),
    (lambda: keras.layers.Conv2D(3, 3, padding="same"), (8, 8, 2)),
    (lambda: keras.layers.Conv2DTranspose(3, 3, strides=2), (8, 8, 2)),
    (lambda: keras.layers.DepthwiseConv2D(3), (8, 8, 2)),
    (keras.layers.BatchNormalization, (8, 8, 2)),
    (keras.layers.LayerNormalization, (8, 4)),
    (lambda: keras.layers.LSTM(3), (8, 4)),
    (lambda: keras.layers.Bidirectional(keras.layers.GRU(3)), (8, 4)),
    (lambda: keras.layers.EinsumDense("abc,cd->abd", (None, 5)), (8, 4)),
    (lambda: keras.layers.TimeDistributed(keras.layers.Dense(3)), (8, 4)),
    (keras.layers.PReLU, (4,)),
    (lambda: keras.layers.SpectralNormalization(keras.layers.Dense(3)), (4,)),
    (lambda: keras.layers.RandomFlip(seed=1), (8, 8, 3)),
    (lambda: keras.layers.Rescaling(0.5), (8, 8, 3)),
]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_layers_of_keras_come_back(make: object, shape: tuple[int, ...], tmp_path: Path) -> None:
    from dl_techniques.core import save_model

    assert callable(make)
    model = keras.Sequential([keras.Input(shape), make()])
    save_model(model, tmp_path / "model.keras")
    x = np.linspace(0, 1, 2 * int(np.prod(shape)), dtype="float32").reshape((2, *shape))
    a, b = (
        np.asarray(m.predict(x, verbose=0)) for m in (model, load_model(tmp_path / "model.keras"))
    )
    np.testing.assert_array_equal(a, b)


def test_another_major_version_is_refused() -> None:
    error = compatibility.too_new("2.15.0", label="x.keras")
    assert isinstance(error, ModelFileError)
    assert compatibility.too_new("3.99.0", label="x.keras") is None


def functional(tensor: object) -> dict[str, object]:
    return forge.keras_object(
        "keras.models", "Functional", {"layers": [], "input_layers": tensor, "output_layers": {}}
    )


def test_one_tensor_that_an_older_keras_stored_as_a_list_is_one_tensor() -> None:
    node = functional([["x", 0, 0]])
    compatibility.unwrap_single_tensors([node], stored="3.8.0")
    assert node == functional(["x", 0, 0])
    compatibility.unwrap_single_tensors([node], stored="3.8.0")
    assert node == functional(["x", 0, 0])


@pytest.mark.parametrize("tensors", [[["x", 0, 0]], [["x", 0, 0], ["y", 0, 0]]])
def test_lists_that_are_meant_stay_lists(tensors: list[list[object]]) -> None:
    node = functional(tensors)
    stored = "3.11.0" if len(tensors) == 1 else "3.8.0"
    compatibility.unwrap_single_tensors([node], stored=stored)
    assert node == functional(tensors)
