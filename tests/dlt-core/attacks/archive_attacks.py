"""Attacks on the container: the zip archive, and the provenance that seals it."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import model_forge as forge
from attack import attack
from model_forge import Forge, keras_object, layer, sequential


# The container.
@attack("CVE-2026-11816", "leaves its folder")
def path_traversal(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/../../escape", b"x")


@attack("CVE-2026-11816", "leaves its folder")
def absolute_path(target: Path, canary: Path) -> Forge:
    return Forge().add("/tmp/escape", b"x")


@attack("CVE-2026-11816", "leaves its folder")
def backslash_path(target: Path, canary: Path) -> Forge:
    return Forge().add("assets\\..\\escape", b"x")


@attack("CVE-2026-11816", "leaves its folder")
def drive_path(target: Path, canary: Path) -> Forge:
    return Forge().add("C:/escape", b"x")


@attack("1.2 symlink member", "symbolic link")
def symlink_member(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/link", b"/etc/passwd", external_attr=0o120777 << 16)


@attack("1.2 symlink member", "not a regular file")
def device_member(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/device", b"", external_attr=0o060600 << 16)


@attack("1.2 two config.json members", "occurs twice")
def duplicate_members(target: Path, canary: Path) -> Forge:
    evil = json.dumps(
        sequential(keras_object("os", "system", {"command": f"touch {canary}"}))
    ).encode()
    return Forge().add("config.json", evil)


@attack("1.2 two config.json members", "occurs twice")
def duplicate_by_case(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/a", b"").add("assets/A", b"")


@attack("1.2 four 200 MiB assets", "would inflate")
def asset_bomb(target: Path, canary: Path) -> Forge:
    made = Forge(sequential(layer("StringLookup", {"vocabulary": None})))
    for index in range(4):
        made.add(f"assets/{index}", bytes(8 << 20), compress_type=zipfile.ZIP_DEFLATED)
    return made


@attack("1.2 four 200 MiB assets", "belongs to no layer")
def assets_of_nobody(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/vocabulary.txt", b"x")


@attack("1.2 unknown members", "not a member")
def unknown_member(target: Path, canary: Path) -> Forge:
    return Forge().add("evil.py", b"x")


@attack("1.2 shard map", "not a member")
def shard_map(target: Path, canary: Path) -> Forge:
    return Forge().add("model.weights.json", b'{"weight_map": {"/vars": "../../x.h5"}}')


@attack("1.2 pickle in npz weights", "pickled code")
def npz_weights(target: Path, canary: Path) -> Forge:
    class Touch:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {canary}",)

    return Forge().remove("model.weights.h5").add("model.weights.npz", pickle.dumps(Touch()))


@attack("1.2 encrypted members", "encrypted")
def encrypted(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    target.write_bytes(data)
    return target


@attack("1.2 unknown compression", "compressed in an unknown way")
def bzip2(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/x", b"x" * 100, compress_type=zipfile.ZIP_BZIP2)


@attack("1.2 too many members", "members; at most")
def many_members(target: Path, canary: Path) -> Forge:
    made = Forge()
    for index in range(2000):
        made.add(f"assets/{index}", b"")
    return made


@attack("1.2 long names", "name is")
def long_name(target: Path, canary: Path) -> Forge:
    return Forge().add("assets/" + "x" * 5000, b"")


@attack("1.2 appended and prepended bytes", "after its end")
def trailing_bytes(target: Path, canary: Path) -> Path:
    target.write_bytes(Forge().data() + b"evil")
    return target


@attack("1.2 appended and prepended bytes", "first bytes are not a zip's")
def prepended_bytes(target: Path, canary: Path) -> Path:
    target.write_bytes(b"#!/bin/sh\n" + Forge().data())
    return target


@attack("1.2 appended and prepended bytes", "belong to no member")
def bytes_before_directory(target: Path, canary: Path) -> Path:
    data = Forge().data()
    start = data.index(b"PK\1\2")
    end = bytearray(data[-22:])
    end[16:20] = struct.pack("<L", start + 4)
    target.write_bytes(data[:start] + b"evil" + data[start:-22] + end)
    return target


@attack("1.2 overlapping members", "overlap")
def overlapping_members(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 4)
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    target.write_bytes(data)
    return target


@attack("1.2 contradicting headers", "is damaged")
def contradicting_names(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    data[30:43] = b"METADATA.JSON"
    target.write_bytes(data)
    return target


@attack("1.4 truncated", "truncated")
def truncated(target: Path, canary: Path) -> Path:
    target.write_bytes(Forge().data()[:-30])
    return target


@attack("1.4 empty", "is truncated")
def empty(target: Path, canary: Path) -> Path:
    target.write_bytes(b"")
    return target


@attack("1.4 not a zip", "not a `.keras` archive")
def not_a_zip(target: Path, canary: Path) -> Path:
    target.write_bytes(b"hello" * 100)
    return target


@attack("1.4 damaged", "is damaged")
def flipped_bit(target: Path, canary: Path) -> Path:
    data = bytearray(Forge().data())
    data[data.index(b"model.weights.h5") + 500] ^= 1
    target.write_bytes(data)
    return target


@attack("1.4 a folder, a pipe", "not a regular file")
def named_pipe(target: Path, canary: Path) -> Path:
    os.mkfifo(target)
    return target


@attack("1.4 a folder, a pipe", "not a regular file")
def folder(target: Path, canary: Path) -> Path:
    target.mkdir()
    return target


@attack("1.4 missing", "cannot be opened")
def missing_file(target: Path, canary: Path) -> Path:
    return target


# Provenance.
@attack("R4 digests", "was altered")
def altered_after_sealing(target: Path, canary: Path) -> Path:
    forge.seal(Forge().write(target))
    with zipfile.ZipFile(target) as archive:
        members = [(item, archive.read(item)) for item in archive.infolist()]
    with zipfile.ZipFile(target, "w") as archive:
        for item, data in members:
            changed = data.replace(b'"units": 3', b'"units": 4')
            archive.writestr(item, changed)
    _canonical(target)
    return target


@attack("R4 digests", "is missing|was added")
def member_taken_away(target: Path, canary: Path) -> Path:
    made = Forge(sequential(layer("StringLookup", {"vocabulary": None})))
    made.add("assets/vocabulary.txt", b"x")
    forge.seal(made.write(target))
    with zipfile.ZipFile(target) as archive:
        members = [(i, archive.read(i)) for i in archive.infolist() if "assets" not in i.filename]
    with zipfile.ZipFile(target, "w") as archive:
        for item, data in members:
            archive.writestr(item, data)
    _canonical(target)
    return target


@attack("R4 digests", "has the format|one short line|not an object|not a number")
def forged_provenance(target: Path, canary: Path) -> Forge:
    made = Forge()
    document = {"format": 1, "keras": "\x1b]0;evil\x07", "contract": 1}
    made.add("dl_techniques.json", json.dumps(document).encode())
    for info, _ in made.members:
        info.external_attr = 0o100600 << 16
    return made


def _canonical(target: Path) -> None:
    with zipfile.ZipFile(target, "a") as archive:
        for item in archive.infolist():
            item.external_attr = 0o100600 << 16
        archive._didModify = True
