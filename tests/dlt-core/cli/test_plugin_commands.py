"""Commands of plugins: loaded only when needed, and harmless when broken."""

from __future__ import annotations

import sys

import pytest

from dl_techniques.core.cli import main

HEAD = "from dl_techniques.core import hookimpl\n@hookimpl\ndef dl_commands(subparsers):\n"
GREET = HEAD + (
    "    parser = subparsers.add_parser('greet', help='says hello')\n"
    "    parser.add_argument('name')\n"
    "    parser.set_defaults(func=run)\n"
    "def run(options):\n"
    "    print('hello', options.name)\n"
    "    return {0}\n"
)


@pytest.mark.parametrize(("returned", "code"), [("0", 0), ("3", 3), ("None", 0), ("True", 1)])
def test_a_plugin_adds_a_command(site, capsys, returned, code):
    site.install("acme_greet", plugin=GREET.format(returned))
    assert main(["greet", "world"]) == code
    assert capsys.readouterr().out == "hello world\n"


def test_help_shows_the_commands_of_plugins(site, capsys):
    site.install("acme_greet", plugin=GREET.format("0"))
    assert main(["--help"]) == 0
    assert "says hello" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["list"], ["list", "--help"], ["--version"], []])
def test_other_commands_import_no_plugin(site, capsys, arguments):
    site.install("acme_greet", plugin="raise RuntimeError('imported')")
    main(arguments)
    captured = capsys.readouterr()
    assert "imported" not in captured.out + captured.err
    assert not [name for name in sys.modules if name.startswith("acme_greet.")]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import there_is_no_such_module", "there_is_no_such_module"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        (HEAD + "    raise ValueError('no')", "ValueError: no"),
        (HEAD + "    subparsers.add_parser('list')", "list"),
        (HEAD + "    print('to nobody')\n    raise SystemExit", "SystemExit"),
        (HEAD.replace("subparsers", "parsers") + "    pass", "parsers"),
    ],
)
def test_a_broken_plugin_is_named_and_breaks_nothing(site, capsys, source, said):
    site.install("acme_broken", plugin=source)
    site.install("acme_greet", plugin=GREET.format("0"))
    assert main(["greet", "world"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "hello world\n"
    assert "acme_broken" in captured.err
    assert said in captured.err
    assert "Traceback" not in captured.err
    if said != "list":  # Python before 3.13 lets the second parser of a name take it
        assert main(["list"]) == 0


def test_an_unknown_command_names_the_plugins_that_could_not_be_asked(site, capsys):
    site.install("acme_broken", plugin="1 / 0")
    assert main(["greet"]) == 2
    error = capsys.readouterr().err
    assert "ZeroDivisionError" in error
    assert "there is no command 'greet'" in error


def test_a_command_without_a_function_is_the_plugins_fault(site, capsys):
    site.install("acme_empty", plugin=HEAD + "    subparsers.add_parser('nothing')")
    assert main(["nothing"]) == 1
    assert "'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ending", "code", "said"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(4)", 4, ""),
        ("sys.exit('that went wrong')", 1, "that went wrong"),
        ("raise ValueError('bad value')", 1, "bad value"),
        ("raise KeyError('gone')", 1, "KeyError: 'gone'"),
    ],
)
def test_however_a_plugins_command_ends_there_is_no_traceback(site, capsys, ending, code, said):
    source = GREET.format("0").replace("print('hello', options.name)", f"import sys; {ending}")
    site.install("acme_greet", plugin=source)
    assert main(["greet", "world"]) == code
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
