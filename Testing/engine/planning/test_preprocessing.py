"""To the prepared grid and back: no voxel moves, whatever the orientation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from DALESegmentLib.engine.commands.case_confidence import confidence_map
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.geometry.orientation import canonical_affine, canonical_size, from_canonical, to_canonical
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import (
    native_disagreement,
    prepare_case,
    prepare_image,
    prepare_label,
    to_native,
)


@st.composite
def geometries(draw) -> Geometry:
    size = tuple(draw(st.integers(3, 9)) for _ in range(3))
    spacing = tuple(draw(st.floats(0.3, 5.0)) for _ in range(3))
    turn = Rotation.from_euler("xyz", [draw(st.floats(-180, 180)) for _ in range(3)], degrees=True)
    flip = np.diag([draw(st.sampled_from([-1.0, 1.0])) for _ in range(3)])
    direction = turn.as_matrix() @ flip
    return Geometry(size, spacing, (3.0, -7.0, 40.0), tuple(direction.ravel()))


@settings(max_examples=150, deadline=None)
@given(geometries())
def test_canonical_and_back_is_exact_and_keeps_every_voxel_in_place(geometry):
    values = np.arange(np.prod(geometry.size), dtype=np.float32).reshape(1, *geometry.array_shape)
    turned = to_canonical(values, geometry)
    assert turned.shape[1:] == canonical_size(geometry)
    assert np.array_equal(from_canonical(turned, geometry), values)
    affine = canonical_affine(geometry)
    for x, y, z in [(0, 0, 0), tuple(n - 1 for n in canonical_size(geometry))]:
        k, j, i = np.argwhere(values[0] == turned[0, x, y, z])[0]
        ras = (affine @ [x, y, z, 1])[:3]
        assert np.allclose(ras, geometry.index_to_ras((i, j, k)), atol=1e-3)
    assert (np.diag(affine)[:3] > -1e-9).all() or geometry.dims == 3  # axes point to R, A, S as far as they can


def test_a_picture_keeps_its_axes():
    geometry = Geometry((5, 4), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    picture = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    turned = to_canonical(picture, geometry)
    assert turned.shape == (3, 5, 4, 1)
    assert np.array_equal(from_canonical(turned, geometry), picture)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (0.7, 0.9, 3.1)])
def test_without_resampling_the_label_comes_back_exactly(a_case, spacing):
    plan = make_plan([CaseFingerprint.of(a_case)])
    prepared = prepare_case(a_case, plan)
    back = to_native(prepared.labels.given.unsqueeze(0).float(), prepared.affine, a_case.geometry)
    assert np.array_equal(back[0], a_case.label)
    label, affine = prepare_label(a_case, plan)
    assert torch.equal(label, prepared.labels.given)
    assert torch.allclose(affine, prepared.affine)


def test_resampled_and_back_a_linear_image_is_the_same_inside(a_case):
    """Linear interpolation reproduces a linear ramp, so any shift on the way there or back would show."""
    k, j, i = np.indices(a_case.geometry.array_shape).astype(np.float32)
    ramp = Case("ramp", (i + 3 * j + 5 * k)[None], a_case.geometry, label=a_case.label)
    plan = make_plan([CaseFingerprint.of(a_case)]).model_copy(
        update={"spacing": (0.8, 0.9, 1.1), "normalise": "ct", "ct_window": (-500.0, 500.0)}
    )
    prepared = prepare_image(ramp, plan)
    back = to_native(prepared.as_tensor(), prepared.affine, ramp.geometry)
    inside = (slice(None), *(slice(3, -3) for _ in range(3)))
    assert np.allclose(back[inside] * 500, ramp.image[inside], atol=1e-2)


def test_label_values_may_have_gaps(a_case):
    values = a_case.label.astype(np.int16) * 117
    case = Case("gaps", a_case.image, a_case.geometry, label=values, class_names={117: "spleen"})
    plan = make_plan([CaseFingerprint.of(case)])
    assert plan.class_values == [0, 117]
    assert set(np.unique(prepare_case(case, plan).labels.given)) == {0, 1}


def test_what_is_unknown_of_a_label_stays_unknown_on_the_image_s_own_grid(a_case):
    """And what is known keeps its value: nothing mixes across an outline."""
    plan = make_plan([CaseFingerprint.of(a_case)]).model_copy(update={"spacing": (1.7, 0.8, 1.4)})
    prepared = prepare_case(a_case, plan)
    labels = prepared.labels
    inside = labels.given > 0
    labels.disagreement.copy_(torch.where(inside, 0.95, 0.0))
    labels.seen[:, : labels.shape[1] // 2] = True
    known = labels.disagreement_of(labels.given)
    native = native_disagreement(known, prepared.affine, a_case.geometry)
    assert native.seen.shape == a_case.label.shape
    assert 0.3 < native.seen.float().mean() < 0.7
    assert set(native.values[native.seen].unique().tolist()) <= {0.0, float(torch.tensor(0.95).half())}
    probabilities = np.stack([1.0 - 0.9 * a_case.label, 0.9 * a_case.label + 0.0]).astype(np.float32)
    probabilities = np.clip(probabilities, 0.01, 0.99) / np.clip(probabilities, 0.01, 0.99).sum(0)
    alone = confidence_map(a_case, plan, probabilities, None, even_odds=True)
    with_it = confidence_map(a_case, plan, probabilities, native, even_odds=True)
    unseen = ~native.seen.numpy()
    np.testing.assert_array_equal(with_it[unseen], alone[unseen])
    contradicted = ~unseen & (a_case.label > 0)
    assert (with_it[contradicted] < alone[contradicted]).mean() > 0.9
