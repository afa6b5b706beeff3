"""Everything that this workspace can be asked to do; `nox -l` lists it.

Without arguments the sessions that CI runs are run.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "tests"))
from speed import (
    ALL_EXAMPLES,
    IGNORED_ON_THE_SAME_KERAS,
    IGNORED_ONCE_TESTED,
    PARALLEL,
    XLA,
    XLA_OF_FLOOR,
    compiled_quickly,
)

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv"
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.sessions = [
    "lint",
    "typing",
    "manifest",
    "tests",
    "floor",
    "scaffold",
    "alone",
]

# Where this is set, each process would compile all of Keras again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A package index that does not answer at once is no fault of what is tested.
os.environ.setdefault("UV_HTTP_RETRIES", "10")

ROOT = Path(__file__).parent
DISTRIBUTIONS = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))
NEWEST = ("-c", "constraints/newest.txt")
FLOOR = ("-c", "constraints/floor.txt")
BETWEEN = ("-c", "constraints/between.txt")
NOT_SLOW = ("-m", "not slow")
# Whole models meet their peers and the kit on PyTorch, and the kit on Keras 3.8 as well; `oracles`
# and `conformance` try them on all backends.
NO_WHOLE_MODELS = ("-m", "not slow and not whole_model")
TEST_TOOLS = (
    "distributed",
    "huggingface_hub",
    "hypothesis",
    "joblib",
    "matplotlib",
    "onnx",
    "packaging",
    "pandas",
    "pillow",
    "pytest>=8.3",
    "pytest-timeout",
    "pytest-xdist",
    "safetensors",
    "scikit-learn",
    "tqdm",
)
# The value of KERAS_BACKEND, which is also what is installed for it.
BACKENDS = ("jax", "torch", "tensorflow")


def _environment(backend: str) -> dict[str, str | None]:
    return {
        "KERAS_BACKEND": backend,
        "MPLBACKEND": "agg",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONWARNINGS": "default",
        # Two workers on two cores: a thread pool a worker would only make them wait.
        "OMP_NUM_THREADS": "1",
    }


def _install_backends(session: nox.Session, *names: str) -> None:
    """Install backends; torch with pip, whose configuration may name a build for CPUs."""
    if "torch" in names:
        session.install("pip")
        # `run_install`, or else `--install-only` would leave it out, and uv take a build for GPUs.
        session.run_install("pip", "install", "-q", "--no-compile", *NEWEST, "torch")
    session.install(*NEWEST, *names)


def _new_environment(session: nox.Session, name: str, *arguments: str) -> str:
    """Make a clean environment beside the session's own, and return its interpreter."""
    folder = Path(session.create_tmp()) / name
    session.run("uv", "venv", "-q", "--clear", "-p", sys.executable, str(folder), external=True)
    python = str(folder / "bin" / "python")
    install = ("uv", "pip", "install", "-q", "--python", python, *arguments)
    session.run(*install, external=True)
    return python


def _install_workspace(session: nox.Session, *constraints: str) -> None:
    """Install every distribution as editable, with one build tool for all of them."""
    packages = [item for name in DISTRIBUTIONS for item in ("-e", f"packages/{name}")]
    session.install("hatchling>=1.30", "editables")
    session.install("--no-build-isolation", *constraints, *packages)


def _split(posargs: list[str]) -> tuple[list[str], list[str]]:
    """Backends named first, then arguments of pytest."""
    chosen = [backend for backend in BACKENDS if backend in posargs]
    rest = [argument for argument in posargs if argument not in BACKENDS]
    return chosen or list(BACKENDS), rest


def _pytest(
    session: nox.Session,
    backend: str,
    *arguments: str,
    flags: tuple[str, ...] = XLA,
    every_example: bool = True,
) -> None:
    started = time.monotonic()
    environment = _environment(backend) | compiled_quickly(
        Path(session.create_tmp()) / "jax", flags
    )
    environment["CONFORMANCE_EXAMPLES"] = "all" if every_example else "first"
    session.run("pytest", *PARALLEL, *arguments, env=environment)
    session.log(f"{backend}: {time.monotonic() - started:.0f} s")


@nox.session
def quickstart(session: nox.Session) -> None:
    """The main job: discover, build, train, save, load in a fresh process. `-- torch` chooses."""
    chosen, rest = _split(session.posargs)
    backend = chosen[0]
    _install_backends(session, backend)
    session.install(*NEWEST, "matplotlib", "scikit-learn", "tqdm")
    _install_workspace(session, *NEWEST)
    # One process on all cores: unlike the tests, it is not to be held to one thread.
    environment = {**_environment(backend), "OMP_NUM_THREADS": None, "PYTHONWARNINGS": None}
    session.run("python", "examples/digits.py", *rest, env=environment)


def _install_to_test(session: nox.Session, *backends: str) -> None:
    """Install the backends that are asked for; the peers, which need them all, with all."""
    _install_backends(session, *backends)
    session.install(*NEWEST, *TEST_TOOLS)
    if set(backends) == set(BACKENDS):
        session.install(*NEWEST, "-r", "constraints/oracles.txt")
        # Their torchvision is the one beside a CPU build of torch, so pip must not choose it.
        session.install("--no-deps", "-r", "constraints/oracles-no-deps.txt")
    _install_workspace(session, *NEWEST)


@nox.session
def tests(session: nox.Session) -> None:
    """All tests on the newest Keras. `-- jax -k attention` installs and runs what it names."""
    chosen, rest = _split(session.posargs)
    _install_to_test(session, *chosen)
    # All are tested, whatever one of them finds.
    failed = []
    for number, backend in enumerate(chosen):
        once = (*IGNORED_ONCE_TESTED, *IGNORED_ON_THE_SAME_KERAS) if number else ()
        # Whoever names one backend has time for all that it is to be checked with.
        every = len(chosen) == 1 or backend in ALL_EXAMPLES
        marks = NOT_SLOW if every else NO_WHOLE_MODELS
        try:
            _pytest(session, backend, *marks, *once, *rest, every_example=every)
        except nox.command.CommandFailed:
            failed.append(backend)
    if failed:
        session.error(f"tests fail on {', '.join(failed)}")


@nox.session
def floor(session: nox.Session) -> None:
    """All that touches a tensor, on the oldest supported stack: Keras 3.8.0, TensorFlow 2.18."""
    session.install(*FLOOR, "tensorflow", *TEST_TOOLS)
    _install_workspace(session, *FLOOR)
    selection = ("-m", "not oracle and not slow", *IGNORED_ONCE_TESTED)
    chosen = session.posargs
    every = bool(chosen)
    _pytest(session, "tensorflow", *selection, *chosen, flags=XLA_OF_FLOOR, every_example=every)


@nox.session
def conformance(session: nox.Session) -> None:
    """The kit on every example of every component. `-- jax` or `-- floor` chooses; then `-k`."""
    stacks = [name for name in (*BACKENDS, "floor") if name in session.posargs]
    rest = [argument for argument in session.posargs if argument not in stacks]
    files = sorted(str(path) for path in ROOT.glob("tests/**/test_conformance.py"))
    backends = [name for name in stacks or BACKENDS if name != "floor"]
    if backends:
        _install_to_test(session, *backends)
    for backend in backends:
        _pytest(session, backend, *NOT_SLOW, *files, *rest)
    if not stacks or "floor" in stacks:
        session.notify("floor", [*files, *rest])


@nox.session
def oracles(session: nox.Session) -> None:
    """Compare with independent implementations and write docs/verification.md.

    Of the tests, those that record a comparison or need a peer run.
    """
    chosen, rest = _split(session.posargs)
    _install_to_test(session, *BACKENDS)
    report = Path(session.create_tmp()) / "verification.jsonl"
    report.unlink(missing_ok=True)
    for number, backend in enumerate(chosen):
        environment = _environment(backend) | {"DL_TECHNIQUES_VERIFICATION": str(report)}
        folders = ["tests/dlt-layers", "tests/dlt-losses"]
        folders += ["tests/dlt-models-seq", "tests/dlt-models-vision"]
        folders += [] if number else ["tests/dlt-weightwatcher/arrays/oracles"]
        # What compares stands beside the conformance of the same components, which it is not.
        selection = ("--ignore-glob=*/test_conformance.py", *NOT_SLOW)
        session.run("pytest", *PARALLEL, *selection, *folders, *rest, env=environment)
    if not session.posargs:
        session.run("python", "docs/write_verification.py", str(report), "docs/verification.md")


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff's rules, its format and the budgets of size."""
    session.install("ruff>=0.15")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("python", "tests/budgets.py")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types strictly, without Keras: it ships none."""
    session.install("mypy>=1.18", "pluggy", "pytest", "numpy")
    session.run("mypy", *(f"packages/{name}/src" for name in DISTRIBUTIONS))


@nox.session
def manifest(session: nox.Session) -> None:
    """Fail if a generated components.json or __init__.pyi has drifted from the code."""
    session.install("-e", "packages/dlt-core", "--no-deps")
    session.run("python", "-m", "dl_techniques.core.cli", "manifest", "check")


def _wheels(session: nox.Session) -> Path:
    folder = Path(session.create_tmp()) / "wheels"
    for old in folder.glob("*.whl"):
        old.unlink()
    for name in DISTRIBUTIONS:
        build = ("uv", "build", "-q", "--wheel", "-o", str(folder), f"packages/{name}")
        session.run(*build, external=True)
    return folder


def _found_in(wheels: Path) -> tuple[str, ...]:
    """Arguments of uv for wheels that were just built.

    uv takes a wheel from its cache if it has met one of this name and version at this path, though
    the file is another: a machine that runs all this again would test what it built before.
    """
    refresh = [item for name in DISTRIBUTIONS for item in ("--refresh-package", name)]
    return ("--find-links", str(wheels), *refresh)


@nox.session
def alone(session: nox.Session) -> None:
    """Build every wheel; install each alone in a clean environment and use it there."""
    wheels, script = _wheels(session), str(ROOT / "tests" / "alone.py")
    # All are tried, whatever one of them does.
    failed = []
    for name in DISTRIBUTIONS:
        # A directory of its own, so that nothing of the workspace is importable by accident.
        wheel = (*_found_in(wheels), f"{name}[jax]>=0.1,<1")
        try:
            python = _new_environment(session, f"alone-{name}", *NEWEST, *wheel)
            session.run(python, "-I", script, name, env={"KERAS_BACKEND": "jax"}, external=True)
        except nox.command.CommandFailed as error:
            session.warn(f"{name}: {error.reason}")
            failed.append(name)
    if failed:
        session.error(f"not usable alone: {', '.join(failed)}")


@nox.session
def scaffold(session: nox.Session) -> None:
    """Generate a third-party plugin, build it, install it elsewhere, list, load and check it."""
    wheels = _wheels(session)
    session.install(*NEWEST, "jax", "pytest", *_found_in(wheels), "dlt-core>=0.1,<1")
    folder = Path(session.create_tmp()) / "plugin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    run = {"env": _environment("jax")}
    with session.chdir(folder):
        session.run("dl-techniques", "new", "acme-gates", "--kind", "layer", **run)
        session.run("uv", "build", "-q", "--wheel", "-o", ".", "acme-gates", external=True)
        plugin = ("--refresh-package", "acme-gates", "acme-gates")
        session.install("--no-deps", "--no-index", "--find-links", ".", *plugin)
        session.run("dl-techniques", "list", "--distribution", "acme-gates", **run)
        session.run("dl-techniques", "conformance", "acme-gates", **run)
        session.run("pytest", "-q", "acme-gates/tests", **run)


def _exchange(session: nox.Session, writers: dict[str, tuple[str, dict[str, str | None]]]) -> None:
    """Write golden files in every environment, and verify those of all in every one."""
    script, folder = "tests/ecosystem/golden_files.py", Path(session.create_tmp()) / "golden"
    shutil.rmtree(folder, ignore_errors=True)
    for name, (python, environment) in writers.items():
        target = str(folder / name)
        session.run(python, script, "export", target, env=environment, external=True)
    for archive in ROOT.glob("tests/ecosystem/archive/golden-*.zip"):
        session.run("python", "-m", "zipfile", "-e", str(archive), str(folder / archive.stem))
    # All are verified, whatever one of them finds.
    failed = []
    for name, (python, environment) in writers.items():
        try:
            session.run(python, script, "verify", str(folder), env=environment, external=True)
        except nox.command.CommandFailed:
            failed.append(name)
    if failed:
        session.error(f"golden files differ on {', '.join(failed)}")


@nox.session
def exchange(session: nox.Session) -> None:
    """Save every component on each backend, load it on each, compare outputs and gradients."""
    _install_backends(session, *BACKENDS)
    _install_workspace(session, *NEWEST)
    shared = compiled_quickly(Path(session.create_tmp()) / "jax")
    _exchange(session, {name: ("python", _environment(name) | shared) for name in BACKENDS})


@nox.session
def skew(session: nox.Session) -> None:
    """Save every component with each of three versions of Keras, and load it with each."""
    pythons = {}
    for name, constraints in (("floor", FLOOR), ("between", BETWEEN), ("newest", NEWEST)):
        packages = [item for d in DISTRIBUTIONS for item in ("-e", f"packages/{d}")]
        arguments = (*constraints, "tensorflow", *packages)
        pythons[name] = _new_environment(session, f"keras-{name}", *arguments)
    environment = _environment("tensorflow")
    _exchange(session, {name: (python, environment) for name, python in pythons.items()})


@nox.session
def bench(session: nox.Session) -> None:
    """Print the ratios of benchmarks/; `-- layers UIB` chooses, KERAS_BACKEND says where."""
    _install_to_test(session, *BACKENDS)
    names = session.posargs[:1] or ["registry"]
    session.run("python", f"benchmarks/bench_{names[0]}.py", *session.posargs[1:])


if os.environ.get("CI"):
    # A fresh clone has nothing to reuse, and a log should not say that it does.
    nox.options.reuse_venv = "no"
