"""Lists of cases, array cases and segmentations whose own bookkeeping is wrong."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from .entry import SHAPE, Entry, a_label, an_image, good_pair, planning, reading

GEOMETRY = {"size": [40, 30, 8], "spacing": [1, 1, 1], "origin": [0, 0, 0], "direction": [1, 0, 0, 0, 1, 0, 0, 0, 1]}
DESCRIPTION = {"name": "case", "geometry": GEOMETRY, "class_names": {"1": "lesion"}}


def tables(folder: Path) -> Iterator[Entry]:
    good_pair(folder)
    head = b"name,image,label\n"
    for name, content in {
        "nothing": b"",
        "only a head": head,
        "zero bytes": b"\0" * 500,
        "binary": bytes(range(256)) * 20,
        "UTF-16": "name,image,label\na,image.nii.gz,label.nii.gz\n".encode("utf-16"),
        "a missing file": head + b"a,none.nii.gz,label.nii.gz\n",
        "no image": b"name,label\na,label.nii.gz\n",
        "one name twice": head + b"a,image.nii.gz,label.nii.gz\n" * 2,
        "a name that leads out": head + b"../a,image.nii.gz,label.nii.gz\n",
        "an unknown split": b"image,split\nimage.nii.gz,maybe\n",
        "a cell of 10 MB": head + b"a" * 10_000_000 + b",image.nii.gz,label.nii.gz\n",
        "an open quote": head + b'"a,image.nii.gz,label.nii.gz\n',
        "100000 lines": head + b"a,none.nii.gz,none.nii.gz\n" * 100_000,
        "a formula": head + b'=cmd|"/c calc"!A1,none.nii.gz,label.nii.gz\n',
        "a folder": b"image\n.\n",
    }.items():
        (folder / "list.csv").write_bytes(content)
        yield planning(f"CSV with {name}", {"list": str(folder / "list.csv")})


def decathlons(folder: Path) -> Iterator[Entry]:
    good_pair(folder)
    for name, content in {
        "nothing": b"",
        "null": b"null",
        "a list": b"[]",
        "deep nesting": b"[" * 100_000 + b"]" * 100_000,
        "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        "a text for training": b'{"training": "all"}',
        "numbers for cases": b'{"training": [1, 2]}',
        "a number for an image": b'{"training": [{"image": 7}]}',
        "no image": b'{"training": [{"label": "label.nii.gz"}]}',
        "a missing image": b'{"training": [{"image": "none.nii.gz", "label": "label.nii.gz"}]}',
        "NaN": b'{"training": NaN}',
        "a name that leads out": b'{"training": [{"image": "image.nii.gz", "name": "../../x"}]}',
        "bytes that are no UTF-8": b'{"training": ["\xff\xfe"]}',
        "a huge number": b'{"training": ' + b"9" * 10_000 + b"}",
    }.items():
        (folder / "list.json").write_bytes(content)
        yield planning(f"JSON with {name}", {"list": str(folder / "list.json")})


def arrays(folder: Path) -> Iterator[Entry]:
    for name, change in {
        "no description": lambda f: (f / "case.json").unlink(),
        "an empty description": lambda f: (f / "case.json").write_text(""),
        "a description of a list": lambda f: (f / "case.json").write_text("[1]"),
        "a description of deep nesting": lambda f: (f / "case.json").write_text("[" * 100_000),
        **{
            f"{key} {value!r}": lambda f, key=key, value=value: _describe(f, {**GEOMETRY, key: value})
            for key, value in (
                ("size", [40, 30]),
                ("size", [0, 30, 8]),
                ("size", [-40, 30, 8]),
                ("size", [10**9, 10**9, 10**9]),
                ("size", "large"),
                ("size", None),
                ("spacing", [0, 1, 1]),
                ("spacing", [-1, 1, 1]),
                ("spacing", ["nan", 1, 1]),
                ("spacing", [1]),
                ("origin", ["inf", 0, 0]),
                ("direction", [0] * 9),
                ("direction", [1, 0, 0, 1, 0, 0, 0, 0, 1]),
                ("direction", [1] * 4),
            )
        },
        "no geometry": lambda f: (f / "case.json").write_text('{"name": "case"}'),
        "class names of a list": lambda f: _describe(f, GEOMETRY, ["lesion"]),
        "class values that are words": lambda f: _describe(f, GEOMETRY, {"one": "lesion"}),
        "no image": lambda f: (f / "image.npy").unlink(),
        "a pickled image": lambda f: (f / "image.npy").write_bytes(pickle.dumps(an_image())),
        "an image of objects": lambda f: np.save(f / "image.npy", np.array([{}, []], object), allow_pickle=True),
        "half an image": lambda f: _cut(f / "image.npy"),
        "an image of another shape": lambda f: np.save(f / "image.npy", np.zeros((1, 2, 2, 2), np.float32)),
        "an image of words": lambda f: np.save(f / "image.npy", np.full((1, *SHAPE), "x")),
        "an image of times": lambda f: np.save(f / "image.npy", np.zeros((1, *SHAPE), "M8[s]")),
        "an image of records": lambda f: np.save(f / "image.npy", np.zeros((1, *SHAPE), "f4,f4")),
        "a header of 1 TB": lambda f: _claim(f / "image.npy", (1, 10**4, 10**4, 10**4)),
        "a header that runs code": lambda f: _header(f / "image.npy", "__import__('os').system('touch escaped')"),
        "a header that is endless": lambda f: _header(f / "image.npy", "{" * 60_000),
        "a label of fractions": lambda f: np.save(f / "label.npy", a_label() * 0.5),
        "a label of another shape": lambda f: np.save(f / "label.npy", a_label()[1:]),
        "a negative label": lambda f: np.save(f / "label.npy", a_label().astype(np.int16) - 9),
        "an empty label": lambda f: np.save(f / "label.npy", a_label() * 0),
        "a label of 2^60": lambda f: np.save(f / "label.npy", a_label().astype(np.int64) * 2**60),
        "confidence above 1": lambda f: np.save(f / "confidence.npy", a_label().astype(np.float32) * 7),
        "confidence of NaN": lambda f: np.save(f / "confidence.npy", np.full(SHAPE, np.nan, np.float32)),
        "trusted of another shape": lambda f: np.save(f / "trusted.npy", a_label()[1:] > 0),
        "trusted of whole numbers": lambda f: np.save(f / "trusted.npy", a_label()),
    }.items():
        case = folder / "case"
        shutil.rmtree(case, ignore_errors=True)
        case.mkdir()
        np.save(case / "image.npy", an_image().astype(np.float32)[None])
        np.save(case / "label.npy", a_label())
        _describe(case, GEOMETRY)
        change(case)
        yield planning(f"array case, {name}", {"items": [{"name": "case", "arrays": str(case)}]})


def segmentations(folder: Path) -> Iterator[Entry]:
    image, _ = good_pair(folder)
    good = {"Segment0_ID": "S1", "Segment0_Name": "lesion", "Segment0_Layer": "0", "Segment0_LabelValue": "1"}
    for name, entries in {
        "no segments": {},
        "layer 7": {**good, "Segment0_Layer": "7"},
        "layer -1": {**good, "Segment0_Layer": "-1"},
        "layer x": {**good, "Segment0_Layer": "x"},
        "value x": {**good, "Segment0_LabelValue": "x"},
        "value 1e99": {**good, "Segment0_LabelValue": "1e99"},
        "a colour of words": {**good, "Segment0_Color": "red green blue"},
        "a colour of one number": {**good, "Segment0_Color": "1"},
        "a value nothing has": {**good, "Segment0_LabelValue": "99"},
    }.items():
        mask = sitk.GetImageFromArray(a_label())
        for key, value in entries.items():
            mask.SetMetaData(key, value)
        path = folder / "label.seg.nrrd"
        sitk.WriteImage(mask, str(path))
        yield reading(f"segmentation with {name}", image, path)


def _describe(folder: Path, geometry: object, names: object = None) -> None:
    description = {**DESCRIPTION, "geometry": geometry, "class_names": names or DESCRIPTION["class_names"]}
    (folder / "case.json").write_text(json.dumps(description))


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _claim(path: Path, shape: tuple[int, ...]) -> None:
    _header(path, f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}")


def _header(path: Path, text: str) -> None:
    data = text.encode()[:65_000]
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(data).to_bytes(2, "little") + data)
