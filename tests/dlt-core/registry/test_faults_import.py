"""Components whose import fails or contradicts the manifest are named; all else works."""

from __future__ import annotations

import sys
import threading
from typing import Any

import pytest

from dl_techniques.core.errors import ComponentImportError, ContractMismatch, DLTechniquesError

# The module of the broken component, and the cause that the error must name.
IMPORTS = {
    "import_error": ("import there_is_no_such_module", "ModuleNotFoundError"),
    "missing_attribute": ("x = 1", "dl-techniques manifest write"),
    "syntax_error": ("def (", "SyntaxError"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "exit": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "silent_exit": ("raise SystemExit", "SystemExit"),
    "own_base": ("class Stop(BaseException): pass\nraise Stop('now')", "Stop: now"),
    "name_error": ("undefined", "NameError"),
    "unshowable": (
        "class E(Exception):\n    def __str__(self): raise ValueError\nraise E",
        "its text cannot be shown",
    ),
    "endless_text": ("raise ValueError('x' * 10_000_000)", "..."),
    "module_getattr": ("def __getattr__(name): raise RuntimeError('trap')", "RuntimeError: trap"),
    "not_unicode": (b"\xff\xfe", "SyntaxError"),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_any_exception_of_an_import_is_one_error(site: Any, tools: Any, case: str) -> None:
    healthy = site.healthy()
    source, cause = IMPORTS[case]
    broken = site.healthy("broken")
    package = broken.partition(">")[0]
    tools.write(site.folder / package / "gate.py", source)
    registry = site.registry()
    assert broken in {entry.id for entry in registry.list()}
    assert registry.find(broken).distribution == package

    with pytest.raises(ComponentImportError) as refusal:
        registry.load(broken)
    text = str(refusal.value)
    assert cause in text
    assert f"{package} 1.0" in text
    assert len(text) < 2_000
    assert refusal.value.__cause__ is not None
    assert (refusal.value.id, refusal.value.distribution) == (broken, package)
    [problem] = [p for p in registry.problems if p.distribution == package]
    assert (problem.stage, problem.location) == ("import", f"{package}.gate:Gate")
    assert registry.load(healthy)("x") == "x"


def test_a_failed_import_is_tried_again_and_forgotten(site: Any, tools: Any) -> None:
    name = site.healthy()
    file = site.folder / name.partition(">")[0] / "gate.py"
    source = file.read_text()
    tools.write(file, "import there_is_no_such_module")
    registry = site.registry()
    with pytest.raises(ComponentImportError):
        registry.load(name)
    tools.write(file, source)
    assert registry.load(name)("x") == "x"
    assert not [p for p in registry.problems if p.distribution in name]


def test_ctrl_c_is_not_swallowed(site: Any, tools: Any) -> None:
    name = site.healthy()
    tools.write(site.folder / name.partition(">")[0] / "gate.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        site.registry().load(name)


UNDECLARED = "def Gate(x): return x"
FORGED = """
from dl_techniques.core import component, declaration_of
@component({other!r}, kind="function")
def Gate(x): return x
Gate.__dl_component__ = declaration_of(Gate)._replace(id={id!r})
"""


TRAP = """
class Trap:
    def __getattribute__(self, name):
        raise ValueError(name)

Gate = Trap()
"""

LIES = {
    "undeclared": "not declared",
    "other_id": "Other",
    "other_kind": "'activation'",
    "unsafe": "unsafe=True",
    "forged": "registered with Keras",
    "no_object": "not declared",
    "trap": "is no component: looking at",
}


@pytest.mark.parametrize("lie", LIES)
def test_an_object_that_contradicts_its_manifest_is_refused(
    site: Any, tools: Any, lie: str
) -> None:
    healthy = site.healthy()
    package = site.name("liar")
    name = f"{package}>Gate"
    sources = {
        "undeclared": UNDECLARED,
        "other_id": tools.function(f"{package}>Other", "Gate"),
        "other_kind": tools.function(name, "Gate", kind="activation"),
        "unsafe": tools.function(name, "Gate", unsafe=True),
        "forged": FORGED.format(other=f"{package}>Another", id=name),
        "no_object": f"Gate = {name!r}",
        "trap": TRAP,
    }
    site.package(package, {"gate": sources[lie]})
    site.metadata(package, entry_points=tools.components_group(package))
    site.manifest(package, [tools.record(name, f"{package}.gate:Gate")])
    registry = site.registry()
    with pytest.raises(ContractMismatch, match=f"{package} 1.0") as refusal:
        registry.load(name)
    assert LIES[lie] in str(refusal.value)
    assert "components.json" in str(refusal.value) or lie == "trap"
    assert refusal.value.distribution == package
    assert registry.load(healthy)("x") == "x"


def test_plugins_that_need_each_other(site: Any, tools: Any) -> None:
    """A loads B while it is imported, and B loads A: an error for who closes the circle."""
    a, b = site.healthy("left"), site.healthy("right")
    for mine, other in ((a, b), (b, a)):
        file = site.folder / mine.partition(">")[0] / "gate.py"
        load = f"from dl_techniques.core import registry\nregistry.load({other!r})\n"
        tools.write(file, load + file.read_text())
    healthy = site.healthy()
    registry = site.registry()
    for name in (a, b):
        with pytest.raises(ComponentImportError, match=name.partition(">")[0]):
            registry.load(name)
    assert registry.load(healthy)("x") == "x"


def test_loading_in_many_threads(site: Any) -> None:
    ids = [site.healthy(stem) for stem in ("one", "two", "three", "four")]
    registry = site.registry()
    found: list[Any] = []
    errors: list[BaseException] = []
    start = threading.Barrier(8)

    def work(number: int) -> None:
        try:
            start.wait()
            for round_ in range(20):
                name = ids[(number + round_) % len(ids)]
                found.append((name, registry.load(name)))
                assert len(registry.list(kind="function")) >= len(ids)
                if round_ % 5 == number % 5:
                    registry.refresh()
        except BaseException as error:  # a thread's own failure must reach the test
            errors.append(error)

    before = sys.stdout
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert len(found) == 160
    assert len({(name, target) for name, target in found}) == len(ids)
    assert sys.stdout is before


def test_discovery_imports_nothing_in_a_fresh_process(site: Any, tools: Any) -> None:
    """A plugin that ends the process when it is imported does not matter to a listing."""
    healthy = site.healthy()
    deadly = site.healthy("deadly")
    package = deadly.partition(">")[0]
    for file in ("__init__.py", "gate.py"):
        tools.write(site.folder / package / file, "import os; os._exit(9)")
    program = f"""
import sys
from dl_techniques.core import registry
listed = registry.list()
assert {healthy!r} in str(listed), listed
assert {deadly!r} in str(listed), listed
assert registry.find({deadly!r}).id == {deadly!r}
heavy = {{"keras", "jax", "torch", "tensorflow", "numpy", "pluggy", "inspect", "difflib", "html"}}
print(sorted(heavy & set(sys.modules)), [m for m in sys.modules if {site.serial!r} in m])
"""
    process = site.python(program)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "[] []\n"


def test_create_passes_arguments_and_refuses_functions(site: Any, tools: Any) -> None:
    package = site.name("made")
    name = f"{package}>Pair"
    source = f"""
from dl_techniques.core import component
@component({name!r}, kind="function")
class Pair:
    def __init__(self, id, second=2):
        if second < 0:
            raise ValueError("`second` must not be negative")
        self.pair = id, second
    def get_config(self):
        return dict()
"""
    site.package(package, {"pair": source})
    site.manifest(package, [tools.record(name, f"{package}.pair:Pair")])
    site.metadata(package, entry_points=tools.components_group(package))
    registry = site.registry()
    assert registry.create(name, id=1).pair == (1, 2)
    with pytest.raises(ValueError, match="`second`"):
        registry.create(name, id=1, second=-1)
    with pytest.raises(TypeError, match="`id` must name a class"):
        registry.create(site.healthy())
    assert issubclass(ComponentImportError, DLTechniquesError)
