"""Images of another kind are told of, and the test cases of a set under its own training cases are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.planning.data_shift import ImageStatistics, data_shift, training_range, widened
from Testing.phantoms import ball_case

LEARNED = 40
SETS = {"lidc_4rater": 40, "msd_hippocampus": 30, "ph2_skin": 35}
"""Each with its number of test cases."""


def statistics(folder: Path, split: str, limit: int | None = None) -> list[ImageStatistics]:
    sources = find_cases(folder=folder, split=split, limit=limit)
    bare = [replace(source, label=None, trusted=None, confidence=None, reference=None) for source in sources]
    return [ImageStatistics.of(read_case(source)) for source in bare]


@pytest.fixture(scope="module")
def real(data_folder) -> dict[str, tuple]:
    """The range of some training cases of each set, and the statistics of its test cases."""
    return {
        name: (training_range(statistics(data_folder / name, "train", LEARNED)), statistics(data_folder / name, "test"))
        for name in SETS
    }


def told(cases: list[ImageStatistics], known, *, fixed_units: bool = False) -> int:
    return sum(bool(data_shift(case, known, fixed_units=fixed_units)) for case in cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_none_of_a_sets_own_test_cases_is_told_of(real, name):
    known, cases = real[name]
    assert len(cases) == SETS[name]
    assert told(cases, known) == 0


def changed(case: ImageStatistics, scale: float = 1.0, shift: float = 0.0) -> ImageStatistics:
    """With other intensities."""
    values = tuple(tuple(sorted(scale * v + shift for v in channel)) for channel in case.percentiles)
    return replace(case, percentiles=values)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_and_neither_are_other_scanners_units(real, name):
    known, cases = real[name]
    if name != "ph2_skin":  # of photographs there are no such units
        assert told([changed(case, 5.0) for case in cases], known) == 0


@pytest.mark.slow
def test_images_of_another_kind_are(real):
    (lungs, of_lungs), (brain, of_brain), (skin, of_skin) = (real[name] for name in SETS)
    assert told(of_lungs, brain) >= 0.6 * len(of_lungs)
    # MR as if it were CT in Hounsfield units
    assert told([changed(case, 5.0, -1000.0) for case in of_brain], brain) == len(of_brain)
    # slices of 50 mm, and ten times the size
    assert told([replace(c, spacing=(*c.spacing[:2], 50.0)) for c in of_lungs], lungs) == len(of_lungs)
    assert told([replace(c, extent=tuple(10 * n for n in c.extent)) for c in of_brain], brain) == len(of_brain)
    # photographs of a telephone
    assert told([replace(c, extent=(4032.0, 3024.0, 1.0)) for c in of_skin], skin) == len(of_skin)
    assert told([replace(c, unit="mm") for c in of_skin], skin) == len(of_skin)


def ct(case: int, low: float = -1000.0, high: float = 800.0) -> ImageStatistics:
    return ImageStatistics((0.8, 0.8, 2.0), (320.0, 320.0, 300.0), ((low + case, -100.0, high - 2 * case),), "CT")


def test_fixed_units_are_compared_as_they_are():
    known = training_range([ct(n) for n in range(10)])
    assert told([ct(20), ct(-20)], known, fixed_units=True) == 0
    mr = ImageStatistics((0.8, 0.8, 2.0), (320.0, 320.0, 300.0), ((0.0, 200.0, 900.0),))
    (sign,) = data_shift(mr, known, fixed_units=True)
    assert "its intensities lie from 0 to 900" in sign


def test_another_modality_is_told_by_name_and_an_unknown_one_is_not():
    known = training_range([ct(n) for n in range(3)])
    assert data_shift(replace(ct(1), modality="MR"), known, fixed_units=True) == ["it is MR, not CT"]
    assert data_shift(replace(ct(1), modality=""), known, fixed_units=True) == []


def test_a_single_training_case_tells_only_of_gross_differences():
    known = training_range([ImageStatistics.of(ball_case())])
    assert data_shift(ImageStatistics.of(ball_case(seed=5)), known, fixed_units=False) == []
    ones = ImageStatistics.of(ball_case())
    assert data_shift(changed(ones, 1.0, -1000.0), known, fixed_units=False)
    assert data_shift(replace(ones, spacing=(1.0, 1.0, 50.0)), known, fixed_units=False)


def test_a_plan_without_ranges_says_nothing():
    assert data_shift(ImageStatistics.of(ball_case()), None, fixed_units=False) == []


def test_what_a_fine_tune_learned_from_is_usual_then():
    known = training_range([ct(n) for n in range(10)])
    mr = ImageStatistics((0.8, 0.8, 2.0), (320.0, 320.0, 300.0), ((0.0, 200.0, 900.0),), "MR")
    assert data_shift(mr, known, fixed_units=True)
    wider = widened(known, [mr])
    assert wider.cases == 11
    assert data_shift(mr, wider, fixed_units=True) == []
    assert widened(None, [mr]) is None


def test_percentiles_of_a_large_image_are_those_of_a_part():
    values = np.random.default_rng(0).normal(100, 20, (1, 120, 120, 120)).astype(np.float32)
    geometry = Geometry((120, 120, 120), (1.0,) * 3, (0.0,) * 3, tuple(np.eye(3).ravel()))
    (found,) = ImageStatistics.of(Case("a", values, geometry)).percentiles
    assert found == pytest.approx(np.percentile(values, (0.5, 50, 99.5)), abs=0.5)
