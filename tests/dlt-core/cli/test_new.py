"""The scaffold: every kind is generated whole, and works."""

from __future__ import annotations

import doctest
import functools
import importlib
import os
import shutil
import subprocess
import sys

import pytest

from dl_techniques.core.cli import main
from dl_techniques.core.project.scaffold import KINDS, create_plugin, package_of
from dl_techniques.core.project.scan import Package, generate


def test_templates_cover_the_published_kinds():
    assert {"layer", "loss", "metric", "model", "callback", "function"} <= set(KINDS)
    assert len(KINDS) >= 10


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_whole_and_its_example_runs(kind, tmp_path, monkeypatch):
    name = f"acme-new-{kind}"
    folder = create_plugin(name, kind, tmp_path)
    package = f"acme_new_{kind}"
    files = generate(Package(package, folder / "src" / package))
    assert len(files) == 2
    assert not any(file.drifted for file in files)
    for path in folder.rglob("*"):
        if path.is_file():
            assert "$" not in path.read_text(), path
    monkeypatch.syspath_prepend(str(folder / "src"))
    module = importlib.import_module(package)
    (exported,) = module.__all__
    component = getattr(module, exported)
    result = doctest.testmod(sys.modules[component.__module__], raise_on_error=False)
    assert result.attempted
    assert not result.failed
    if kind != "function":
        examples = list(component.examples())
        assert examples
        for example in examples:
            config = example.instance.get_config()
            assert type(example.instance).from_config(config).get_config() == config
        for rejection in component.rejections():
            with pytest.raises(ValueError, match=rejection.argument):
                component(**rejection.config).build(rejection.build)


def test_a_plugin_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    from dl_techniques.core.project import scaffold

    def fail(package):
        raise RuntimeError("disk full")

    monkeypatch.setattr(scaffold, "generate", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        create_plugin("acme-half", "layer", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "x-",
        "a b",
        "a/b",
        "../x",
        "1x",
        "dlt-mine",
        "dlt",
        "dl_techniques",
        "keras",
        "json",
        "class",
        "a--b",
        "a\n",
        "dltools",
        "DLT.mine",
        "Torch",
        "a" * 65,
    ],
)
def test_names_that_are_malformed_or_taken_are_refused(name):
    with pytest.raises(ValueError, match="name="):
        package_of(name)


def test_nothing_is_overwritten(tmp_path, capsys):
    arguments = ["new", "acme-twice", "--kind", "loss", "--directory", str(tmp_path)]
    assert main(arguments) == 0
    assert "Next:" in capsys.readouterr().out
    marker = tmp_path / "acme-twice" / "README.md"
    marker.write_text("mine")
    assert main(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert marker.read_text() == "mine"


@pytest.mark.slow
def test_each_kind_passes_conformance(site, tmp_path):
    for kind in KINDS:
        folder = create_plugin(f"acme-kit-{kind}", kind, tmp_path)
        package = f"acme_kit_{kind}"
        site.install(package, components=[])
        shutil.copytree(folder / "src" / package, site.folder / package, dirs_exist_ok=True)
    # A process of its own, in which nothing of other tests is registered or cached.
    script = (
        "import sys; from dl_techniques.core.cli import main\n"
        "codes = [main(['conformance', f'acme_kit_{kind}']) for kind in sys.argv[1:]]\n"
        "sys.exit(max(codes))"
    )
    child = subprocess.run(
        [sys.executable, "-c", script, *KINDS], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stdout + child.stderr
    assert child.stdout.count("component(s)") == len(KINDS)


def into(project, *arguments):
    return main(["new", "--into", str(project), *arguments])


def test_a_component_is_added_to_a_project(tmp_path, monkeypatch):
    project = create_plugin("acme-added", "loss", tmp_path)
    assert into(project, "FancyNorm", "--family", "norms.fancy") == 0
    folder = project / "src" / "acme_added"
    source = (folder / "norms" / "fancy" / "fancy_norm.py").read_text()
    assert '@component("acme_added>FancyNorm"' in source
    assert (project / "tests" / "norms" / "fancy" / "test_fancy_norm.py").is_file()
    assert main(["manifest", "check", str(project)]) == 0
    monkeypatch.syspath_prepend(str(project / "src"))
    package = importlib.import_module("acme_added")
    assert package.FancyNorm.__module__ == "acme_added.norms.fancy.fancy_norm"
    assert importlib.import_module("acme_added.norms").FancyNorm is package.FancyNorm


def test_the_generated_test_passes_and_a_wrong_formula_fails_it(tmp_path):
    project = create_plugin("acme-tried", "loss", tmp_path)
    assert into(project, "FancyNorm") == 0
    test = project / "tests" / "test_fancy_norm.py"  # the other one needs the plugin installed
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(test)]
    command += ["--import-mode=importlib", "-k", "closed_form or config"]
    environment = {**os.environ, "PYTHONPATH": f"{project}/src{os.pathsep}"}
    run = functools.partial(
        subprocess.run, command, capture_output=True, text=True, check=False, env=environment
    )
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    file = project / "src" / "acme_tried" / "fancy_norm.py"
    file.write_text(file.read_text().replace("ops.sigmoid(", "ops.tanh("))
    done = run()
    assert done.returncode == 1
    assert "test_equals_the_closed_form" in done.stdout


def test_a_workspace_keeps_its_tests_together_and_its_owners_current(tmp_path):
    (tmp_path / "packages").mkdir()
    project = create_plugin("acme-member", "layer", tmp_path / "packages")
    (tmp_path / "pyproject.toml").write_text('[tool.dl_techniques]\nowners = "owners.json"\n')
    (tmp_path / "tests" / "acme-member").mkdir(parents=True)
    assert into(project, "FancyNorm", "--family", "norms") == 0
    assert (tmp_path / "tests" / "acme-member" / "norms" / "test_fancy_norm.py").is_file()
    assert "acme_member>FancyNorm" in (tmp_path / "owners.json").read_text()


@pytest.mark.parametrize(
    "arguments",
    [
        ["fancy-norm"],
        ["class"],
        ["FancyNorm", "--family", "Norms/x"],
        ["Gate"],
        ["FancyNorm", "--family", ".."],
    ],
)
def test_a_name_that_cannot_be_added_is_refused(arguments, tmp_path, capsys):
    project = create_plugin("acme-kept", "layer", tmp_path)
    before = sorted(project.rglob("*"))
    assert into(project, *arguments) == 1
    assert "Received" in capsys.readouterr().err
    assert sorted(project.rglob("*")) == before


def test_a_file_that_exists_is_kept(tmp_path, capsys):
    project = create_plugin("acme-once", "layer", tmp_path)
    (project / "tests" / "test_fancy_norm.py").write_text("mine")
    assert into(project, "FancyNorm") == 1
    assert "test_fancy_norm.py" in capsys.readouterr().err
    assert not (project / "src" / "acme_once" / "fancy_norm.py").exists()
