"""The bounds under which a model file is read. Each is far above what real models need."""

from __future__ import annotations

from typing import Final, NamedTuple

KIB: Final = 1 << 10
MIB: Final = 1 << 20


class Limits(NamedTuple):
    """Limits of a model file's content."""

    members: int = 512
    """Members of the archive."""
    name: int = 512
    """Bytes of a member's name, and characters of an object's name in the weights."""
    directory: int = MIB
    """Bytes of the archive's central directory."""
    slack: int = 8 * MIB
    """Bytes by which all members together may inflate beyond the file's size. Keras stores its
    members uncompressed, so that nothing inflates; this is room for small repacked files."""
    config: int = 8 * MIB
    """Bytes of `config.json`."""
    metadata: int = 64 * KIB
    """Bytes of `metadata.json`."""
    provenance: int = 2 * MIB
    """Bytes of the provenance member."""
    state: int = 8 * MIB
    """Bytes of the state member."""
    json_tokens: int = 400_000
    """Brackets, commas and colons of a JSON member: what its Python objects cost."""
    json_depth: int = 160
    """Nesting of a JSON member; Keras recurses through it, several frames a level."""
    objects: int = 20_000
    """Groups and datasets in the weights."""
    groups_depth: int = 64
    """Nesting of the groups in the weights."""
    expansion: int = 4
    """Declared bytes of compressed datasets, all together, for each byte of the weights file."""
    memory: int = 2 << 30
    """Bytes beyond the file's size that an isolated trial may take."""
    seconds: float = 60.0
    """Seconds, of the wall and of the CPU, that an isolated trial may take."""
    problems: int = 50
    """Problems that one error lists; a hostile file may hold millions."""


LIMITS: Final = Limits()
