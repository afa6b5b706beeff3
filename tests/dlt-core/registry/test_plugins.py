"""Plugins with behaviour: each is loaded and called under a guard of its own."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import pytest

from dl_techniques.core.entry import Problem
from dl_techniques.core.registry.plugins import Plugins
from dl_techniques.core.registry.registry import Registry

HEAD = "from dl_techniques.core import Problem, component, hookimpl\n"
HEALTHY = HEAD + "@hookimpl\ndef dl_doctor():\n    return [Problem('me', 'hook', 'all is well')]\n"


def plugin(site: Any, stem: str, source: str, value: str = "", name: str = "plugin") -> str:
    package = site.name(stem)
    site.package(package, {"hooks": source})
    site.metadata(
        package, entry_points=f"[dl_techniques.plugins]\n{name} = {value or package + '.hooks'}\n"
    )
    return str(package)


def of(problems: tuple[Problem, ...], distribution: str) -> list[Problem]:
    return [problem for problem in problems if problem.distribution == distribution]


def answers(registry: Registry, hook: str, **arguments: Any) -> dict[str, Any]:
    return {a.plugin.distribution: a.value for a in registry.plugins.call(hook, **arguments)}


# The plugin's module, and the cause that the problem must name.
LOADING = {
    "import_error": ("import there_is_no_such_module", "ModuleNotFoundError"),
    "exit": ("import sys; sys.exit(0)", "SystemExit"),
    "own_base": ("class Stop(BaseException): pass\nraise Stop('now')", "Stop: now"),
    "recursion": ("def f(): f()\nf()", "RecursionError"),
    "syntax": ("def (", "SyntaxError"),
    "wrong_signature": (HEAD + "@hookimpl\ndef dl_doctor(nonsense): return []", "nonsense"),
    "unknown_hook": (HEAD + "@hookimpl\ndef dl_docter(): return []", "dl_docter"),
    "no_hook": ("x = 1", "no hook"),
}


@pytest.mark.parametrize("case", LOADING)
def test_a_plugin_that_cannot_be_loaded(site: Any, case: str) -> None:
    source, cause = LOADING[case]
    broken = plugin(site, "broken", source)
    healthy = plugin(site, "healthy", HEALTHY)
    registry = site.registry()
    assert answers(registry, "dl_doctor")[healthy] == [Problem("me", "hook", "all is well")]
    [problem] = of(registry.problems, broken)
    assert problem.stage == "plugin"
    assert cause in problem.message
    assert f"{broken}.hooks" in str(problem.location)
    assert not of(registry.problems, healthy)


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("json:plugin", "AttributeError"),
        ("no_such_package_at_all", "ModuleNotFoundError"),
        ("has spaces in it", "must read"),
        ("json:__name__", "no hook"),
    ],
)
def test_an_entry_point_that_names_nothing_good(site: Any, value: str, cause: str) -> None:
    broken = plugin(site, "broken", "", value)
    healthy = plugin(site, "healthy", HEALTHY)
    registry = site.registry()
    assert healthy in answers(registry, "dl_doctor")
    [problem] = of(registry.problems, broken)
    assert cause in problem.message


# The body of the hook, and the cause that the problem must name.
CALLING = {
    "raises": ("raise RuntimeError('oops')", "RuntimeError: oops"),
    "exits": ("raise SystemExit(1)", "SystemExit: 1"),
    "stops": ("raise GeneratorExit('now')", "GeneratorExit: now"),
    "text": ("return 'a text'", "iterable of objects"),
    "number": ("return 7", "TypeError"),
    "wrong_items": ("return [1, 2]", "expected `Problem`s"),
    "endless": ("import itertools; return itertools.count()", "at most 10000"),
    "raises_midway": ("yield Problem('a', 'b', 'c'); raise KeyError('late')", "KeyError"),
}


@pytest.mark.parametrize("case", CALLING)
def test_a_hook_that_fails(site: Any, case: str) -> None:
    body, cause = CALLING[case]
    broken = plugin(site, "broken", HEAD + f"@hookimpl\ndef dl_doctor():\n    {body}\n")
    healthy = plugin(site, "healthy", HEALTHY)
    registry = site.registry()
    found = answers(registry, "dl_doctor")
    assert healthy in found
    assert broken not in found
    answers(registry, "dl_doctor")
    [problem] = of(registry.problems, broken)  # once, not once a call
    assert problem.stage == "hook"
    assert problem.message.startswith("dl_doctor failed")
    assert cause in problem.message


def test_ctrl_c_in_a_hook_is_not_swallowed(site: Any) -> None:
    plugin(site, "broken", HEAD + "@hookimpl\ndef dl_doctor(): raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        answers(site.registry(), "dl_doctor")


def test_a_hook_that_does_not_exist_is_the_callers_mistake(site: Any) -> None:
    plugin(site, "healthy", HEALTHY)
    with pytest.raises(AttributeError, match="dl_nonsense"):
        answers(site.registry(), "dl_nonsense")


def test_two_plugins_of_one_name_both_answer(site: Any) -> None:
    first, second = (plugin(site, stem, HEALTHY) for stem in ("first", "second"))
    assert {first, second} <= set(answers(site.registry(), "dl_doctor"))


def test_each_plugin_gets_its_own_copy_of_a_configuration(site: Any) -> None:
    def migrate(key: str) -> str:
        return HEAD + (
            "@hookimpl\ndef dl_migrate_config(config, stored):\n"
            f"    config['nested'][{key!r}] = stored\n    return config\n"
        )

    one, two = plugin(site, "one", migrate("a")), plugin(site, "two", migrate("b"))
    none = plugin(site, "none", HEAD + "@hookimpl\ndef dl_migrate_config(): return None\n")
    wrong = plugin(site, "wrong", HEAD + "@hookimpl\ndef dl_migrate_config(): return 'x'\n")
    registry = site.registry()
    config: dict[str, Any] = {"nested": {}}
    found = answers(registry, "dl_migrate_config", id="a>B", config=config, stored="1", current="2")
    assert found == {one: {"nested": {"a": "1"}}, two: {"nested": {"b": "1"}}}
    assert config == {"nested": {}}
    assert not of(registry.problems, none)
    assert "dictionary" in of(registry.problems, wrong)[0].message


def test_commands_are_added_to_the_real_parser(site: Any) -> None:
    source = HEAD + (
        "@hookimpl\ndef dl_commands(subparsers):\n"
        "    subparsers.add_parser('watch').set_defaults(func=lambda arguments: 7)\n"
    )
    plugin(site, "adds", source)
    parser = argparse.ArgumentParser()
    site.registry().plugins.call("dl_commands", subparsers=parser.add_subparsers())
    arguments = parser.parse_args(["watch"])
    assert arguments.func(arguments) == 7


def test_notifications(site: Any, tmp_path: Any) -> None:
    source = HEAD + (
        "calls = []\n"
        "@hookimpl\ndef dl_model_saved(path, provenance): calls.append((path, provenance))\n"
        "@hookimpl\ndef dl_model_loaded(model): calls.append(model)\n"
    )
    package = plugin(site, "notified", source)
    plugin(site, "deaf", HEALTHY)
    talks = plugin(site, "talks", HEAD + "@hookimpl\ndef dl_model_loaded(): return 'heard'\n")
    plugins = site.registry().plugins
    assert plugins.call("dl_model_saved", path="a.keras", provenance={"k": 1}) == []
    [answer] = plugins.call("dl_model_loaded", model="model", provenance={})
    assert (answer.plugin.distribution, answer.value) == (talks, "heard")
    assert sys.modules[f"{package}.hooks"].calls == [("a.keras", {"k": 1}), "model"]


def test_plugins_may_be_objects(site: Any) -> None:
    source = HEAD + (
        "class Made:\n    @hookimpl\n    def dl_doctor(self): return []\nmade = Made()\n"
    )
    package = site.name("object")
    plugin(site, "object", source, f"{package}.hooks:made")
    plugins = Plugins()
    assert package in {p.distribution for p in plugins}
    assert len(plugins) == len(list(plugins))
    assert package in {a.plugin.distribution for a in plugins.call("dl_doctor")}
