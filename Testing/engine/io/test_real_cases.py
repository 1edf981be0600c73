"""Real images of every kind, found and read as a user would name them."""

from __future__ import annotations

import numpy as np
import pytest

from DALESegmentLib.engine.io.case_files import read_case, read_reference
from DALESegmentLib.engine.io.find_cases import find_cases

SETS = {  # folder: options, (train, test), dims, channels, label values
    "lidc_4rater": ({"label": "rater1", "reference": "votes:2"}, (120, 40), 3, 1, {1}),
    "sts_sarcoma": ({}, (17, 7), 3, 1, {1}),
    "msd_hippocampus": ({}, (80, 30), 3, 1, {1, 2}),
    "ms_lesion": ({"image": ["flair", "t1"]}, (1, 1), 3, 2, {1}),
    "ph2_skin": ({}, (95, 35), 2, 3, {1}),
    "busi_breast_us": ({}, (210, 70), 2, 1, {1}),
    "cvc_clinicdb": ({}, (126, 40), 2, 3, {1}),
    "padufes_2rater": ({"label": "r1", "reference": "r2"}, (20, 10), 2, 3, {1}),
    "bubil1_10rater": ({"label": "r1_Amira", "reference": "gold"}, (23, 12), 2, 1, {1}),
    "pyradiomics_lesions": ({}, (0, 5), 3, 1, {1}),
    "demo_totalseg": ({}, (0, 2), 3, 1, None),
    "mni152_default_sample": (
        {"image": "t1", "reference": "gm_prob255:128"},
        (0, 2),
        3,
        1,
        None,
    ),
}


@pytest.mark.parametrize("name", SETS)
def test_every_folder_is_understood(data, name):
    if not (data / name).is_dir():
        pytest.skip(f"{name} is not among the real images")
    options, counts, dims, channels, values = SETS[name]
    sources = find_cases(data / name, **options)
    assert tuple(sum(s.split == kind for s in sources) for kind in ("train", "test")) == counts
    assert len(sources) == sum(counts)
    for source in sources[:: max(1, len(sources) // 4)]:
        case = read_case(source)
        assert (case.geometry.dims, case.channels) == (dims, channels)
        assert case.image.shape[1:] == case.geometry.array_shape
        if case.label is not None and values:
            assert set(np.unique(case.label)) == {0, *values}
            assert set(case.class_names) == values
        if source.reference:
            reference = read_reference(source, case)
            assert reference.shape == case.geometry.array_shape
            assert reference.any()


def test_real_raters_are_drawn(data):
    drawn = {s.label.name for s in find_cases(data / "lidc_4rater", label="rater*", split="train")}
    assert drawn == {f"rater{n}.nii.gz" for n in range(1, 5)}


def test_reference_of_votes(data):
    (source,) = find_cases(data / "lidc_4rater", label="rater1", reference="votes:2", limit=1)
    case = read_case(source)
    raters = [
        read_case(find_cases(data / "lidc_4rater" / source.name, label=f"rater{n}")[0]).label for n in range(1, 5)
    ]
    assert np.array_equal(read_reference(source, case), sum(raters) >= 2)


def test_unclear_real_cases_name_their_files(data, refused):
    with refused("image-unclear", "flair", "t1", "--image"):
        find_cases(data / "ms_lesion")
