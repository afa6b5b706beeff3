"""The command line: answers, exit codes, and no traceback for a user's mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from dl_techniques.core import registry
from dl_techniques.core.cli import main

pytest.importorskip("dl_techniques.layers")


def test_list_shows_a_table_and_json(capsys):
    assert main(["list", "--kind", "layer", "--search", "root mean square"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("ID")
    assert "dl_techniques>RMSNorm" in table
    assert main(["list", "--kind", "layer", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["schema"] == 1
    assert {c["id"] for c in answer["components"]} == {e.id for e in registry.list(kind="layer")}
    record = next(c for c in answer["components"] if c["id"] == "dl_techniques>RMSNorm")
    assert record["paper"] == "arXiv:1910.07467"


def test_list_imports_neither_keras_nor_a_backend_nor_a_plugin():
    script = (
        "import sys; from dl_techniques.core.cli import main; code = main(['list']);"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'numpy', 'pluggy', 'h5py'};"
        "found = heavy & set(sys.modules);"
        "found |= {m for m in sys.modules if m.startswith('dl_techniques.layers')};"
        "sys.exit(f'{code} {sorted(found)}')"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert child.stderr.decode().strip().endswith("0 []")


def test_info_shows_signature_docstring_and_provider(capsys):
    assert main(["info", "RMSNorm"]) == 0
    text = capsys.readouterr().out
    for part in ("dl_techniques>RMSNorm", "arXiv:1910.07467", "dlt-layers", "axis: int |", "Args:"):
        assert part in text
    assert main(["info", "dl_techniques>RMSNorm", "--json"]) == 0
    component = json.loads(capsys.readouterr().out)["component"]
    assert component["signature"].startswith("RMSNorm(axis:")
    assert component["examples"]


def test_static_info_needs_no_import(capsys):
    assert main(["info", "RMSNorm", "--static", "--json"]) == 0
    assert "docstring" not in json.loads(capsys.readouterr().out)["component"]


SHY = '''
from dl_techniques.core import Component, Example, Fresh, component


@component("acme_shy>Shy", kind="callback")
class Shy(Component):
    """Has settings that JSON has not."""

    def __init__(self, a=1):
        self.a = a

    @classmethod
    def examples(cls):
        print("noise")
        {0}
'''


def install_shy(site, examples):
    record = {
        "id": "acme_shy>Shy",
        "kind": "callback",
        "object": "acme_shy.shy:Shy",
        "summary": "x",
    }
    site.install("acme_shy", components=[record], shy=SHY.format(examples))


def test_info_shows_settings_that_json_has_not(site, capsys):
    install_shy(
        site,
        'yield Example(cls, {"a": {1: [float("nan"), (2, {3}, None)], "b": Fresh(dict)}})\n'
        "        while True: yield Example(cls)",
    )
    assert main(["info", "acme_shy>Shy", "--json"]) == 0
    captured = capsys.readouterr()
    examples = json.loads(captured.out)["component"]["examples"]
    assert examples[0] == {"a": {"1": ["nan", [2, "{3}", None]], "b": "(made anew)"}}
    assert len(examples) == 20
    assert "noise" in captured.err
    assert main(["info", "acme_shy>Shy"]) == 0


def test_info_of_a_component_whose_examples_fail_names_it_and_the_way_around(site, capsys):
    install_shy(site, 'raise RuntimeError("boom")')
    assert main(["info", "acme_shy>Shy"]) == 1
    error = capsys.readouterr().err
    for part in ("acme_shy 1.0", "RuntimeError: boom", "--static"):
        assert part in error
    assert main(["info", "acme_shy>Shy", "--static"]) == 0


def test_a_terminal_that_lacks_characters_gets_escapes(site):
    record = {"id": "acme_far>f", "kind": "function", "object": "acme_far.f:f"}
    site.install("acme_far", components=[{**record, "summary": "\u03b1 \u4e2d"}])
    environment = {**os.environ, "PYTHONPATH": str(site.folder), "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "dl_techniques.core.cli", "list", "--distribution", "acme_far"]
    child = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert child.returncode == 0
    assert b"\\u03b1 \\u4e2d" in child.stdout


def test_list_tells_of_problems_on_standard_error_only(site, capsys):
    (site.install("acme_bad", components=[]) / "components.json").write_text("{")
    assert main(["list", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"schema", "components", "problems"}
    (problem,) = answer["problems"]
    assert problem["distribution"] == "acme_bad"
    assert main(["list", "--distribution", "acme_bad"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "(no components)\n"
    assert "1 problem on the way" in captured.err


def test_an_unknown_component_is_one_line_with_the_nearest_names(capsys):
    assert main(["info", "RMSNrm"]) == 1
    error = capsys.readouterr().err
    assert "RMSNorm" in error
    assert "Traceback" not in error


def test_inspect_of_a_missing_file_is_refused_with_its_name(capsys, tmp_path):
    assert main(["inspect", str(tmp_path / "nothing.keras")]) == 1
    captured = capsys.readouterr()
    assert "nothing.keras" in captured.out + captured.err
    assert "Traceback" not in captured.err


def test_inspect_shows_components_and_their_provider(capsys, tmp_path):
    import keras

    from dl_techniques.core import save_model

    inputs = keras.Input((4,))
    model = keras.Model(inputs, registry.create("RMSNorm")(inputs))
    save_model(model, tmp_path / "model.keras")
    assert main(["inspect", str(tmp_path / "model.keras")]) == 0
    text = capsys.readouterr().out
    assert "dl_techniques>RMSNorm: dlt-layers" in text
    assert "can be loaded" in text
    assert main(["inspect", str(tmp_path / "model.keras"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["loadable"] is True
    assert answer["parameters"] == 4


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["list", "--kind", "layers"], ["info"]])
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("list", "info", "inspect", "doctor", "manifest", "new", "conformance"):
        assert command in text


def test_a_defect_is_reported_as_one_and_shown_whole_on_request(capsys, monkeypatch):
    from dl_techniques.core.cli import listing

    def fail(options):
        raise RuntimeError("boom")

    monkeypatch.setattr(listing, "run", fail)
    assert main(["list"]) == 1
    assert "RuntimeError: boom" in capsys.readouterr().err
    monkeypatch.setenv("DL_TECHNIQUES_DEBUG", "1")
    with pytest.raises(RuntimeError, match="boom"):
        main(["list"])


def test_interruption_and_a_closed_pipe_are_quiet(capsys, monkeypatch):
    from dl_techniques.core.cli import listing

    def interrupt(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(listing, "run", interrupt)
    assert main(["list"]) == 130
    command = f"{sys.executable} -m dl_techniques.core.cli list --json | head -c 1"
    child = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert child.stderr == b""
    assert child.stdout == b"{"


@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 1)])
def test_a_stream_that_the_caller_closed_is_no_defect(closed, code):
    arguments = "list --json" if code == 0 else "info no_such_component"
    command = f"{sys.executable} -m dl_techniques.core.cli {arguments} {closed}"
    child = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    assert (child.returncode, child.stdout, child.stderr) == (code, b"", b"")


def test_text_of_others_cannot_reach_the_terminal(capsys):
    from dl_techniques.core.cli.output import complain, say

    say("a\x1b[31mb\nc")
    complain("\x1b]0;title\x07")
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert captured.out.count("\n") == 2
