"""The documents keep their word: code runs, links lead somewhere, commands and sessions exist."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("packages/*/README.md")]
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    "path",
    [
        ROOT / "README.md",
        *sorted(ROOT.glob("packages/*/README.md")),
        ROOT / "docs/weightwatcher/README.md",
        ROOT / "docs/weightwatcher/large-models.md",
    ],
    ids=relative,
)
def test_python_of_a_document_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    for name in (
        "dl_techniques.layers",
        "dl_techniques.losses",
        "dl_techniques.models.convnext",
        "dl_techniques.weightwatcher",
        "dl_techniques.weights",
    ):
        pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    codes = blocks(path, "python")
    assert codes, f"{relative(path)} shows no Python"
    namespace: dict[str, object] = {"__name__": "readme"}
    if "core" in relative(path):
        import keras

        namespace["model"] = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    for code in codes:
        exec(compile(code, relative(path), "exec"), namespace)


def test_the_readmes_model_takes_thirty_lines():
    code = blocks(ROOT / "README.md", "python")[0]
    assert len(code.splitlines()) <= 30


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_links_lead_to_files(path):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "mailto:")):
            assert (path.parent / target).exists(), f"{relative(path)} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=relative)
def test_named_commands_and_sessions_exist(path):
    from dl_techniques.core.cli import application

    text = path.read_text(encoding="utf-8")
    sessions = set(re.findall(r"^def (\w+)\(session", (ROOT / "noxfile.py").read_text(), re.M))
    for session in re.findall(r"nox -s (\w+)", text):
        assert session in sessions, f"{relative(path)} names the session {session}"
    known = {*application.COMMANDS, "port", "watch", "weights"}
    for command in re.findall(r"dl-techniques ([a-z]+)", text):
        assert command in known, f"{relative(path)} names the command {command}"


def test_the_list_of_components_is_up_to_date() -> None:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        from write_components import TARGET, page
    finally:
        sys.path.pop(0)
    assert TARGET.read_text(encoding="utf-8") == page(), "run: python docs/write_components.py"
