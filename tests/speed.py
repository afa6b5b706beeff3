"""Speed of the tests: flags of compilers, caches, workers, selections."""

from __future__ import annotations

from pathlib import Path

XLA_OF_FLOOR = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
)
# The last halves the time of compiling one operation, and is unknown to older ones.
XLA = (*XLA_OF_FLOOR, "--xla_cpu_use_fusion_emitters=false")
# Two workers; tests/conftest.py says which tests are to share one. A test that hangs is to fail by
# its name, not to stop a whole run; none takes a tenth of this on a busy machine.
PARALLEL = ("-n", "2", "--dist", "loadgroup", "--timeout", "900")
# Tests without tensors run with the first backend only.
BACKEND_FREE = (
    "tests/dlt-core/attacks/test_attacks.py",
    "tests/dlt-core/cli",
    "tests/dlt-core/registry",
    "tests/dlt-core/saving/test_atomic.py",
    "tests/dlt-core/saving/test_fuzz.py",
    "tests/dlt-core/saving/test_integrity.py",
    "tests/dlt-core/saving/test_processes.py",
    "tests/dlt-core/scan",
    "tests/dlt-models-vision/test_clip_tokenizer.py",
    "tests/dlt-weightwatcher/arrays",
    "tests/dlt-weights/files",
    "tests/dlt-weights/listing",
    "tests/ecosystem/test_sources.py",
    "tests/ecosystem/test_style.py",
)
IGNORED_ONCE_TESTED = tuple(f"--ignore={path}" for path in BACKEND_FREE)
# Each file is loaded by a process of its own, a few seconds each; what Keras asks for in memory and
# time depends on its version more than on the backend.
IGNORED_ON_THE_SAME_KERAS = (
    "--ignore=tests/dlt-core/attacks/test_isolated_attacks.py",
    "--ignore=tests/dlt-core/saving/test_isolation.py",
)
# The quickest backend checks every example of a component; `nox -s conformance` does so on all.
ALL_EXAMPLES = ("torch",)


def compiled_quickly(cache: Path, flags: tuple[str, ...] = XLA) -> dict[str, str]:
    """Compile with XLA quickly, and for JAX once for all processes: most of its time on tests.

    Measurements compile as users do: `oracles` and `bench` do without.
    """
    return {
        "XLA_FLAGS": " ".join(flags),
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
