"""Closing a model file: its provenance goes in, and every header takes its one form."""

from __future__ import annotations

import zipfile
from pathlib import Path

from dl_techniques.core.files.archive import PROVENANCE, REGULAR
from dl_techniques.core.files.provenance import Provenance


def seal(file: Path, provenance: Provenance) -> None:
    """Add the provenance to an archive that Keras wrote.

    The checksums of the zip cover the members' contents, and each local header repeats most of
    its directory entry. The fields that neither covers get one value here, which the reader
    demands: so no bit of a sealed file can change unnoticed.

    Args:
        file: The archive.
        provenance: What is to be said of it.
    """
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(zipfile.ZipInfo(PROVENANCE), provenance.to_bytes())
        for item in archive.infolist():
            item.create_system = 3
            item.create_version = item.extract_version
            item.external_attr = REGULAR
            item.internal_attr = 0
