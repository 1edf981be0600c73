"""A real scene with real views, off screen, and small things to put into it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from scene_helpers import a_region

from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.mrml.drawing import missingForDrawing
from Testing.system_libraries import missing_for_scenes, skip_modules

if missing := missing_for_scenes():
    pytest_pycollect_makemodule = skip_modules(missing)


@pytest.fixture(scope="session")
def an_application():
    from DALESegmentLib.mrml.scene import startHeadless

    return startHeadless()


@pytest.fixture
def a_scene(an_application):
    """The scene, empty but for its three slice views, where they can be drawn."""
    from DALESegmentLib.mrml import pictures

    an_application.scene.Clear(0)
    # Another test may have cleared the scene of these as well; volumes are not drawn without them.
    an_application.color_logic.AddDefaultColorNodes()
    for orientation in () if missingForDrawing() else pictures.VIEWS:
        pictures.sliceView(orientation, 200)
    yield an_application.scene
    an_application.scene.Clear(0)


@pytest.fixture
def the_views(a_scene) -> None:
    """For a test that needs the slice views, to look at or to set; it is skipped where they cannot be drawn."""
    if reason := missingForDrawing():
        pytest.skip(reason)


@pytest.fixture
def a_geometry() -> Geometry:
    """Axial, anisotropic, as a CT comes: 64 × 60 × 20 voxels."""
    return Geometry((64, 60, 20), (0.8, 0.8, 2.5), (-30.0, -20.0, 12.0), (1, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture
def a_label(a_geometry) -> np.ndarray:
    """Two neighbouring lesions, values 1 and 2."""
    label = np.zeros(a_geometry.array_shape, np.uint8)
    label[6:14, 20:40, 15:35] = 1
    label[8:12, 20:40, 35:50] = 2
    return label


@pytest.fixture
def an_image(a_label) -> np.ndarray:
    return (np.random.default_rng(0).normal(100, 10, a_label.shape) + 80 * (a_label > 0)).astype(np.float32)


@pytest.fixture
def a_volume_node(a_scene, an_image, a_geometry):
    from DALESegmentLib.mrml.volumes import addVolume

    return addVolume(an_image, a_geometry, "CT")


@pytest.fixture
def a_segmentation_node(a_volume_node, a_label, a_geometry):
    from DALESegmentLib.mrml.segmentations import addSegmentation

    return addSegmentation(a_label, a_geometry, {1: "lesion", 2: "oedema"}, a_volume_node, "drawn")


@pytest.fixture
def some_regions(a_geometry) -> list[Region]:
    return [a_region(1, (20, 30, 10), a_geometry), a_region(2, (45, 25, 9), a_geometry, "missing")]


@pytest.fixture
def the_real_images() -> Path:
    folder = os.environ.get("DALESEGMENT_DATA")
    if not folder:
        pytest.skip("DALESEGMENT_DATA does not name a folder of real images")
    return Path(folder)
