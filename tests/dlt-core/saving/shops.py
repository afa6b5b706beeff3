"""A small plugin on disk, in version 1, and in version 2 with other class names."""

from __future__ import annotations

import json
from pathlib import Path

MODULE = '''
import keras
from dl_techniques.core import Initializer, Layer, Loss, Metric, component


@component("{package}>{gate}", kind="layer"{gate_aliases})
class {gate}(Layer):
    """Multiplies by a kernel, and adds the output of an inner layer."""

    def __init__(self, units=3, kernel_initializer="ones", inner=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.inner = inner

    def build(self, input_shape):
        self.kernel = self.add_weight(
            name="kernel", shape=(input_shape[-1], self.units), initializer=self.kernel_initializer
        )
        if self.inner is not None:
            self.inner.build((*input_shape[:-1], self.units))
        self.built = True

    def call(self, inputs):
        outputs = keras.ops.matmul(inputs, self.kernel)
        return outputs if self.inner is None else outputs + self.inner(outputs)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)


@component("{package}>{half}", kind="initializer"{half_aliases})
class {half}(Initializer):
    """A constant."""

    def __init__(self, value=0.5):
        self.value = value

    def __call__(self, shape, dtype=None):
        return self.value * keras.ops.ones(shape, dtype)


@component("{package}>{bend}", kind="activation"{bend_aliases})
def {bend}(x):
    """Twice the positive part."""
    return 2 * keras.ops.relu(x)


@component("{package}>{miss}", kind="loss"{miss_aliases})
class {miss}(Loss):
    """Weighted squares."""

    def __init__(self, weight=2.0, **kwargs):
        super().__init__(**kwargs)
        self.weight = weight

    def call(self, y_true, y_pred):
        return self.weight * keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


@component("{package}>{count}", kind="metric"{count_aliases})
class {count}(Metric):
    """How many rows were seen."""

    def __init__(self, name="rows", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.rows = self.add_variable((), "zeros", name="rows")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.rows.assign_add(keras.ops.cast(keras.ops.shape(y_true)[0], self.dtype))

    def result(self):
        return self.rows.value


@component("{package}>Danger", kind="layer", unsafe=True)
class Danger(Layer):
    """Says that it runs what a file says."""

    def call(self, inputs):
        return inputs
'''

KINDS = {
    "gate": "layer", "half": "initializer", "bend": "activation", "miss": "loss", "count": "metric",
}  # fmt: skip
OLD = {"gate": "Gate", "half": "Half", "bend": "bend", "miss": "Miss", "count": "Count"}
NEW = {"gate": "Portal", "half": "Level", "bend": "curve", "miss": "Gap", "count": "Tally"}

HOOKS = """
from dl_techniques.core import hookimpl

calls = []


@hookimpl
def dl_model_saved(path, provenance):
    calls.append(("saved", path, provenance["components"]))


@hookimpl
def dl_model_loaded(model, provenance):
    calls.append(("loaded", type(model).__name__, provenance))


@hookimpl
def dl_migrate_config(id, config, stored, current):
    calls.append(("migrate", id, stored, current))
    if id.endswith((">Gate", ">Portal")) and "breadth" in config:
        config["units"] = config.pop("breadth")
        return config
"""


def open_shop(folder: Path, package: str, *, renamed: bool = False, hooks: bool = False) -> None:
    """Install the plugin `package` into a folder of the import path."""
    names = NEW if renamed else OLD
    fields = {"package": package, **names}
    records = []
    for part, kind in KINDS.items():
        aliases = (f"{package}>{OLD[part]}",) if renamed else ()
        fields[f"{part}_aliases"] = f", aliases={aliases!r}" if aliases else ""
        records.append(_record(package, names[part], kind, aliases=list(aliases)))
    records.append(_record(package, "Danger", "layer", unsafe=True))
    home = folder / package
    home.mkdir(parents=True)
    (home / "__init__.py").write_text("")
    (home / "parts.py").write_text(MODULE.format(**fields))
    (home / "hooks.py").write_text(HOOKS)
    manifest = {"schema": 1, "contract": 1, "namespace": package, "package": package}
    document = json.dumps({**manifest, "components": records})
    (home / "components.json").write_text(document)
    version = "2.0" if renamed else "1.0"
    metadata = folder / f"{package}-{version}.dist-info"
    metadata.mkdir()
    metadata.joinpath("METADATA").write_text(
        f"Metadata-Version: 2.4\nName: {package}\nVersion: {version}\n"
    )
    points = f"[dl_techniques.components]\nparts = {package}:components.json\n"
    if hooks:
        points += f"[dl_techniques.plugins]\nhooks = {package}.hooks\n"
    metadata.joinpath("entry_points.txt").write_text(points)


def _record(package: str, name: str, kind: str, **more: object) -> dict[str, object]:
    record = {
        "id": f"{package}>{name}",
        "kind": kind,
        "object": f"{package}.parts:{name}",
        "summary": "A test's part.",
    }
    return {**record, **{key: value for key, value in more.items() if value}}
