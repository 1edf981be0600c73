"""What `inspect` says of a data set is what a training would say, case by case."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from DALESegmentLib.engine.cli import summaries
from DALESegmentLib.engine.cli.app import app
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
    assert "--image" in told["c"]
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


def inspected(**cases) -> dict:
    return inspect.run({"cases": cases}, Progress())


def test_every_row_says_which_file_is_what(tmp_path):
    for name in ("a", "b"):
        write_case(tmp_path / name)
    result = inspected(folder=str(tmp_path))
    assert [Path(row["image"][0]).name for row in result["cases"]] == ["image.nrrd", "image.nrrd"]
    assert [Path(row["label"][0]).name for row in result["cases"]] == ["label.nrrd", "label.nrrd"]
    assert result["layout"] == "one folder a case"
    assert (result["left_over"], result["labels"], result["problem"]) == ([], [], None)


def test_what_nobody_claims_is_grouped_with_what_to_type(tmp_path):
    for n in range(3):
        write_picture(tmp_path / f"x{n}")
        for part, name in (("images", f"x{n}"), ("masks", f"x{n}_r1"), ("masks", f"x{n}_r2"), ("masks", f"other{n}")):
            (tmp_path / "d" / part).mkdir(parents=True, exist_ok=True)
            source = tmp_path / f"x{n}" / ("image.png" if part == "images" else "label.png")
            (tmp_path / "d" / part / f"{name}.png").write_bytes(source.read_bytes())
    result = inspected(folder=str(tmp_path / "d"))
    assert result["problems"] == 3
    assert "type --label r1, or --rater 1" in result["cases"][0]["problem"]
    groups = {group["kind"]: group for group in result["left_over"]}
    assert {kind: group["files"] for kind, group in groups.items()} == {
        "*_r1.png": 3,
        "*_r2.png": 3,
        "other*.png": 3,
    }
    assert groups["*_r2.png"]["why"] == "may be the label: type --label r2"
    assert "rename" in groups["other*.png"]["why"]
    result = inspected(folder=str(tmp_path / "d"), rater="1")
    assert result["problems"] == 0
    assert len(result["left_over"]) == 2


def test_what_to_type_can_be_typed(tmp_path):
    for n in range(2):
        write_case(tmp_path / f"c{n}")
        label = tmp_path / f"c{n}" / "label.nrrd"
        (label.parent / "reader 2.nrrd").write_bytes(label.read_bytes())
        label.rename(label.parent / "reader 1.nrrd")
    problem = inspected(folder=str(tmp_path))["cases"][0]["problem"]
    option, name = shlex.split(problem.partition("type ")[2].partition(", or")[0])
    assert (option, name) == ("--label", "reader 1")
    assert inspected(folder=str(tmp_path), label=name)["problems"] == 0


def test_a_problem_of_the_set_hides_no_case(tmp_path):
    for n, factor in enumerate((1, 255)):
        case = ball_case(f"c{n}")
        label = case.label * factor
        label[0, 0, 0] = 2
        write_image(tmp_path / f"c{n}" / "image.nrrd", case.image, case.geometry)
        write_image(tmp_path / f"c{n}" / "label.nrrd", label, case.geometry)
    result = inspected(folder=str(tmp_path))
    assert "--ignore-label 255" in result["problem"]
    assert result["problems"] == 1
    assert all("geometry" in row for row in result["cases"])
    assert inspected(folder=str(tmp_path), ignore_label=[255])["problems"] == 0


@pytest.mark.slow
def test_the_command_ends_with_1_where_there_is_a_problem_and_shows_few_rows(tmp_path, monkeypatch):
    for n in range(25):
        write_picture(tmp_path / f"c{n:02}")
    monkeypatch.setattr(summaries.console, "_width", 300)
    done = CliRunner().invoke(app, ["inspect", "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "5 more cases: type --all for every row" in done.output
    assert CliRunner().invoke(app, ["inspect", "--data", str(tmp_path), "--all"]).output.count("label.png") == 25
    (tmp_path / "c20" / "label.png").unlink()
    done = CliRunner().invoke(app, ["inspect", "--data", str(tmp_path)])
    assert done.exit_code == 1
    assert "c20 has no label" in done.output


def test_masks_that_would_be_taken_for_images_and_labels_of_nobody(tmp_path):
    for n in range(2):
        write_picture(tmp_path / "a" / f"c{n}")
        (tmp_path / "a" / f"c{n}" / "image.png").unlink()
        (tmp_path / "a" / f"c{n}" / "label.png").rename(tmp_path / "a" / f"c{n}" / "wmh.png")
        write_picture(tmp_path / f"x{n}")
        for part, name, source in (("images", f"x{n}", "image"), ("masks", f"y{n}", "label")):
            (tmp_path / "b" / part).mkdir(parents=True, exist_ok=True)
            (tmp_path / "b" / part / f"{name}.png").write_bytes((tmp_path / f"x{n}" / f"{source}.png").read_bytes())
    assert "wmh.png has few whole values" in problems(folder=str(tmp_path / "a"))["c0"]
    result = inspected(folder=str(tmp_path / "b"))
    assert (result["problems"], "2 files look like one" in result["problem"]) == (1, True)


def test_files_of_an_excluded_case_are_not_left_over(tmp_path):
    for name in "abc":
        write_case(tmp_path / name)
    found = inspected(folder=str(tmp_path), exclude="b")
    assert [row["name"] for row in found["cases"]] == ["a", "c"]
    assert found["left_over"] == []


def test_packed_scenes_and_a_second_label_are_left_over_with_what_to_do(tmp_path):
    for name in "ab":
        write_case(tmp_path / name)
    (tmp_path / "b" / "label_2.nrrd").write_bytes((tmp_path / "b" / "label.nrrd").read_bytes())
    (tmp_path / "c.mrb").write_bytes(b"PK")
    groups = {group["example"]: group["why"] for group in inspected(folder=str(tmp_path))["left_over"]}
    assert set(groups) == {"b/label_2.nrrd", "c.mrb"}
    assert "unpack it" in groups["c.mrb"]
    assert "label.nrrd, which is taken; type --label label_2 where every case has it" in groups["b/label_2.nrrd"]
