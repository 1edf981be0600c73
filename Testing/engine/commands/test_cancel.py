"""Jobs look for a cancel between all their long steps, and say how far they are also within a case."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from DALESegmentLib.engine.commands import finetune, predict, review, train
from DALESegmentLib.engine.core import errors as cancel
from DALESegmentLib.engine.core.errors import Cancelled
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


class Looks(Progress):
    """Keeps which module looked for a cancel, and stops at one look."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.percents: list[float] = []
        super().__init__(lambda report: self.percents.append(report["percent"]))
        self.modules: list[str] = []
        self.stop_at = stop_at

    def part(self, start: float, stop: float) -> Progress:
        child = super().part(start, stop)
        child.check = self.look  # type: ignore[method-assign]
        child.part = lambda a, b: Looks.part(self, *(start + (stop - start) * x / 100 for x in (a, b)))
        return child

    def look(self) -> None:
        frame = sys._getframe(1)
        if frame.f_globals["__name__"] == cancel.__name__:  # who called `checkpoint`
            frame = frame.f_back
        self.modules.append(frame.f_globals["__name__"].rpartition(".")[2])
        if len(self.modules) == self.stop_at:
            raise Cancelled

    check = look


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> dict:
    root = tmp_path_factory.mktemp("cancel")
    save_array_case(ball_case("case"), root / "cases" / "case")
    asked = {"cases": {"folder": str(root / "cases")}, "out": str(root / "run"), "device": "cpu"}
    train.run({**asked, "epochs": 1, "steps_per_epoch": 4}, Progress())
    return {**asked, "model": str(root / "run")}


@pytest.mark.parametrize(
    ("job", "where"),
    [
        (review, {"case_confidence", "review", "preprocessing", "predictor", "quality", "issues", "distance"}),
        (predict, {"predict", "preprocessing", "predictor"}),
        (finetune, {"finetune", "preprocessing", "distributed"}),
    ],
)
def test_every_part_looks_for_a_cancel(job, where, asked, tmp_path):
    short = {"epochs": 1, "steps_per_epoch": 1} if job is finetune else {}
    looks = Looks()
    with cancel.cancellable(looks.look):
        job.run({**asked, **short, "out": str(tmp_path / "out")}, looks)
    assert where <= set(looks.modules)
    again = Looks(stop_at=len(looks.modules))
    with pytest.raises(Cancelled), cancel.cancellable(again.look):
        job.run({**asked, **short, "out": str(tmp_path / "again")}, again)
    assert len(again.modules) == again.stop_at


def test_a_cancel_before_training_leaves_the_earlier_run(asked):
    run = Path(asked["model"])
    before = (run / "run.json").read_bytes()
    given = {"cases": asked["cases"], "out": asked["out"], "device": "cpu", "epochs": 1, "steps_per_epoch": 1}
    looks = Looks()
    train.run({**given, "out": f"{run}-other"}, looks)
    # the last look before the folder is taken
    preparing = len(looks.modules) - looks.modules[::-1].index("prepared_cases")
    with pytest.raises(Cancelled):
        train.run({**given, "overwrite": True}, Looks(stop_at=preparing))
    assert (run / "run.json").read_bytes() == before
    assert (run / "bundle").is_dir()


def test_a_review_of_one_case_says_how_far_it_is(asked, tmp_path):
    looks = Looks()
    review.run({**asked, "out": str(tmp_path)}, looks)
    looks.close()
    assert {57.0, 80.75} <= set(looks.percents), "where the search for regions and the writing begin"
