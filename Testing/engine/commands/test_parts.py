"""Parts of a folder's cases for several processes, which write to one folder of results."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from DALESegmentLib.engine.commands import predict, train
from DALESegmentLib.engine.commands.parts import Part
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.case import CaseSource
from DALESegmentLib.engine.io.images import write_image
from Testing.phantoms import ball_case


@pytest.mark.parametrize("cases", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 12])
def test_each_case_is_in_exactly_one_part_whatever_the_order_of_listing(cases, count):
    listed = [CaseSource(f"case{n}") for n in range(cases)]
    shuffled = random.Random(1).sample(listed, cases)
    parts = [Part(n, count).of(listed) for n in range(1, count + 1)]
    assert sorted(s.name for part in parts for s in part) == sorted(s.name for s in listed)
    assert [Part(n, count).of(shuffled) for n in range(1, count + 1)] == parts
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "-1/2", "1/2/3", "", "1.5/2"])
def test_what_is_no_part_gets_a_sentence(text):
    with pytest.raises(EngineError, match=r"is no part; write 2/4 for the second of four"):
        Part.parse(text)


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("cases")
    for n in range(5):
        case = ball_case(f"case{n}", seed=n)
        write_image(root / case.name / "image.nrrd", case.image, case.geometry)
        write_image(root / case.name / "label.nrrd", case.label, case.geometry)
    return root


@pytest.fixture(scope="module")
def model(cases, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    asked = {"cases": {"folder": str(cases)}, "out": str(out), "epochs": 1, "steps_per_epoch": 2, "device": "cpu"}
    train.run(asked, Progress())
    return out


def predicted(model, cases, out, part=None, **more):
    asked = {"model": str(model), "cases": {"folder": str(cases)}, "out": str(out), "device": "cpu", **more}
    return predict.run(asked | ({} if part is None else {"part": part}), Progress())


@pytest.mark.slow
def test_the_parts_together_are_the_whole(model, cases, tmp_path):
    predicted(model, cases, tmp_path / "whole")
    for n in (2, 3, 1):  # in whatever order they end
        assert not (tmp_path / "parts" / "extents.csv").exists()
        answer = predicted(model, cases, tmp_path / "parts", f"{n}/3")
        assert "kept" not in answer
    assert answer["extents_csv"] == str(tmp_path / "parts" / "extents.csv")
    found, whole = (
        {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name[0] != "."}
        for root in (tmp_path / "parts", tmp_path / "whole")
    )
    tables = {f"extents_part{n}of3.csv" for n in (1, 2, 3)}
    assert tables <= set(found)
    assert {name: data for name, data in found.items() if name not in tables} == whole


@pytest.mark.slow
def test_a_part_is_not_written_twice_nor_among_other_results(model, cases, tmp_path):
    out = tmp_path / "out"
    predicted(model, cases, out, "1/2")
    with pytest.raises(EngineError, match="already holds part 1 of 2"):
        predicted(model, cases, out, "1/2")
    with pytest.raises(EngineError, match="holds results in 2 parts, not 3"):
        predicted(model, cases, out, "2/3")
    with pytest.raises(EngineError, match="already holds files"):
        predicted(model, cases, out)
    before = (out / "extents_part1of2.csv").read_text()
    assert "kept" not in predicted(model, cases, out, "1/2", overwrite=True)
    assert (out / "extents_part1of2.csv").read_text() == before
    predicted(model, cases, tmp_path / "whole")
    with pytest.raises(EngineError, match="already holds files"):
        predicted(model, cases, tmp_path / "whole", "1/2")


@pytest.mark.slow
def test_more_parts_than_cases_leave_some_empty(model, cases, tmp_path):
    answers = [predicted(model, cases, tmp_path / "out", f"{n}/7") for n in range(1, 8)]
    assert [len(answer["items"]) for answer in answers] == [1, 1, 1, 1, 1, 0, 0]
    assert (tmp_path / "out" / "extents.csv").read_text().count("\n") == 1 + sum(
        len(item["extents"]) for answer in answers for item in answer["items"]
    )
