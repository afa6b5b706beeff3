"""Components as users compose them: nested, shared, changed in part, saved between two steps."""

from __future__ import annotations

import json
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, Final

import keras

from dl_techniques.core.files import model_state, stored_state
from dl_techniques.core.files.rebuilt import differences
from dl_techniques.core.testing.check import check, require
from dl_techniques.core.testing.composed import compose, make_up_training, quick_collection
from dl_techniques.core.testing.continuation import difference_between, go_on
from dl_techniques.core.testing.subject import Subject

_WEIGHTS: Final = "model.weights.h5"


@check()
def composition(subject: Subject) -> None:
    """In a nested model, called twice, changed in part and trained, it comes back and goes on.

    Parts are quantized, adapted with LoRA and frozen; sequences are masked. All means: layers,
    variables and what is trained, the state of the optimizer and of all random numbers, and what
    further training gives.
    """
    with quick_collection(), warnings.catch_warnings():
        # Keras says so of a functional model whose output has no mask.
        lost = r"Layer '[^']*' \(of type Functional\) was passed an input with a mask"
        warnings.filterwarnings("ignore", lost)
        model, arrays = compose(subject)
        _require_continuation(model, arrays)


def _require_continuation(model: keras.Model, arrays: list[Any]) -> None:
    if keras.backend.backend() == "torch":
        go_on(model, arrays)
    else:
        make_up_training(model)  # elsewhere a step takes long
    again = _reloaded(model)
    found = differences(model, again)
    require(not found, " ".join(found[:2]))
    seeds = model_state.capture(again) == model_state.capture(model)
    require(seeds, "a seed generator or `autocast` comes back in another state")
    gap = difference_between(go_on(again, arrays), go_on(model, arrays))
    require(not gap, gap)


def _reloaded(model: keras.Model) -> keras.Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        with model_state.exact_adapters(model):
            model.save(path)
        document = json.loads(json.dumps(model_state.capture(model)))
        again = keras.models.load_model(path)
        with zipfile.ZipFile(path) as file:
            weights = Path(file.extract(_WEIGHTS, folder))
        model_state.restore(again, stored_state.parse(document, "the file"), weights)
    return again
