"""`dl-techniques watch`, through the hook and as a process."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from dl_techniques.weightwatcher import AnalysisResult
from dl_techniques.weightwatcher.plugin import dl_commands


@pytest.fixture
def model(tmp_path, weights):
    np.savez(tmp_path / "model.npz", **weights)
    return str(tmp_path / "model.npz")


def watch(*arguments):
    parser = argparse.ArgumentParser()
    dl_commands(parser.add_subparsers())
    options = parser.parse_args(["watch", *map(str, arguments)])
    return options.func(options)


def test_the_table_is_printed_and_files_are_written(model, tmp_path, capsys):
    files = {name: tmp_path / f"r.{name}" for name in ("json", "csv", "html")}
    options = [f"--{name}={path}" for name, path in files.items()]
    assert watch(model, *options, "--png", tmp_path / "png", "--jobs", 1, "--bootstrap", 5) == 0
    text = capsys.readouterr().out
    assert "dense" in text
    assert "mean" in text
    assert json.loads(files["json"].read_text())["summary"]["layers"] == 3
    assert len(files["csv"].read_text().splitlines()) == 4
    assert "<h2>Summary</h2>" in files["html"].read_text(encoding="utf-8")
    assert (tmp_path / "png" / "alpha_by_depth.png").is_file()


def test_json_on_standard_output_is_all_there_is(model, capsys):
    assert watch(model, "--json", "-", "--jobs", 1, "--compat", "weightwatcher") == 0
    assert json.loads(capsys.readouterr().out)["settings"]["compat"] == "weightwatcher"


def test_several_models_are_compared(model, tmp_path, weights, capsys):
    np.savez(tmp_path / "other.npz", **{n: a + 1 for n, a in weights.items()})
    page = tmp_path / "c.html"
    assert watch(model, tmp_path / "other.npz", "--jobs", 1, "--html", page) == 0
    assert "other.npz" in capsys.readouterr().out
    assert "Models, best first" in page.read_text(encoding="utf-8")


def test_a_model_with_nan_is_a_failure(tmp_path, capsys):
    np.savez(tmp_path / "bad.npz", w=np.full((20, 20), np.nan))
    assert watch(tmp_path / "bad.npz", "--jobs", 1) == 1
    assert "nonfinite" in capsys.readouterr().out


def test_mistakes_are_named(model, tmp_path):
    from dl_techniques.core.cli.output import UserError

    with pytest.raises(ValueError, match="no file"):
        watch(tmp_path / "missing.keras")
    with pytest.raises(UserError, match="--csv"):
        watch(model, model, "--csv", tmp_path / "x.csv")


@pytest.mark.parametrize("option", ["--html", "--json", "--csv"])
def test_an_unwritable_file_fails_before_the_analysis(option, tmp_path):
    from dl_techniques.core.cli.output import UserError

    # There is no such model: that would be the complaint if it were looked for first.
    with pytest.raises(UserError, match=f"{option} .*missing is no folder"):
        watch(tmp_path / "model.keras", option, tmp_path / "missing" / "report")
    with pytest.raises(UserError, match=f"{option} .*this is a folder"):
        watch(tmp_path / "model.keras", option, tmp_path)


@pytest.mark.parametrize("option", ["--png", "--resume"])
def test_a_file_as_folder_fails_before_the_analysis(option, model):
    from dl_techniques.core.cli.output import UserError

    with pytest.raises(UserError, match=f"{option} .*this is a file"):
        watch(model, option, model)


@pytest.mark.skipif(os.name == "nt", reason="Windows delivers Ctrl-C to whole consoles only")
def test_an_interrupt_leaves_no_trace_of_garbage_and_can_be_resumed(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {f"w{i}": rng.normal(size=(900, 700)).astype("float32") for i in range(30)}
    np.savez(tmp_path / "big.npz", **arrays)
    kept = tmp_path / "kept"
    code = """
import argparse, signal, sys
# A process whose parent runs in the background inherits that Ctrl-C is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from dl_techniques.weightwatcher.plugin import dl_commands
parser = argparse.ArgumentParser()
dl_commands(parser.add_subparsers())
options = parser.parse_args(sys.argv[1:])
raise SystemExit(options.func(options))
"""
    command = [
        sys.executable,
        "-c",
        code,
        "watch",
        str(tmp_path / "big.npz"),
        "--resume",
        str(kept),
    ]
    command += ["--json", str(tmp_path / "r.json"), "--jobs", "2"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while len(list(kept.glob("layers/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "--resume" in err
    assert not out
    assert not (tmp_path / "r.json").exists()
    assert not list(tmp_path.rglob("*.saving"))
    done = len(AnalysisResult.load(kept))
    assert 2 <= done < 30
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "r.json").read_text())["summary"]["layers"] == 30
