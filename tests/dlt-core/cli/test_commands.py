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
    found, out = imported_by(["list"])
    assert found == "0 []"
    assert "dl_techniques>RMSNorm" in out


def test_a_pipe_gets_whole_lines_despite_columns():
    command = [sys.executable, "-m", "dl_techniques.core.cli", "list", "--kind", "layer"]
    environment = {**os.environ, "COLUMNS": "40"}
    child = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    entries = registry.list(kind="layer")
    lines = child.stdout.splitlines()[1:]
    assert len(lines) == len(entries)
    for line, entry in zip(lines, entries, strict=True):
        assert line.startswith(f"{entry.id} ")
        assert line.endswith(entry.summary)


def complete(line, tmp_path):
    """Return the completions of a line."""
    answer = tmp_path / "answer"
    environment = {
        **os.environ,
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "fish",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    command = [sys.executable, "-m", "dl_techniques.core.cli"]
    subprocess.run(command, env=environment, check=False, capture_output=True)
    return [word.partition("\t")[0] for word in answer.read_text().split("\n")]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("dl-techniques li", "list"),
        ("dl-techniques info RMSN", "RMSNorm"),
        ("dl-techniques info dl_techniques\\>RMSN", "dl_techniques>RMSNorm"),
        ("dl-techniques list --kind lay", "layer"),
        ("dl-techniques list --distribution dlt-la", "dlt-layers"),
        ("dl-techniques conformance dlt-la", "dlt-layers"),
        ("dl-techniques list --js", "--json"),
    ],
)
def test_a_shell_completes(line, word, tmp_path):
    found = [item.replace("\\", "").strip() for item in complete(line, tmp_path)]
    assert word in found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "dl-techniques" in capsys.readouterr().out


def test_info_shows_signature_docstring_and_provider(capsys):
    assert main(["info", "RMSNorm"]) == 0
    text = capsys.readouterr().out
    for part in ("dl_techniques>RMSNorm", "arXiv:1910.07467", "dlt-layers", "axis: int |", "Args:"):
        assert part in text
    assert main(["info", "dl_techniques>RMSNorm", "--json"]) == 0
    component = json.loads(capsys.readouterr().out)["component"]
    assert component["signature"].startswith("RMSNorm(\n    axis:")
    assert "examples" not in component
    assert main(["info", "RMSNorm", "--json", "--examples"]) == 0
    assert json.loads(capsys.readouterr().out)["component"]["examples"]


def imported_by(arguments):
    """The heavy modules that a command imports in a process of its own, and its answer."""
    script = (
        "import sys; from dl_techniques.core.cli import main; code = main(sys.argv[1:]);"
        "heavy = {'keras', 'tensorflow', 'jax', 'torch', 'numpy', 'pluggy', 'h5py'};"
        "found = heavy & set(sys.modules);"
        "found |= {m for m in sys.modules if m.startswith('dl_techniques.layers')};"
        "sys.exit(f'{code} {sorted(found)}')"
    )
    command = [sys.executable, "-c", script, *arguments]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    return child.stderr.strip().splitlines()[-1], child.stdout


def test_info_imports_nothing_heavy():
    found, out = imported_by(["info", "RMSNorm"])
    assert found == "0 []"
    assert "y = gamma * x" in out


@pytest.mark.parametrize("name", ["RMSNorm", "GLUFFN", "DropPath", "CBAM"])
def test_info_shows_signature_and_docstring(name, capsys):
    import inspect

    pytest.importorskip("keras")
    try:
        cls = registry.load(name)
    except LookupError:
        pytest.skip("not installed")
    assert main(["info", name, "--json"]) == 0
    component = json.loads(capsys.readouterr().out)["component"]
    assert component["docstring"].startswith(inspect.getdoc(cls))
    for parameter in inspect.signature(cls).parameters.values():
        assert f"{parameter.name}" in component["signature"]


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
    assert main(["info", "acme_shy>Shy", "--json", "--examples"]) == 0
    captured = capsys.readouterr()
    examples = json.loads(captured.out)["component"]["examples"]
    assert examples[0] == {"a": {"1": ["nan", [2, "{3}", None]], "b": "(made anew)"}}
    assert len(examples) == 20
    assert "noise" in captured.err
    assert main(["info", "acme_shy>Shy"]) == 0


def test_info_of_a_component_whose_examples_fail_names_it(site, capsys):
    install_shy(site, 'raise RuntimeError("boom")')
    assert main(["info", "acme_shy>Shy", "--examples"]) == 1
    error = capsys.readouterr().err
    for part in ("acme-shy 1.0", "RuntimeError: boom"):
        assert part in error
    assert main(["info", "acme_shy>Shy"]) == 0


def test_info_without_source_shows_the_summary(site, capsys):
    install_shy(site, "yield Example(cls)")
    (site.folder / "acme_shy" / "shy.py").unlink()
    assert main(["info", "acme_shy>Shy"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "x"


INHERITED = '''
from dl_techniques.core import Layer, component


class Base(Layer):
    """Base.

    Args:
        width: How wide
            it is.
        depth: How deep.
    """

    def __init__(self, width, depth=2, **kwargs):
        super().__init__(**kwargs)


@component("acme_heir>Heir", kind="layer")
class Heir(Base):
    """Inherits.

    Args:
        height: How high.
        depth: Own words.
    """

    def __init__(self, height: float = 1.0, *, depth: int = 3, **kwargs):
        super().__init__(depth=depth, **kwargs)
'''


def test_info_merges_the_documentation_of_bases(site, capsys):
    record = {"id": "acme_heir>Heir", "kind": "layer", "object": "acme_heir.heir:Heir"}
    site.install("acme_heir", components=[{**record, "summary": "x"}], heir=INHERITED)
    assert main(["info", "acme_heir>Heir", "--json"]) == 0
    component = json.loads(capsys.readouterr().out)["component"]
    signature = "Heir(height: float = 1.0, *, depth: int = 3, width, **kwargs)"
    assert component["signature"] == signature
    head, _, inherited = component["docstring"].partition("Inherited arguments:\n")
    assert "Own words." in head
    assert inherited == "    width: How wide\n        it is."


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
    assert problem["distribution"] == "acme-bad"
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


@pytest.mark.parametrize("arguments", [["nonsense"], ["list", "--kind", "layers"], ["info"]])
def test_wrong_usage_is_exit_code_2(arguments, capsys):
    assert main(arguments) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["lst"], "list"),
        (["list", "--kind", "layr"], "layer"),
        (["conformence", "x"], "conformance"),
    ],
)
def test_suggestions_for_a_mistyped_word(arguments, meant, capsys):
    assert main(arguments) == 2
    assert f"Did you mean '{meant}'?" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command(arguments, capsys):
    assert main(arguments) == 0
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
