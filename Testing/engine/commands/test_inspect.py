"""What `inspect` says of a data set is what a training would say, case by case."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from DALESegmentLib.engine.commands import inspect
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation
from Testing.phantoms import ball_case


def write_case(folder: Path, seed: int = 0, image: str = "image", channels: int = 1) -> Path:
    case = ball_case(folder.name, seed=seed)
    write_image(folder / f"{image}.nrrd", case.image.repeat(channels, axis=0), case.geometry)
    write_image(folder / "label.nrrd", case.label, case.geometry)
    return folder


def problems(**cases) -> dict[str, str | None]:
    """{case: its problem}; the count must be that of the rows."""
    found = inspect.run({"cases": cases}, Progress())
    rows = {row["name"]: row["problem"] for row in found["cases"]}
    assert found["problems"] == sum(problem is not None for problem in rows.values())
    return rows


def test_a_missing_file_and_an_unclear_image_stand_in_their_rows(tmp_path):
    for name in ("a", "b"):
        write_case(tmp_path / name)
    for image in ("flair", "t1"):
        write_case(tmp_path / "c", image=image)
    told = problems(folder=str(tmp_path))
    assert (told["a"], told["b"]) == (None, None)
    assert "option image" in told["c"]
    (tmp_path / "cases.csv").write_text("name,image,label\na,a/image.nrrd,a/label.nrrd\nb,b/gone.nrrd,b/label.nrrd\n")
    told = problems(list=str(tmp_path / "cases.csv"))
    assert told == {"a": None, "b": "gone.nrrd is not there; check the name and the folder."}


def test_other_channels_than_most_cases_have(tmp_path):
    for name, channels in (("a", 2), ("b", 1), ("c", 1)):
        write_case(tmp_path / name, channels=channels)
    told = problems(folder=str(tmp_path))
    assert (told["b"], told["c"]) == (None, None)
    assert told["a"].startswith("a has 2 channels, but b has 1;")


def write_picture(folder: Path, colour: bool = False) -> None:
    from DALESegmentLib.engine.geometry.grid import Geometry

    place = Geometry((20, 16), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    pixels = np.arange(320, dtype=np.uint16).reshape(16, 20)
    write_image(folder / "image.png", np.stack([pixels % 255] * 3).astype(np.uint8) if colour else pixels, place)
    write_image(folder / "label.png", (pixels > 200).astype(np.uint8), place)


def test_pictures_among_volumes_and_colours_among_greys(tmp_path):
    for name in ("a", "b"):
        write_case(tmp_path / "one" / name)
    write_picture(tmp_path / "one" / "flat")
    told = problems(folder=str(tmp_path / "one"))
    assert told["flat"].startswith("flat is a 2D picture, but a is a volume;")
    assert told["a"] is told["b"] is None
    for name in ("a", "b", "c"):
        write_picture(tmp_path / "two" / name, colour=name == "c")
    told = problems(folder=str(tmp_path / "two"))
    assert told["c"].startswith("c has 3 channels, but a has 1;")
    assert told["a"] is told["b"] is None


def test_a_value_with_another_name_than_before(tmp_path):
    for name, meaning in (("a", "tumour"), ("b", "oedema"), ("c", "tumour")):
        write_case(tmp_path / name)
        (tmp_path / name / "dataset.json").write_text(json.dumps({"labels": {"1": meaning}}))
    told = problems(folder=str(tmp_path))
    assert told["b"].startswith("Label 1 is tumour in a but oedema in b;")
    assert told["a"] is told["c"] is None


def test_a_label_that_only_some_cases_have(tmp_path):
    """For training that is a problem, but not where the images are there for the test, or to be predicted."""
    for name in ("a", "b", "c"):
        write_case(tmp_path / name)
    (tmp_path / "c" / "label.nrrd").unlink()
    assert problems(folder=str(tmp_path))["c"].startswith("c has no label, but a has one;")
    (tmp_path / "split.json").write_text(json.dumps({"test": ["c"]}))
    assert set(problems(folder=str(tmp_path)).values()) == {None}
    for name in ("a", "b"):
        (tmp_path / name / "label.nrrd").unlink()
    (tmp_path / "split.json").unlink()
    assert set(problems(folder=str(tmp_path)).values()) == {None}


def test_segments_have_one_value_in_all_rows(tmp_path):
    """As in a training: the test case stands first, but does not decide; a broken file hides no other."""
    for name, order in (("1", ["x", "right"]), ("2", ["left", "right"]), ("3", ["right", "left"])):
        case = ball_case(name)
        half = np.arange(case.label.shape[2]) < case.label.shape[2] // 2
        masks = {"left": (case.label > 0) & half, "right": (case.label > 0) & ~half, "x": (case.label > 0) & half}
        write_image(tmp_path / name / "image.nrrd", case.image, case.geometry)
        segments = [Segment(f"Segment_{i}", segment) for i, segment in enumerate(order, 1)]
        write_segmentation(
            tmp_path / name / "label.seg.nrrd", from_masks([masks[n] for n in order], segments, case.geometry)
        )
    write_image(tmp_path / "0" / "image.nrrd", case.image, case.geometry)
    (tmp_path / "0" / "label.seg.nrrd").write_text("this is a letter")
    (tmp_path / "split.json").write_text(json.dumps({"test": ["1"]}))
    rows = inspect.run({"cases": {"folder": str(tmp_path)}}, Progress())["cases"]
    assert [row["problem"] is None for row in rows] == [False, True, True, True]
    assert [row["classes"] for row in rows[1:]] == [
        {"3": "x", "2": "right"},
        {"1": "left", "2": "right"},
        {"1": "left", "2": "right"},
    ]


def test_the_class_names_of_a_decathlon_list(tmp_path):
    """They go before those of a dataset.json beside the label, and a segmentation's own before both."""
    for name in ("a", "b"):
        write_case(tmp_path / name)
    (tmp_path / "b" / "dataset.json").write_text(json.dumps({"labels": {"1": "mass"}}))
    case = ball_case("c")
    write_image(tmp_path / "c" / "image.nrrd", case.image, case.geometry)
    write_segmentation(
        tmp_path / "c" / "label.seg.nrrd", from_masks([case.label > 0], [Segment("s", "tumour")], case.geometry)
    )
    entries = [
        {"image": f"{name}/image.nrrd", "label": f"{name}/label{end}.nrrd"}
        for name, end in (("a", ""), ("b", ""), ("c", ".seg"))
    ]
    (tmp_path / "d.json").write_text(json.dumps({"labels": {"1": "ball", "2": "none"}, "training": entries}))
    rows = inspect.run({"cases": {"list": str(tmp_path / "d.json")}}, Progress())["cases"]
    assert [row.get("classes") for row in rows] == [{"1": "ball"}, {"1": "ball"}, {"1": "tumour"}]
    assert [row["problem"] is None for row in rows] == [True, True, False]
