"""Out of core, and on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from dl_techniques.weightwatcher import analyze_model

pytestmark = pytest.mark.slow

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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_two_gigabytes_are_analysed_in_the_memory_of_a_gram_matrix(tmp_path):
    M, N = 512, 1_048_576
    path = tmp_path / "big.safetensors"
    header = {"w": {"dtype": "F32", "shape": [N, M], "data_offsets": [0, 4 * N * M]}}
    text = json.dumps(header).encode()
    rng = np.random.default_rng(0)
    block = rng.standard_t(3, (4096, M)).astype("float32")
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(N // 4096):
            file.write(block.tobytes())
    command = [sys.executable, "-c", MEASURE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, extra, _ = done.stdout.split()
    print(f"{int(extra) / 2**20:.0f} MB beyond the mapped file")
    assert int(count) == 1
    assert int(extra) <= 3 * M * M * 8 + 64 * 2**20


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
