"""Files cut short, with changed bits, or with another content than their extension."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .entry import Entry, Expected, an_image, good_pair, reading, write

VOLUMES = (("nii", False), ("nii.gz", True), ("nrrd", False), ("nrrd", True), ("mha", False), ("mha", True))
PICTURES = (("tif", True), ("png", True), ("jpg", True))
KEPT = (0.0, 0.001, 0.02, 0.1, 0.5, 0.9, 0.98)
FLIPS = 12
WITH_CHECKSUM = ("nii.gz", "png")


def cut_short(folder: Path) -> Iterator[Entry]:
    for extension, compressed in VOLUMES + PICTURES:
        whole, label = _whole(folder, extension, compressed)
        for share in KEPT:
            name = f"{extension}, {'compressed' if compressed else 'raw'}, {share:.1%} of it"
            yield reading(name, _with(whole, whole.read_bytes()[: int(len(whole.read_bytes()) * share)]), label)


def changed_bits(folder: Path) -> Iterator[Entry]:
    """One byte somewhere, the same places every time; and forty in the middle."""
    random = np.random.default_rng(0)
    for extension, compressed in VOLUMES + PICTURES:
        whole, label = _whole(folder, extension, compressed)
        content = whole.read_bytes()
        for n in range(FLIPS):
            place = int(random.integers(len(content) if n % 2 else min(len(content), 400)))
            changed = bytearray(content)
            changed[place] ^= 1 << int(random.integers(8))
            # a header has fields that mean nothing to a reader, and raw voxels may have any value
            name = f"{extension}, {'compressed' if compressed else 'raw'}, byte {place} changed"
            yield reading(name, _with(whole, bytes(changed)), label, "either")
        changed = bytearray(content)
        middle = len(content) // 2
        changed[middle : middle + 40] = bytes(255 - byte for byte in changed[middle : middle + 40])
        expected: Expected = "refused" if compressed and extension not in ("tif", "jpg") else "either"
        yield reading(f"{extension}, 40 bytes changed", _with(whole, bytes(changed)), label, expected)


def other_content(folder: Path) -> Iterator[Entry]:
    _, label = good_pair(folder / "good")
    contents = {
        "letter": b"this is a letter\n" * 100,
        "nothing": b"",
        "one byte": b"\0",
        "zeros": b"\0" * 4096,
        "zip": _zip(),
        "pickle": pickle.dumps({"image": [1, 2, 3]}),
        "gzipped letter": gzip.compress(b"this is a letter\n" * 100),
        "web page": b"<!DOCTYPE html><html><body>404 Not Measurements</body></html>",
        "program": b"\x7fELF\x02\x01\x01" + b"\0" * 200,
        "pointer of git": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    }
    for extension in ("nii", "nii.gz", "nrrd", "mha", "tif", "png", "jpg", "dcm", "mhd", "nhdr"):
        for kind, content in contents.items():
            path = folder / f"{kind}.{extension}"
            path.write_bytes(content)
            yield reading(f"{kind} called .{extension}", path, label)


def other_format(folder: Path) -> Iterator[Entry]:
    """A good file under another format's name: refused, or read as what it is."""
    _, label = good_pair(folder / "good")
    for made, called in (("nrrd", "nii.gz"), ("nii", "nrrd"), ("mha", "nii"), ("nii", "mha"), ("nrrd", "mha")):
        path = folder / f"{made}.{called}"
        path.write_bytes(write(folder / f"image.{made}", an_image()).read_bytes())
        yield reading(f".{made} called .{called}", path, label, "either")


def _whole(folder: Path, extension: str, compressed: bool) -> tuple[Path, Path]:
    if (extension, compressed) in PICTURES:
        pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
        mask = np.zeros((30, 40), np.uint8)
        mask[8:20, 10:30] = 1
        return write(folder / f"image.{extension}", pixels, vector=True), write(folder / "label.png", mask)
    image = write(folder / f"image.{extension}", an_image(), compressed=compressed)
    return image, good_pair(folder / "good")[1]


def _with(whole: Path, content: bytes) -> Path:
    path = whole.with_name(f"bad{''.join(whole.suffixes)}")
    path.write_bytes(content)
    return path


def _zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../escaped", "x")
    return file.getvalue()
