"""Fixtures of the whole workspace."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pytest

# File in which `nox -s oracles` collects the comparisons' figures (one JSON object a line).
REPORT = os.environ.get("DL_TECHNIQUES_VERIFICATION")

# Declarations of operators live as long as their library.
_LIBRARIES: list[Any] = []


ChildEnvironment = Callable[[str], dict[str, str]]

_COUNT = pytest.StashKey[int]()


def _component(item: pytest.Item) -> str | None:
    """The component whose conformance a test checks."""
    if not item.name.startswith("test_conformance["):
        return None
    return item.name.partition("[")[2].partition("-")[0]


@pytest.hookimpl(tryfirst=True)
@pytest.hookimpl(tryfirst=True)  # marks are to be there before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all checks of a component: they share what is built and compiled."""
    if REPORT:
        items[:] = filter(_compares, items)
    for item in items:
        if "dlt-models-" in str(item.path) and _takes_long(item):
            item.add_marker(pytest.mark.whole_model)
        component = _component(item)
        if component is not None:
            item.add_marker(pytest.mark.xdist_group(component))
    # Groups come first, so that single tests are left to fill the last seconds of both workers.
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


def _takes_long(item: pytest.Item) -> bool:
    """Return whether a test of a model builds it again and again, or beside a peer."""
    kit = item.path.name == "test_conformance.py"
    return kit or item.get_closest_marker("oracle") is not None


def _compares(item: pytest.Item) -> bool:
    """Return whether a test has an entry in docs/verification.md, or needs a peer."""
    recorded = "verify" in getattr(item, "fixturenames", ())
    return recorded or item.get_closest_marker("oracle") is not None


def pytest_collection_finish() -> None:
    """Spare what was imported for good: searching it for garbage took a fifth of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let a test search its own objects alone for garbage.

    Keras collects garbage for every variable that it deletes, each time it quantizes a layer.
    """
    gc.freeze()


# After so many tests garbage is collected, and the compiled functions of JAX are dropped.
KEPT_TESTS = 100


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Keep a long run within memory.

    JAX keeps every function that it ever compiled; and of what compiling freed, glibc gives
    nothing back of its own accord (1.3 GB of 1.4 after the checks of one convolutional block).
    Between two checks of one component nothing is dropped: the next needs it again.
    """
    count = item.config.stash.setdefault(_COUNT, 0) + 1
    same = nextitem is not None and _component(item) and _component(item) == _component(nextitem)
    drop = count >= KEPT_TESTS and not same
    item.config.stash[_COUNT] = 0 if drop else count
    if not drop:
        return
    if "jax" in sys.modules:
        import jax

        jax.clear_caches()
    gc.unfreeze()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


# Keras imports these wherever they are installed, which is half of the time of a short process.
UNUSED = frozenset({"jax", "matplotlib", "pandas", "sklearn", "tensorflow", "torch"})


@pytest.fixture(scope="session", autouse=True)
def child_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChildEnvironment]:
    """Keep from child processes what they do not use, so that starting is not what takes long.

    This holds for all children without more ado; called with a backend, it returns the
    environment of a child that uses that one.
    """
    outside = os.environ.get("PYTHONPATH")

    def of(backend: str) -> dict[str, str]:
        folder = tmp_path_factory.mktemp("unused")
        for name in UNUSED - {backend}:
            text = "raise ImportError('kept away by tests/conftest.py')"
            (folder / f"{name}.py").write_text(text)
        paths = [str(folder), *([outside] if outside else [])]
        return {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(paths)}

    with pytest.MonkeyPatch.context() as patch:
        # Not where workers are started: these use everything.
        patch.setenv("PYTHONPATH", of(os.environ.get("KERAS_BACKEND", "tensorflow"))["PYTHONPATH"])
        yield of


class Comparison(NamedTuple):
    component: str
    oracle: str
    what: str
    difference: float
    tolerance: float


class Verify(Protocol):
    def __call__(
        self,
        component: str,
        oracle: str,
        ours: Any,
        theirs: Any,
        *,
        what: str = "forward",
        tolerance: float = 1e-5,
    ) -> None: ...


def _array(value: Any) -> np.ndarray:
    """A tensor of any backend, in float64."""
    value = value.detach() if hasattr(value, "detach") else value
    return np.asarray(value).astype("float64")


def _difference(ours: Any, theirs: Any, what: str) -> float:
    ours, theirs = _array(ours), _array(theirs)
    assert ours.shape == theirs.shape, f"shape {ours.shape} instead of the oracle's {theirs.shape}"
    assert np.isfinite(theirs).all(), "the oracle itself is not finite"
    if not ours.size:
        return 0.0
    if what == "forward":
        return float(np.max(np.abs(ours - theirs) / (1 + np.abs(theirs))))
    # Gradients are compared by the largest one: small entries are sums of large ones.
    largest = float(np.max(np.abs(theirs)))
    return float(np.max(np.abs(ours - theirs)) / (largest or 1.0))


@pytest.fixture
def verify() -> Verify:
    """Compare with an oracle and record the difference for docs/verification.md.

    `what` is "forward" (error relative to 1 + |oracle|) or anything else, such as
    "gradient of inputs" (error relative to the oracle's largest entry).
    """

    def check(
        component: str,
        oracle: str,
        ours: Any,
        theirs: Any,
        *,
        what: str = "forward",
        tolerance: float = 1e-5,
    ) -> None:
        difference = _difference(ours, theirs, what)
        if REPORT:
            import keras

            record = Comparison(component, oracle, what, difference, tolerance)._asdict()
            record["backend"] = keras.backend.backend()
            with Path(REPORT).open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        assert difference <= tolerance, f"{component} vs {oracle}, {what}: {difference:.2e}"

    return check


@pytest.fixture(scope="session")
def timm() -> Any:
    """The timm package, beside a torchvision whose compiled operators are missing.

    The wheel of torchvision that pip finds beside a CPU build of torch is built for another one,
    and cannot be imported until the two operators that it registers at import are declared.
    """
    torch = pytest.importorskip("torch")
    if not _LIBRARIES:
        library = torch.library.Library("torchvision", "DEF")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)
    return pytest.importorskip("timm")
