"""What a data set is to the benchmark: which files are the truth, how small it is made, how long it is learned."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Normalise = Literal["case", "slice", "ct"]


class DataSet(BaseModel):
    """One set at one tier. All of it but its role goes into the hash of a cell.

    role: whether constants may be chosen on its training cases, or whether it only judges what was chosen.

    patient: what of a case's name is the patient's, a regular expression; without it the engine's own rule counts.
    truth: the short name of the reference label, "votes:2" for at least 2 of the raters. raters: short names of the
    labels of single raters. volumes: images have slices; dims: of the network. crop: edge in voxels of the window in
    the plane of the slices, laid round the lesion; largest: cases whose lesion is wider than this many voxels are left
    out (0: none). shrink: every so many voxels along each axis become one. slim: share of the planned network's filters
    kept; levels: of a UNet or AttentionUnet, at most (0: as planned). batch: 0 for the plan's own.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    role: Literal["tuning", "judging"] = "judging"
    patient: str = ""
    truth: str = "label"
    raters: tuple[str, ...] = ()
    dims: Literal[2, 3] | None = None
    volumes: bool = False
    normalise: Normalise | None = None
    crop: int = 0
    largest: int = 0
    shrink: int = 1
    train: int = 40
    test: int = 20
    slim: float = 1.0
    levels: int = 0
    batch: int = 0
    epochs: int = 12
    steps_per_epoch: int = 25


LIDC_RATERS = ("rater1", "rater2", "rater3", "rater4")
_LIDC = {
    "name": "lidc_4rater",
    "role": "tuning",
    "patient": r"L\d+",
    "truth": "votes:2",
    "raters": LIDC_RATERS,
    "dims": 2,
    "volumes": True,
    "normalise": "slice",
}

_PADUFES = {"name": "padufes_2rater", "truth": "r1", "raters": ("r2",), "dims": 2}

_SMALL = {"slim": 0.5, "levels": 4, "train": 30, "test": 20, "epochs": 20}
QUICK = {
    "lidc_4rater": DataSet(
        **_LIDC,
        crop=48,
        largest=40,
        batch=8,
        steps_per_epoch=18,
        **_SMALL,
    ),
    "ph2_skin": DataSet(name="ph2_skin", role="tuning", dims=2, shrink=4, batch=8, steps_per_epoch=15, **_SMALL),
    "msd_hippocampus": DataSet(
        name="msd_hippocampus", role="tuning", dims=3, volumes=True, shrink=2, batch=4, steps_per_epoch=15, **_SMALL
    ),
    "padufes_2rater": DataSet(**_PADUFES, shrink=4, batch=8, steps_per_epoch=15, **_SMALL),
    "busi_breast_us": DataSet(
        name="busi_breast_us", dims=2, shrink=4, batch=8, steps_per_epoch=15, **_SMALL | {"train": 100, "test": 40}
    ),
    "sts_sarcoma": DataSet(
        name="sts_sarcoma",
        truth="mr_t1_label",
        dims=3,
        volumes=True,
        shrink=3,
        batch=4,
        steps_per_epoch=15,
        **_SMALL | {"train": 17, "test": 7},
    ),
}

_LONG = {"train": 200, "test": 70, "epochs": 60, "steps_per_epoch": 50}
FULL = {
    "lidc_4rater": DataSet(
        **_LIDC,
        crop=64,
        batch=32,
        **_LONG,
    ),
    "ph2_skin": DataSet(name="ph2_skin", role="tuning", dims=2, shrink=2, batch=16, **_LONG),
    "busi_breast_us": DataSet(name="busi_breast_us", dims=2, shrink=2, batch=16, **_LONG),
    "cvc_clinicdb": DataSet(name="cvc_clinicdb", patient=r"seq\d+", dims=2, shrink=2, batch=16, **_LONG),
    "padufes_2rater": DataSet(**_PADUFES, shrink=2, batch=16, **_LONG),
    "msd_hippocampus": DataSet(name="msd_hippocampus", role="tuning", dims=3, volumes=True, batch=4, **_LONG),
    "sts_sarcoma": DataSet(name="sts_sarcoma", truth="mr_t1_label", dims=3, volumes=True, shrink=2, batch=2, **_LONG),
}


_AS_THE_USER = {"train": 60, "test": 30, "epochs": 12, "steps_per_epoch": 50}
"""Of the user's path: whole images, and no small network; the plan is the engine's. Epochs are as long as the command's
own, which has 50 of them by default."""
USER = {"ph2_skin": DataSet(name="ph2_skin", role="tuning", **_AS_THE_USER)}


def data_set(name: str, tier: str) -> DataSet:
    """The set of that name; a folder that is in no list is read as the engine reads any folder."""
    if tier == "user":
        known = QUICK.get(name, DataSet(name=name)).model_dump(include=_FILES)
        return USER.get(name) or DataSet(**known, **_AS_THE_USER)
    small = tier != "full"
    return (QUICK if small else FULL).get(name) or DataSet(name=name, **(_SMALL if small else _LONG))


_FILES = {"name", "role", "patient", "truth", "raters", "volumes"}
"""What is said of a set's files, and not of how they are learned."""
