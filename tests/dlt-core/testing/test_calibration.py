"""The kit on Keras's own layers: it finds what is known, and nothing else."""

from __future__ import annotations

import keras
import keras_layers
import pytest

from dl_techniques.core.testing import CHECKS, check_component

# Keras's docstrings follow another form, and its classes are installed by no plugin.
NAMES = [
    name
    for name in CHECKS
    if name not in {"documentation", "documented_example", "fresh_process", "import_cost"}
]
# These layers differ in details in Keras 3.8; the newest Keras is the reference.
NEWEST = tuple(map(int, keras.__version__.split(".")[:2])) >= (3, 15)


def test_at_least_sixty_classes_are_covered():
    assert len({example.cls for example in keras_layers.examples()}) >= 60
    known = {example.cls.__name__ for example in keras_layers.examples()}
    assert set(keras_layers.EXCEPTIONS) <= known


def chosen():
    """Every layer; on JAX, which compiles half a minute for the rest, those with exceptions."""
    for example in keras_layers.examples():
        quick = keras.backend.backend() != "jax" or keras_layers.excused(example)
        yield pytest.param(example, id=example.name, marks=() if quick else pytest.mark.slow)


@pytest.mark.skipif(not NEWEST, reason="the exceptions are those of the newest Keras")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("example", list(chosen()))
def test_a_layer_of_keras_has_only_known_exceptions(example):
    reasons = keras_layers.excused(example)
    report = check_component(example, only=NAMES)
    failed = {result.check: result.message for result in report if result.status == "failed"}
    surprising = {name: text for name, text in failed.items() if name not in reasons}
    assert not surprising
    # Two examples of one class may share an exception that shows with one of them only.
    siblings = [e for e in keras_layers.examples() if e.cls is example.cls]
    if len(siblings) == 1:
        assert set(reasons) == set(failed), "an exception that is not needed any more"
    assert len(report) >= 40
