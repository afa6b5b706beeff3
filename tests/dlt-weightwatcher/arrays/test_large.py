"""Out of core, and on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model

MEASURE = """
import resource, sys
from dl_techniques.weightwatcher import analyze_model
analyze_model({"warm": __import__("numpy").eye(64) + 1}, n_jobs=1)
def anonymous():
    text = open("/proc/self/smaps_rollup").read()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))
import threading, time
before, peak, running = anonymous(), 0, True
def watch():
    global peak
    while running:
        peak = max(peak, anonymous())
        time.sleep(0.02)
thread = threading.Thread(target=watch); thread.start()
result = analyze_model(sys.argv[1], n_jobs=1)
running = False; thread.join()
print(len(result), (peak - before) * 1024, result[0]["alpha"])
"""


def write_tall(path, rows, columns):
    """A safetensors file of one float32 matrix, written block by block."""
    header = {
        "w": {"dtype": "F32", "shape": [rows, columns], "data_offsets": [0, 4 * rows * columns]}
    }
    text = json.dumps(header).encode()
    block = np.random.default_rng(0).standard_t(3, (4096, columns)).astype("float32")
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(rows // 4096):
            file.write(block.tobytes())
    return block


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    ("rows", "columns"),
    [(196_608, 256), pytest.param(1_048_576, 512, marks=pytest.mark.slow)],
    ids=["200 MB", "2 GB"],
)
def test_a_file_is_analysed_in_the_memory_of_a_gram_matrix(tmp_path, rows, columns):
    path = tmp_path / "big.safetensors"
    block = write_tall(path, rows, columns)
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, extra, alpha = done.stdout.split()
    print(f"{int(extra) / 2**20:.0f} MB beyond the mapped file")
    assert int(count) == 1
    assert int(extra) <= 3 * columns * columns * 8 + 64 * 2**20
    # The block is repeated, which multiplies all eigenvalues.
    assert float(alpha) == pytest.approx(analyze_model({"w": block}, n_jobs=1)[0]["alpha"])


def test_dask_gives_the_same_bits(weights):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    rng = np.random.default_rng(0)
    arrays = {**weights, **{f"w{i}": rng.standard_t(3, (200, 120)) for i in range(4)}}
    options = {"bootstrap": 5, "randomize": True}
    alone = analyze_model(arrays, n_jobs=1, **options)
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
    ):
        together = analyze_model(arrays, n_jobs=2, parallel="dask", **options)
    assert json.dumps(alone.to_records()) == json.dumps(together.to_records())
    for a, b in zip(alone, together, strict=True):
        assert np.array_equal(a.esd, b.esd)
