"""Read, MRML, predict, write: over random grids, not one voxel moves.

The network's weights are set by hand so that it answers "brighter than the mean" voxel by voxel: what it should say
is known exactly, and a shift anywhere along the way would show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from DALESegmentLib.engine.bundle.bundle import save_bundle
from DALESegmentLib.engine.commands import predict
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.io.array_cases import save_array_case
from DALESegmentLib.engine.io.case import Case, CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.images import read_label, write_image
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import Plan
from DALESegmentLib.mrml.cases import caseFromNodes
from DALESegmentLib.mrml.segmentations import addSegmentation, labelFromSegmentation
from DALESegmentLib.mrml.volumes import addVolume, geometryFromVolume

pytestmark = pytest.mark.slow


def bright_voxels(folder: Path, dims: int, planar: bool) -> Path:
    """A bundle whose network's second class wins exactly where a voxel is above the image's mean."""
    arguments = {
        "spatial_dims": dims,
        "in_channels": 1,
        "out_channels": 2,
        "channels": [1, 1],
        "strides": [[1] * dims],
        "num_res_units": 0,
        "norm": "INSTANCE",
    }
    plan = Plan(
        network="UNet",
        network_arguments=arguments,
        dims=dims,
        planar=planar,
        slice_axis=2,
        patch_size=(16, 16, 16 if dims == 3 else 1),
        spacing=None,
        channels=1,
        class_values=[0, 1],
        class_names={1: "bright"},
        normalise="case",
        ct_window=None,
        batch_size=2,
    )
    network = build("UNet", arguments)
    centre = (1,) * dims
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.zero_()
            if name.startswith("model.0") and name.endswith("conv.weight"):
                value[(0, 0, *centre)] = 1.0
            if name.startswith("model.2") and name.endswith("conv.weight"):
                value[(0, 0, *centre)] = -1.0
                value[(0, 1, *centre)] = 1.0
    save_bundle(folder, network, plan, {})
    return folder


@pytest.fixture(scope="module")
def volume_model(tmp_path_factory) -> Path:
    return bright_voxels(tmp_path_factory.mktemp("model3d"), 3, planar=False)


@pytest.fixture(scope="module")
def picture_model(tmp_path_factory) -> Path:
    return bright_voxels(tmp_path_factory.mktemp("model2d"), 2, planar=True)


@st.composite
def grids(draw) -> Geometry:
    """Axial, sagittal, coronal and oblique; flipped; anisotropic; down to a single slice."""
    size = (draw(st.integers(5, 14)), draw(st.integers(5, 14)), draw(st.sampled_from([1, 2, 3, 7, 11])))
    spacing = tuple(draw(st.sampled_from([0.35, 0.7, 1.0, 1.5, 3.27, 5.0])) for _ in range(3))
    axes = np.eye(3)[:, draw(st.permutations([0, 1, 2]))]
    flips = np.diag([draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)])
    oblique = draw(st.booleans())
    angles = [draw(st.floats(-40, 40)) for _ in range(3)] if oblique else [0.0, 0.0, 0.0]
    direction = Rotation.from_euler("xyz", angles, degrees=True).as_matrix() @ axes @ flips
    origin = tuple(draw(st.floats(-200, 200)) for _ in range(3))
    return Geometry(size, spacing, origin, tuple(float(v) for v in direction.ravel()))


def two_valued(geometry: Geometry, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = (rng.random(geometry.array_shape) < 0.4).astype(np.uint8)
    truth.flat[:2] = (0, 1)
    return (truth * 90.0 + 10.0).astype(np.float32)[None], truth


def predicted(model: Path, item: dict, out: Path) -> str:
    asked = {"model": str(model), "cases": {"items": [item]}, "out": str(out), "device": "cpu"}
    return predict.run(asked, Progress())["items"][0]["segmentation"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(grids(), st.integers(0, 2**16), st.sampled_from([".nii.gz", ".nrrd", ".mha"]))
def test_read_mrml_predict_write(a_scene, volume_model, tmp_path_factory, geometry, seed, extension):
    folder = tmp_path_factory.mktemp("grid")
    image, truth = two_valued(geometry, seed)
    path = folder / f"image{extension}"
    write_image(path, image, geometry)
    case = read_case(CaseSource("case", images=(path,)))
    assert case.geometry.difference(geometry) is None

    # file -> file
    written, place = read_label(
        Path(predicted(volume_model, {"name": "case", "images": [str(path)]}, folder / "files"))
    )
    assert place.difference(geometry) is None
    assert np.array_equal(written, truth)

    # file -> MRML -> engine -> MRML
    volume = addVolume(case.image[0], case.geometry, "image")
    assert geometryFromVolume(volume).difference(geometry) is None
    save_array_case(caseFromNodes([volume], name="case"), folder / "arrays")
    segmentation = np.load(predicted(volume_model, {"name": "case", "arrays": str(folder / "arrays")}, folder / "out"))
    node = addSegmentation(segmentation, geometryFromVolume(volume), {1: "bright"}, volume, "prediction")
    label, names, _, overlap = labelFromSegmentation(node, volume)
    assert np.array_equal(label, truth)
    assert (list(names.values()), overlap) == (["bright"], 0)
    a_scene.RemoveNode(node)
    a_scene.RemoveNode(volume)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(5, 24), st.integers(5, 24), st.integers(0, 2**16), st.sampled_from([".png", ".tiff"]))
def test_pictures(picture_model, tmp_path_factory, width, height, seed, extension):
    folder = tmp_path_factory.mktemp("picture")
    geometry = Geometry((width, height), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    image, truth = two_valued(geometry, seed)
    path = folder / f"image{extension}"
    write_image(path, image.astype(np.uint8), geometry)
    written, place = read_label(Path(predicted(picture_model, {"name": "p", "images": [str(path)]}, folder / "out")))
    assert place.size == (width, height)
    assert np.array_equal(written, truth)


def test_the_known_network_answers_voxel_by_voxel(volume_model):
    """If the hand-set weights stopped answering voxel by voxel, the tests above would prove nothing."""
    from DALESegmentLib.engine.bundle.bundle import load_bundle
    from DALESegmentLib.engine.inference.predictor import Predictor

    network, plan = load_bundle(volume_model, torch.device("cpu"))
    geometry = Geometry((9, 8, 7), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    image, truth = two_valued(geometry, 0)
    ours = Predictor(network, plan, torch.device("cpu"))
    shifted = Case("s", np.roll(image, 1, axis=3), geometry)
    answer = ours.segmentation(ours.probabilities(shifted, Progress()))
    assert np.array_equal(answer, np.roll(truth, 1, axis=2))
    assert not np.array_equal(answer, truth)
