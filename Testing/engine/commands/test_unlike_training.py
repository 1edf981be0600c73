"""A case that is unlike the training cases is told of before it is predicted, and gets no interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.commands import confidence, finetune, predict, train
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.io.modality import read_modality
from Testing.phantoms import ball_case

QUICK = {"epochs": 2, "steps_per_epoch": 6, "device": "cpu", "dims": 3, "seed": 1}


def write(root: Path, name: str, seed: int, shift: float = 0.0) -> None:
    case = ball_case(name, size=(16, 16, 8), seed=seed)
    write_image(root / name / "image.nii.gz", case.image + shift, case.geometry)
    write_image(root / name / "label.nii.gz", case.label, case.geometry)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("unlike")
    for n in range(18):
        write(root / "cases", f"case{n}", n)
    named = {"folder": str(root / "cases")}
    train.run({"cases": named, "out": str(root / "run"), "validation": 0.5, **QUICK}, Progress())
    return root / "run"


class Notes(Progress):
    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        super().__init__(lambda report: self.messages.append((report["stage"], report["message"])))


@pytest.fixture(scope="module")
def new(tmp_path_factory) -> Path:
    """One more such case, and one in Hounsfield units."""
    root = tmp_path_factory.mktemp("new")
    write(root, "alike", 50)
    write(root, "unlike", 51, -1000.0)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("job", [predict, confidence])
def test_it_is_told_first_and_gets_no_interval(job, model, new, tmp_path):
    notes = Notes()
    asked = {"model": str(model), "cases": {"folder": str(new)}, "out": str(tmp_path / "out"), "device": "cpu"}
    alike, unlike = job.run(asked, notes)["items"]
    notes.close()
    assert "unlike_training" not in alike
    assert alike["extents"]["1"]["volume_ml"]["low"] is not None
    assert "unlike looks unlike the cases that the model was trained on" in unlike["unlike_training"][0]
    assert all(extent["volume_ml"]["low"] is None for extent in unlike["extents"].values())
    told = next(n for n, (_, message) in enumerate(notes.messages) if "looks unlike" in message)
    first_work = next(n for n, (stage, _) in enumerate(notes.messages) if stage in ("predicting", "confidence"))
    assert told < first_work


@pytest.mark.slow
def test_a_fine_tune_on_such_cases_makes_them_usual(model, new, tmp_path):
    one = {"folder": str(new / "unlike")}
    asked = {"model": str(model), "cases": one, "out": str(tmp_path / "tuned"), "epochs": 1, "steps_per_epoch": 1}
    tuned = finetune.run({**asked, "device": "cpu"}, Progress())["run"]
    assert load_bundle(Path(tuned), "cpu")[1].trained_on.cases == 19
    asked = {"model": tuned, "cases": one, "out": str(tmp_path / "out"), "device": "cpu"}
    assert "unlike_training" not in predict.run(asked, Progress())["items"][0]


def write_dicom(path: Path, modality: str) -> None:
    data = pydicom.Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    data.Modality = modality
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def test_the_modality_of_a_series_is_that_of_its_images(tmp_path):
    write_dicom(tmp_path / "series" / "0.dcm", "SEG")
    write_dicom(tmp_path / "series" / "1.dcm", "MR")
    (tmp_path / "series" / ".hidden").write_bytes(b"x")
    assert read_modality(tmp_path / "series") == "MR"
    assert read_modality(tmp_path / "series" / "1.dcm") == "MR"


def test_what_does_not_say_it_has_none(tmp_path):
    write_image(tmp_path / "a.nii.gz", np.ones((4, 4, 4)), ball_case(size=(4, 4, 4)).geometry)
    (tmp_path / "damaged.dcm").write_bytes(b"DICM no dicom")
    (tmp_path / "empty").mkdir()
    for name in ("a.nii.gz", "damaged.dcm", "empty"):
        assert read_modality(tmp_path / name) == ""
