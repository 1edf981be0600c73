"""Strokes answered by the engine: where, from what, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.commands import prompt, review, train
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.array_cases import save_array_case
from Testing.phantoms import ball_case


@pytest.fixture(scope="module")
def case():
    return ball_case()


@pytest.fixture
def asked(case, tmp_path):
    """A click in the middle of the ball, and one far from it."""
    save_array_case(case, tmp_path / "case")
    middle = np.argwhere(case.label > 0).mean(0).astype(int)[::-1].tolist()
    cases = {"items": [{"name": case.name, "arrays": str(tmp_path / "case")}]}
    return {"cases": cases, "inside": [middle], "outside": [[0, 0, 0]], "device": "cpu"}


def drawn(answer, shape):
    """The answer on the case's grid."""
    box = tuple(slice(a, b + 1) for a, b in zip(answer["first_voxel"][::-1], answer["last_voxel"][::-1], strict=True))
    found = np.zeros(shape, bool)
    part = np.zeros(found[box].size, bool)
    for first, count in answer["runs"]:
        part[first : first + count] = True
    found[box] = part.reshape(found[box].shape)
    return found


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_without_a_model_the_intensities_answer_and_it_says_so(case, asked):
    answer = prompt.run(asked, Progress())
    assert answer["by"] == "intensities"
    assert dice(drawn(answer, case.label.shape), case.label > 0) > 0.8


def test_what_is_drawn_is_corrected_beside_the_strokes(case, asked):
    answer = prompt.run({**asked, "label_value": 1, "outside": []}, Progress())
    assert answer["corrects"]
    found = drawn(answer, case.label.shape)
    assert dice(found, case.label > 0) > 0.8
    assert not prompt.run(asked, Progress())["corrects"]
    assert not prompt.run({**asked, "label_value": 9}, Progress())["corrects"]


@pytest.mark.slow
def test_a_model_that_knows_the_class_is_asked_and_what_review_wrote_saves_its_look(case, asked, tmp_path):
    short = {"epochs": 1, "steps_per_epoch": 4, "batch_size": 2, "device": "cpu"}
    trained = train.run({"cases": asked["cases"], "out": str(tmp_path / "run"), **short}, Progress())
    answer = review.run(
        {"model": trained["model"], "cases": asked["cases"], "out": str(tmp_path / "list"), "device": "cpu"}, Progress()
    )
    listed = answer["items"][0]
    known = {**asked, "model": trained["model"], "value": 1}
    looked = prompt.run(known, Progress())
    kept = prompt.run({**known, "probabilities": listed["probabilities"]}, Progress())
    assert looked["by"] == kept["by"] == "model"
    assert dice(drawn(looked, case.label.shape), drawn(kept, case.label.shape)) > 0.99
    assert prompt.run({**known, "value": 7}, Progress())["by"] == "intensities"
    steps = np.load(listed["probabilities"])
    assert steps.dtype == np.uint8
    assert steps.shape[1:] == case.label.shape


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"inside": [[0, 0]]}, "wrong-stroke"),
        ({"inside": [[10_000, 0, 0]]}, "wrong-stroke"),
        ({"outside": [[-1, 0, 0]]}, "wrong-stroke"),
    ],
)
def test_strokes_that_are_not_in_the_image_are_refused(asked, change, code):
    with pytest.raises(EngineError) as refused:
        prompt.run({**asked, **change}, Progress())
    assert refused.value.code == code
