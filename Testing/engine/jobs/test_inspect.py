"""What `inspect` says of a data set is what a training would say, case by case."""

from __future__ import annotations

from pathlib import Path

from DALESegmentLib.engine.cases.image_files import write_image
from DALESegmentLib.engine.jobs import inspect
from DALESegmentLib.engine.process.progress import Progress
from Testing.engine.conftest import ball_case


def write_case(folder: Path, seed: int = 0, image: str = "image") -> Path:
    case = ball_case(folder.name, seed=seed)
    write_image(folder / f"{image}.nrrd", case.image, case.geometry)
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
