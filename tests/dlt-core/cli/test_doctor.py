"""The doctor: every fault is named, and none of them reaches the doctor's own process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from dl_techniques.core import registry
from dl_techniques.core.cli import main
from dl_techniques.core.doctor import diagnose as doctor
from dl_techniques.core.doctor.diagnose import BACKENDS, diagnose, stack_problems

HOOK = "from dl_techniques.core import Problem, hookimpl\n@hookimpl\n"
ADVICE = HOOK + 'def dl_doctor():\n    return [Problem("{0}", "hook", "advice of {0}")]\n'

# The source of a broken plugin, and what must be said of it.
BROKEN = {
    "missing": ("import there_is_no_such_module", "ModuleNotFoundError"),
    "exits": ("import sys; sys.exit(0)", "SystemExit"),
    "dies": ("import os; os._exit(0)", "ended the process with code 0"),
    "crashes": ("import os; os.abort()", "ended the process with code -6"),
    "interrupts": ("raise KeyboardInterrupt", "ended the process"),
    "hangs": ("import time; time.sleep(1000)", "takes longer than 3 s"),
    "hook_raises": (HOOK + "def dl_doctor():\n    raise ValueError('bad day')", "bad day"),
    "hook_lies": (HOOK + "def dl_doctor():\n    return ['text']", "expected `Problem`s"),
    "command_raises": (HOOK + "def dl_commands(subparsers):\n    raise ValueError('no')", "no"),
    "strange": (HOOK + "def dl_doctor():\n    return [Problem(1, 2, 3)]", "1: 2: 3"),
}


@pytest.mark.skipif(os.name != "posix", reason="the codes of ended processes are POSIX's")
def test_each_broken_plugin_is_named_and_stops_no_other(site):
    for name, (source, _) in BROKEN.items():
        site.install(f"acme_{name}", plugin=source)
    site.install("acme_well", plugin=ADVICE.format("acme_well"))
    found = diagnose(seconds=3)
    for name, (_, said) in BROKEN.items():
        (problem,) = [
            p for p in found.problems if p.location and f"acme_{name}.plugin" in p.location
        ] or [p for p in found.problems if str(p) == said]
        assert said in str(problem), name
    assert any(p.message == "advice of acme_well" for p in found.problems)
    assert not [name for name in sys.modules if name.startswith("acme_")]


def install_functions(site, stranger, package, sources):
    made = {name: stranger(package, name, source) for name, source in sources.items()}
    site.install(
        package,
        components=[record for record, _ in made.values()],
        **{f"{name}_module": code for name, (_, code) in made.items()},
    )
    entries = tuple(registry.list(distribution=package))
    assert len(entries) == len(sources)
    return entries


def test_each_component_that_cannot_be_imported_is_named(site, stranger):
    sources = {
        "broken": "import there_is_no_such_module",
        "dies": "import os; os._exit(7)",
        "healthy": "",
        "prints": "print('x' * 100000)",
    }
    entries = install_functions(site, stranger, "acme_parts", sources)
    problems = doctor.import_problems(entries)
    said = {p.message.partition(":")[0]: p for p in problems}
    assert set(said) == {"acme_parts>broken", "acme_parts>dies"}
    assert "there_is_no_such_module" in said["acme_parts>broken"].message
    assert "ended the process with code 7" in said["acme_parts>dies"].message
    assert {p.distribution for p in problems} == {"acme-parts"}


def test_an_endless_import_is_ended_and_the_rest_is_tried(site, stranger):
    # They fail before they need Keras, whose import is slower than this limit.
    sources = {"a": "1 / 0", "b": "import time; time.sleep(1000)", "c": "1 / 0"}
    entries = install_functions(site, stranger, "acme_slow", sources)
    seen = []
    problems = doctor.import_problems(entries, seconds=3, progress=seen.append)
    assert [p.message.partition(":")[0] for p in problems] == [entry.id for entry in entries]
    assert "takes longer than 3 s" in problems[1].message
    assert seen == ["acme_slow>a", "acme_slow>c"]


def test_the_count_of_imported_components_is_shown(site, stranger, monkeypatch, capsys):
    record, code = stranger("acme_one", "broken", "1 / 0")
    site.install("acme_one", components=[record], broken_module=code)
    monkeypatch.setenv("DL_TECHNIQUES_PLUGINS", "acme_one")
    assert main(["doctor", "--imports", "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["components"], answer["imported"], answer["healthy"]) == (1, 0, False)
    (problem,) = answer["problems"]
    assert problem == {
        "distribution": "acme-one",
        "stage": "import",
        "message": "acme_one>broken: ZeroDivisionError: division by zero",
        "location": "acme_one.broken_module:broken",
    }
    assert set(answer) == {"schema", "versions", "components", "imported", "problems", "healthy"}


def test_problems_are_reported_although_strict_raises_them_elsewhere(site, monkeypatch, capsys):
    (site.install("acme_bad", components=[]) / "components.json").write_text("{")
    monkeypatch.setenv("DL_TECHNIQUES_STRICT", "1")
    assert main(["doctor"]) == 1
    assert "acme-bad: manifest" in capsys.readouterr().out


def test_this_environment_is_healthy(capsys):
    assert main(["doctor", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["healthy"] is True
    assert answer["versions"]["keras"]
    assert answer["components"] == len(registry.list())
    assert main(["doctor"]) == 0
    assert "No problems." in capsys.readouterr().out


def test_the_doctor_imports_neither_keras_nor_a_plugin(site):
    site.install("acme_well", plugin=ADVICE.format("acme_well"))
    script = (
        "import sys; from dl_techniques.core.cli import main; code = main(['doctor']);"
        "found = {'keras', 'tensorflow', 'jax', 'torch', 'acme_well'} & set(sys.modules);"
        "sys.exit(f'{code} {sorted(found)}')"
    )
    environment = {**os.environ, "PYTHONPATH": str(site.folder)}
    child = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env=environment, check=False
    )
    assert b"advice of acme_well" in child.stdout
    assert child.stderr.decode().strip().endswith("1 []")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_limit_is_a_positive_number(seconds, capsys):
    assert main(["doctor", "--timeout", seconds]) == 2
    assert "--timeout" in capsys.readouterr().err


def test_grandchildren_end_with_the_child(site, tmp_path):
    marker = tmp_path / "marker"
    site.install(
        "acme_parent",
        plugin=(
            "import subprocess, sys\n"
            f"program = 'import time; time.sleep(4); open({str(marker)!r}, \"w\")'\n"
            "subprocess.Popen([sys.executable, '-c', program])\nwhile True: pass"
        ),
    )
    doctor.plugin_problems(seconds=2)
    time.sleep(4)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("versions", "environment", "said"),
    [
        ({"keras": None}, {}, "Keras is not installed"),
        ({"keras": "3.7.0"}, {}, "Keras 3.7.0 is not supported"),
        ({"keras": "2.15.0"}, {}, "Keras 2.15.0 is not supported"),
        ({"keras": "4.0.0"}, {}, "Keras 4.0.0 is not supported"),
        (dict.fromkeys(BACKENDS), {}, "dlt-core[jax]>=0.1,<1"),
        ({}, {"KERAS_BACKEND": "torch"}, "the backend torch (from KERAS_BACKEND)"),
        ({}, {}, "the backend tensorflow (the default of Keras)"),
    ],
)
def test_missing_packages_are_reported_with_the_remedy(
    versions, environment, said, monkeypatch, tmp_path
):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    healthy = {"keras": "3.8.0", "jax": "0.4.35", "tensorflow": None, "torch": None}
    problems = list(stack_problems({**healthy, **versions}))
    assert any(said in problem.message for problem in problems)


def test_the_backend_may_come_from_keras_own_file(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    versions = {"keras": "3.15.1", "jax": "0.10.2", "tensorflow": None, "torch": None}
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    assert list(stack_problems(versions)) == []
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    (problem,) = stack_problems(versions)
    assert "the backend torch (from " in problem.message
