"""`dl-techniques conformance`: what is counted, and what may not pass silently."""

from __future__ import annotations

import json

import pytest

from dl_techniques.core.cli import main

LAYER = '''
from dl_techniques.core import Example, Layer, TensorSpec, component

print("imported")


@component("{package}>{name}", kind="layer")
class {name}(Layer):
    """Doubles its input."""

    def call(self, inputs):
        {body}

    def compute_output_shape(self, input_shape):
        return input_shape

    @classmethod
    def examples(cls):
        {examples}
'''
ONE = "yield Example(cls, inputs=TensorSpec((2, 3)))"


def install(site, package, **layers):
    components, modules = [], {}
    for name, (body, examples) in layers.items():
        module = name.lower()
        record = {
            "id": f"{package}>{name}",
            "kind": "layer",
            "object": f"{package}.{module}:{name}",
        }
        components.append({**record, "summary": "Doubles its input."})
        modules[module] = LAYER.format(package=package, name=name, body=body, examples=examples)
    site.install(package, components=components, **modules)


def test_a_good_component_passes_and_its_checks_are_counted(site, capsys):
    install(site, "acme_good", Twice=("return 2 * inputs", ONE))
    assert main(["conformance", "acme_good", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {
        *("schema", "components", "checks", "failures", "errors", "problems"),
    }
    (component,) = answer["components"]
    assert component["id"] == "acme_good>Twice"
    assert component["error"] is None
    run = [r for r in component["results"] if r["status"] != "not_applicable"]
    assert answer["checks"] == len(run) > 5
    assert answer["failures"] == answer["errors"] == 0


def test_one_component_and_one_check_can_be_chosen(site, capsys):
    install(
        site,
        "acme_two",
        Twice=("return 2 * inputs", ONE),
        Thrice=("return 3 * inputs", ONE),
    )
    assert main(["conformance", "acme_two>Thrice", "--only", "gradients_live"]) == 0
    out = capsys.readouterr().out
    assert "acme_two>Thrice: 1 passed" in out
    assert out.endswith("1 component(s), 1 checks, 0 failures, 0 could not be checked\n")


def test_failures_and_unchecked_components_are_exit_code_1(site, capsys):
    install(
        site,
        "acme_bad",
        Good=("return 2 * inputs", ONE),
        Unshaped=("return inputs[:, :1]", ONE),
        Without=("return inputs", "yield from ()"),
        Raising=("return inputs", "raise ValueError('no example')"),
    )
    only = ["--only", "output_shape", "--only", "gradients_live"]
    assert main(["conformance", "acme_bad", "--json", *only]) == 1
    answer = json.loads(capsys.readouterr().out)
    by_name = {c["id"].partition(">")[2]: c for c in answer["components"]}
    assert by_name["Good"]["error"] is None
    failed = {
        name: [r for r in c["results"] if r["status"] == "failed" and r["level"] == "must"]
        for name, c in by_name.items()
    }
    assert failed["Good"] == []
    assert failed["Unshaped"]
    assert "no `examples()`" in by_name["Without"]["error"]
    assert "no example" in by_name["Raising"]["error"]
    assert answer["errors"] == 2
    assert answer["failures"] == len(failed["Unshaped"])


def test_a_broken_import_is_named(site, capsys, stranger):
    record, code = stranger("acme_gone", "broken", "1 / 0")
    site.install("acme_gone", components=[record], broken_module=code)
    assert main(["conformance", "acme_gone"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out


@pytest.mark.parametrize("target", ["no-such-distribution", "acme>Nothing", "dlt-core"])
def test_nothing_to_check_is_an_error(target, capsys):
    assert main(["conformance", target]) == 1
    error = capsys.readouterr().err
    assert target in error
    assert "Traceback" not in error


def test_an_unknown_check_is_an_error(site, capsys):
    install(site, "acme_check", Twice=("return 2 * inputs", ONE))
    assert main(["conformance", "acme_check", "--only", "nonsense"]) == 1
    assert "no check 'nonsense'" in capsys.readouterr().out
