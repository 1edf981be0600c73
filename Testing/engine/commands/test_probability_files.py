"""`confidence` and `review` on class probabilities that another program wrote, without a model."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from DALESegmentLib.engine.commands import confidence, review
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.images import read_image, write_image
from DALESegmentLib.engine.io.probabilities import read_probabilities

GRID = Geometry((20, 18, 16), (1.0, 1.0, 2.0), (3.0, -4.0, 5.0), (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
MISSED = np.s_[10:13, 11:15, 12:16]


def truth() -> np.ndarray:
    label = np.zeros(GRID.array_shape, np.uint8)
    label[2:8, 3:9, 3:9] = 1
    label[9:14, 10:16, 11:17] = 2
    return label


def softmax_of(label: np.ndarray, channels: int = 3) -> np.ndarray:
    sharp = np.stack([(label == k) * 5.0 for k in range(channels)])
    return (np.exp(sharp) / np.exp(sharp).sum(0)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases; in the label of the first a part of class 2 is missing."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        case = tmp_path / "cases" / name
        case.mkdir(parents=True)
        label = truth()
        write_image(case / "image.nii.gz", rng.normal(size=(1, *label.shape)).astype(np.float32) + label, GRID)
        if name == "a":
            label[MISSED] = 0
        write_image(case / "label.nii.gz", label, GRID)
    (tmp_path / "softmax").mkdir()
    return tmp_path


def parameters(folder: Path, **more: object) -> dict:
    return {
        "cases": {"folder": str(folder / "cases")},
        "probabilities": str(folder / "softmax"),
        "out": str(folder / "out"),
        **more,
    }


def write_npz(folder: Path, **values: np.ndarray) -> None:
    for name, array in values.items():
        np.savez_compressed(folder / "softmax" / f"{name}.npz", probabilities=array)


def write_images(folder: Path, **values: np.ndarray) -> None:
    for name, ending in zip(values, (".nii.gz", ".nrrd"), strict=True):
        write_image(folder / "softmax" / f"{name}{ending}", values[name], GRID)


def write_as_predict_does(folder: Path, **values: np.ndarray) -> None:
    for name, array in values.items():
        (folder / "softmax" / name).mkdir()
        write_image(folder / "softmax" / name / "probabilities.nii.gz", array, GRID)


@pytest.mark.parametrize("write", [write_npz, write_images, write_as_predict_does])
def test_the_missed_place_is_listed_first(write, folder):
    right = softmax_of(truth())
    write(folder, a=right, b=right)
    result = review.run(parameters(folder), Progress())
    first = result["regions"][0]
    assert first["case"] == "a"
    assert {region["case"] for region in result["regions"]} == {"a"}
    found, _ = read_image(result["items"][0]["confidence"])
    missed = np.zeros(GRID.array_shape, bool)
    missed[MISSED] = True
    assert found[0][missed].max() < 0.5 < found[0][~missed].min()


def test_the_channels_of_labels_0_3_9_are_in_their_order(folder):
    for name in ("a", "b"):
        path = folder / "cases" / name / "label.nii.gz"
        write_image(path, np.array([0, 3, 9], np.uint8)[read_image(path)[0][0].astype(int)], GRID)
    write_npz(folder, a=softmax_of(truth()), b=softmax_of(truth()))
    result = confidence.run(parameters(folder), Progress())
    a, b = ({row["name"]: row["volume_ml"]["value"] for row in i["extents"].values()} for i in result["items"])
    assert set(a) == {"class 3", "class 9"}
    assert b["class 9"] == pytest.approx(5 * 6 * 6 * 2 / 1000)
    assert result["items"][1]["mean_confidence"] > 0.9


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (lambda p: p[:, :-1], "probabilities-shape", "a.npz has the shape 3 × 15"),
        (lambda p: np.moveaxis(p, 1, 3), "probabilities-shape", "3 × 16 × 18 × 20"),
        (
            lambda p: p[:2] / p[:2].sum(0),
            "probabilities-classes",
            "a.npz has 2 channels, but the labels have the values",
        ),
        (lambda p: p * 3, "probabilities-sum", "sum to 1"),
        (lambda p: np.where(p > 0.9, np.nan, p), "probabilities-sum", "sum to 1"),
        (lambda p: np.log(p), "probabilities-sum", "after the softmax"),
        (
            lambda p: p.argmax(0).astype(np.uint8),
            "probabilities-type",
            "whole numbers; write the probabilities as floats",
        ),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(change, code, words, folder):
    right = softmax_of(truth())
    write_npz(folder, a=change(right), b=change(right))
    with pytest.raises(EngineError) as refused:
        review.run(parameters(folder), Progress())
    assert refused.value.code == code
    assert words in refused.value.sentence


def test_an_image_on_another_grid_is_refused(folder):
    right = softmax_of(truth())
    moved = Geometry(GRID.size, GRID.spacing, (0.0, 0.0, 0.0), GRID.direction)
    write_image(folder / "softmax" / "a.nii.gz", right, moved)
    write_image(folder / "softmax" / "b.nii.gz", right, GRID)
    with pytest.raises(EngineError, match=r"do not lie on the same voxels"):
        review.run(parameters(folder), Progress())


def test_a_case_without_a_file_is_named(folder):
    write_npz(folder, b=softmax_of(truth()))
    with pytest.raises(EngineError, match=r"no probabilities of a in softmax"):
        confidence.run(parameters(folder), Progress())


@pytest.mark.parametrize("more", [{"model": "somewhere"}, {"probabilities": None}])
def test_either_a_model_or_probabilities_are_named(more, folder):
    with pytest.raises(EngineError, match="not both"):
        review.run(parameters(folder, **more), Progress())


def test_a_header_that_claims_terabytes_is_refused_before_it_is_unpacked(folder):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 100000, 100000, 100000), }"
    header += b" " * (64 - (len(header) + 11) % 64) + b"\n"
    with zipfile.ZipFile(folder / "softmax" / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("probabilities.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(EngineError, match="damaged"):
        read_probabilities(folder / "softmax" / "a.npz", GRID, "a", 3)


def test_an_array_of_objects_is_not_unpickled(folder, tmp_path):
    class Runs:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "executed",))

    np.savez(folder / "softmax" / "a.npz", probabilities=np.array([Runs()], object))
    with pytest.raises(EngineError, match="damaged"):
        read_probabilities(folder / "softmax" / "a.npz", GRID, "a", 3)
    assert not (tmp_path / "executed").exists()


def test_a_picture_may_have_one_slice_more(tmp_path):
    flat = Geometry((6, 5), (1.0, 1.0), (0.0, 0.0), (1.0, 0, 0, 1.0))
    label = np.zeros((5, 6), int)
    label[2:4] = 1
    np.savez(tmp_path / "a.npz", probabilities=softmax_of(label, 2)[:, None])
    found = read_probabilities(tmp_path / "a.npz", flat, "a", 2)
    assert found.shape == (2, 5, 6)
    assert (found.argmax(0) == label).all()


def test_sitk_reads_back_what_is_judged(folder):
    """Channels of an NRRD by another reader are those that are judged."""
    right = softmax_of(truth())
    write_images(folder, a=right, b=right)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / "softmax" / "b.nrrd")))
    found = read_probabilities(folder / "softmax" / "b.nrrd", GRID, "b", 3)
    assert np.abs(np.moveaxis(stored, -1, 0) - found).max() < 1e-6


def test_the_segmentation_that_nnunet_writes_beside_its_probabilities_is_none_of_them(folder):
    for name in ("a", "b"):
        write_npz(folder, **{name: softmax_of(truth())})
        write_image(folder / "softmax" / f"{name}.nii.gz", truth(), GRID)
        (folder / "softmax" / f"{name}.pkl").write_bytes(b"")
    assert len(confidence.run(parameters(folder), Progress())["items"]) == 2


@pytest.mark.parametrize("command", [confidence, review])
def test_probabilities_of_another_orientation_or_order_are_told_of(command, folder):
    right = softmax_of(truth())
    write_npz(folder, a=right, b=right[:, ::-1, ::-1, ::-1])
    (said,) = command.run(parameters(folder), Progress())["unlike_labels"]
    assert said.startswith("The probabilities of b overlap the labels by a Dice below 0.3; check")
    write_npz(folder, a=right[[0, 2, 1]], b=right)
    (said,) = command.run(parameters(folder, overwrite=True), Progress())["unlike_labels"]
    assert said.startswith("The probabilities of a overlap")
    write_npz(folder, a=right, b=right)
    assert "unlike_labels" not in command.run(parameters(folder, overwrite=True), Progress())
