"""Paths that are odd, lead elsewhere, or are no files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .entry import Entry, good_pair, planning, reading


def names(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good")
    for name in ("é", "脳", "🧠", "a b", "a'b", 'a"b', "-rf", "%s%n", "$(id)", ";ls", "a\nb", "a\tb", "CON", "x" * 240):
        copy = folder / f"{name}.nii.gz"
        shutil.copy(image, copy)
        yield reading(f"an image called {name[:12]!r}", copy, label, "right")
    deep = folder.joinpath(*["d" * 200] * 10)
    deep.mkdir(parents=True)
    shutil.copy(image, deep / "image.nii.gz")
    yield reading("a path of 2000 characters", deep / "image.nii.gz", label, "right")
    for name, path in (
        ("a path of 10000 characters", Path("/" + "a/" * 5000 + "image.nii.gz")),
        ("a name of 5000 characters", folder / ("x" * 5000 + ".nii.gz")),
        ("a name that is not there", folder / "none.nii.gz"),
        ("a path with a zero byte", folder / "a\0b.nii.gz"),
        ("nothing", Path()),
        ("the root", Path("/")),
        ("a broken surrogate", folder / "\udcff.nii.gz"),
        ("an address", Path("http://example.invalid/image.nii.gz")),
        ("a file as a folder", image / "image.nii.gz"),
    ):
        yield reading(f"{name} as the image", path, label)
        yield reading(f"{name} as the label", image, path)


def not_files(folder: Path) -> Iterator[Entry]:
    image, label = good_pair(folder / "good")
    (folder / "folder.nii.gz").mkdir()
    links = {
        "a link to itself": "loop.nii.gz",
        "a link to nothing": "none",
        "a link to endless zeros": "/dev/zero",
        "a link to a terminal": "/dev/tty",
        "a link to random bytes": "/dev/urandom",
        "a link to a folder": str(folder),
        "a link to the list of users": "/etc/passwd",
    }
    paths = {"a folder": folder / "folder.nii.gz"}
    for name, target in links.items():
        for extension in ("nii.gz", "nrrd", "png"):
            path = folder / f"{name}.{extension}"
            path.symlink_to(path.name if "itself" in name else target)
            paths[f"{name}, .{extension}"] = path
    for extension in ("nii.gz", "mha", "tif"):
        os.mkfifo(folder / f"pipe.{extension}")
        paths[f"a pipe nobody writes to, .{extension}"] = folder / f"pipe.{extension}"
    for name, path in paths.items():
        yield reading(f"{name} as the image", path, label)
        yield reading(f"{name} as the label", image, path)
    good = folder / "link.nii.gz"
    good.symlink_to(image)
    yield reading("a link to a good image", good, label, "right")


def folders(folder: Path) -> Iterator[Entry]:
    (folder / "empty").mkdir()
    yield planning("an empty folder", {"folder": str(folder / "empty")})
    yield planning("a folder that is not there", {"folder": str(folder / "none")})
    loop = folder / "loop"
    loop.mkdir()
    (loop / "again").symlink_to(loop)
    yield planning("a folder that holds itself", {"folder": str(loop)})
    texts = folder / "texts"
    texts.mkdir()
    for n in range(300):
        (texts / f"{n}.txt").write_text("x")
    yield planning("a folder of texts", {"folder": str(texts)})
    split = folder / "split"
    good_pair(split / "case")
    for name, content in (("no JSON", "{"), ("a number", "7"), ("unknown cases", '{"train": ["x"], "test": [3]}')):
        (split / "split.json").write_text(content)
        yield planning(f"split.json with {name}", {"folder": str(split)}, "either")
    for name in ("..", "/escaped", "../../escaped", "a/../../b", "..\\..\\b", "C:\\b", "\0", ""):
        items = [{"name": name, "images": [str(split / "case" / "image.nii.gz")]}]
        yield planning(f"a case called {name!r}", {"items": items})
