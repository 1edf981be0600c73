"""Headers with impossible values: dimensions, spacing, axes and types of no image."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from .entry import Entry, a_label, an_image, good_pair, reading, write

NAN, INFINITY = float("nan"), float("inf")


def nifti_headers(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good", ".nii")
    content = image.read_bytes()
    for name, place, code, values in (
        ("no axes", 40, "h", (0,)),
        ("200 axes", 40, "h", (200,)),
        ("minus 3 axes", 40, "h", (-3,)),
        ("size 0", 42, "h", (0,)),
        ("size -40", 42, "h", (-40,)),
        ("size 32767 each", 42, "3h", (32767,) * 3),
        ("size 32767 over 7 axes", 40, "8h", (7, *(32767,) * 7)),
        ("unknown type", 70, "2h", (9999, 16)),
        ("type of 0 bits", 70, "2h", (0, 0)),
        ("128-bit floats", 70, "2h", (1536, 128)),
        ("complex", 70, "2h", (32, 64)),
        ("spacing 0", 80, "f", (0.0,)),
        ("spacing NaN", 80, "f", (NAN,)),
        ("spacing infinite", 80, "f", (INFINITY,)),
        ("spacing 1e-30", 80, "f", (1e-30,)),
        ("spacing 1e30", 80, "f", (1e30,)),
        ("offset -1", 108, "f", (-1.0,)),
        ("offset 1e30", 108, "f", (1e30,)),
        ("offset NaN", 108, "f", (NAN,)),
        ("slope NaN", 112, "2f", (NAN, 0.0)),
        ("slope infinite", 112, "2f", (INFINITY, 0.0)),
        ("affine NaN", 280, "12f", (NAN,) * 12),
        ("affine of zeros", 280, "12f", (0.0,) * 12),
        ("header of 347 bytes", 0, "i", (347,)),
        ("header of -1 bytes", 0, "i", (-1,)),
    ):
        changed = bytearray(content)
        struct.pack_into("<" + code, changed, place, *values)
        path = folder / f"{name}.nii"
        path.write_bytes(changed)
        # a type or a place the reader passes over because another field has it, too, is no fault
        sure = name.startswith(("no axes", "200", "minus", "size", "unknown", "type of", "complex", "offset"))
        yield reading(f"NIfTI, {name}", path, label, "refused" if sure else "either")
        yield reading(f"NIfTI label, {name}", image, path, "refused")


def nrrd_headers(folder: Path) -> Iterator[Entry]:
    _, label = good_pair(folder / "good", ".nrrd")
    voxels = an_image().tobytes()
    good = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "40 30 8",
        "space directions": "(1,0,0) (0,1,0) (0,0,1)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(0,0,0)",
    }
    for field, value in (
        ("type", "block"),
        ("type", "long double"),
        ("type", ""),
        ("dimension", "0"),
        ("dimension", "-1"),
        ("dimension", "99"),
        ("dimension", "2"),
        ("sizes", "0 30 8"),
        ("sizes", "-40 30 8"),
        ("sizes", "100000 100000 100000"),
        ("sizes", "99999999999999999999 1 1"),
        ("sizes", "forty thirty eight"),
        ("sizes", "40 30"),
        ("space directions", "(0,0,0) (0,1,0) (0,0,1)"),
        ("space directions", "(1,0,0) (1,0,0) (0,0,1)"),
        ("space directions", "(1,0.5,0) (0,1,0) (0,0,1)"),
        ("space directions", "(nan,0,0) (0,1,0) (0,0,1)"),
        ("space directions", "(inf,0,0) (0,1,0) (0,0,1)"),
        ("space directions", "none none none"),
        ("space origin", "(nan,0,0)"),
        ("space origin", "(1e400,0,0)"),
        ("encoding", "gzip"),
        ("encoding", "bzip9"),
        ("endian", "middle"),
        ("data file", "/etc/hostname"),
        ("data file", "../../escaped.raw"),
        ("data file", "missing.raw"),
        ("line skip", "-5"),
        ("byte skip", "99999999"),
    ):
        path = folder / "bad.nrrd"
        lines = "\n".join(f"{key}: {text}" for key, text in {**good, field: value}.items())
        path.write_bytes(f"NRRD0004\n{lines}\n\n".encode() + voxels)
        where = field.startswith(("space", "line"))
        yield reading(f"NRRD, {field} {value!r}", path, label, "either" if where else "refused")


def meta_headers(folder: Path) -> Iterator[Entry]:
    _, label = good_pair(folder / "good", ".mha")
    voxels = an_image().tobytes()
    good = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "0 0 0",
        "ElementSpacing": "1 1 1",
        "DimSize": "40 30 8",
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    }
    for field, value in (
        ("NDims", "0"),
        ("NDims", "-3"),
        ("NDims", "50"),
        ("DimSize", "0 30 8"),
        ("DimSize", "-40 30 8"),
        ("DimSize", "100000 100000 100000"),
        ("DimSize", "many"),
        ("ElementSpacing", "0 1 1"),
        ("ElementSpacing", "-1 1 1"),
        ("ElementSpacing", "nan 1 1"),
        ("TransformMatrix", "0 0 0 0 0 0 0 0 0"),
        ("TransformMatrix", "1 0 0 1 0 0 0 0 1"),
        ("TransformMatrix", "nan 0 0 0 1 0 0 0 1"),
        ("Offset", "nan 0 0"),
        ("ElementType", "MET_OTHER"),
        ("ElementType", "MET_STRING"),
        ("CompressedData", "True"),
        ("ElementDataFile", "/etc/hostname"),
        ("ElementDataFile", "missing.raw"),
        ("ElementDataFile", "LIST"),
        ("ElementDataFile", "%s%s%s"),
        ("ElementDataFile", "%n%n%n"),
        ("ElementDataFile", "slice%d.raw 1 8 0"),
        ("ElementDataFile", "bad.mha"),
        ("HeaderSize", "-7"),
        ("ObjectType", "Tube"),
    ):
        path = folder / "bad.mha"
        lines = "\n".join(f"{key} = {text}" for key, text in {**good, field: value}.items() if key != "ElementDataFile")
        last = value if field == "ElementDataFile" else "LOCAL"
        path.write_bytes(f"{lines}\nElementDataFile = {last}\n".encode() + voxels)
        # the file itself as its own voxels is long enough
        sure = field in ("NDims", "DimSize", "CompressedData", "ElementDataFile") and value != "bad.mha"
        yield reading(f"MHA, {field} {value!r}", path, label, "refused" if sure else "either")


def picture_headers(folder: Path) -> Iterator[Entry]:
    mask = write(folder / "mask.png", a_label()[3])
    content = mask.read_bytes()
    for name, sizes in (("0 x 0", (0, 0)), ("1 million each", (10**6, 10**6)), ("2^31 each", (2**31 - 1,) * 2)):
        path = folder / "bad.png"
        path.write_bytes(content[:16] + struct.pack(">2I", *sizes) + content[24:])
        yield reading(f"PNG, {name}", path, mask)
