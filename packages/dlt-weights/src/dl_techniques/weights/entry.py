"""One row of a listing of weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class HubSource:
    """A file of a Hugging Face repository at a fixed revision.

    Args:
        repo: `owner/name`.
        file: Path in the repository.
        revision: The full hash of the commit.
    """

    repo: str
    file: str
    revision: str

    @property
    def mirror_path(self) -> str:
        """Return where the file lies in a mirror."""
        return f"{self.repo}/{self.revision}/{self.file}"

    def __str__(self) -> str:
        return f"hf://{self.repo}/{self.file}@{self.revision}"


@dataclass(frozen=True)
class WheelSource:
    """A file of an installed distribution, which is never imported.

    Args:
        package: Name of the distribution on PyPI.
        version: Its version.
        file: Path of the file as the distribution's RECORD has it.
    """

    package: str
    version: str
    file: str

    @property
    def mirror_path(self) -> str:
        """Return where the file lies in a mirror."""
        return f"pypi/{self.package}/{self.version}/{self.file}"

    def __str__(self) -> str:
        return f"pypi:{self.package}=={self.version}/{self.file}"


@dataclass(frozen=True)
class UrlSource:
    """A file at an address.

    Args:
        url: The address, of https.
    """

    url: str

    @property
    def file(self) -> str:
        """The last part of the address."""
        return self.url.partition("?")[0].rstrip("/").rpartition("/")[2]

    @property
    def mirror_path(self) -> str:
        """Return where the file lies in a mirror."""
        return f"url/{self.url.partition('://')[2].partition('?')[0]}"

    def __str__(self) -> str:
        return self.url


Source = HubSource | WheelSource | UrlSource


@dataclass(frozen=True)
class WeightEntry:
    """Pretrained weights of one variant of a component.

    Args:
        component: Identifier of the component that the weights are for.
        variant: Its variant; empty if it has none.
        tag: Which weights of the variant.
        sources: Where the file can be had; the first is preferred.
        licence: Lower-case identifier, of SPDX where there is one.
        layout: Name of the rules by which the file's keys become variables.
        size: Of the file, in bytes; `None` if it is not known.
        sha256: Of the file; `None` if it is not known, which no release has.
        gate: `"none"`, `"notice"` or `"accept"`.
        licence_url: The text of the licence.
        aliases: Further tags.
        config: Arguments of the component that the weights ask for.
        preprocess: Arguments of `Preprocess`.
        metrics: Reported results of the weights, with their source.
        params: Number of parameters.
        golden: A file of recorded inputs and outputs beside the listing.
        verified: The day on which keys and outputs were checked; empty if never.
        distribution: The distribution that lists the weights.
        version: Its version.
        location: The listing.
    """

    component: str
    variant: str
    tag: str
    sources: tuple[Source, ...]
    licence: str
    layout: str
    size: int | None = None
    sha256: str | None = None
    gate: str = "none"
    licence_url: str = ""
    aliases: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict, hash=False)
    preprocess: Mapping[str, Any] = field(default_factory=dict, hash=False)
    metrics: Mapping[str, Any] = field(default_factory=dict, hash=False)
    params: int | None = None
    golden: str | None = None
    verified: str = ""
    distribution: str = ""
    version: str = ""
    location: str = ""

    @property
    def name(self) -> str:
        """`Component/variant/tag`, as commands take it."""
        return self.name_of(self.tag)

    @property
    def names(self) -> tuple[str, ...]:
        """The name with the tag, and with each alias."""
        return tuple(self.name_of(tag) for tag in (self.tag, *self.aliases))

    def name_of(self, tag: str) -> str:
        """The name with another tag.

        Args:
            tag: The tag.
        """
        parts = (self.component.rpartition(">")[2], self.variant, tag)
        return "/".join(part for part in parts if part)

    @property
    def file(self) -> str:
        """The name of the file."""
        return self.sources[0].file.rpartition("/")[2]

    @property
    def pinned(self) -> str:
        """A text that is one file's only: its hash, or its first source."""
        return self.sha256 or str(self.sources[0])
