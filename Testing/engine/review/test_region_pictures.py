"""Pictures of regions: which slice, which way round, how large, and what is drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from DALESegmentLib.engine.dale.issues import Region
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.review.page import MOST_ROWS, write_page
from DALESegmentLib.engine.review.pictures import GIVEN, PANEL, SUGGESTED, RegionViews, draw, first_pieces, look_at

AXES = {
    "axial": ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], (1.0, 1.0, 4.0), "RLAP"),
    "axial, upside down": ([[-1, 0, 0], [0, -1, 0], [0, 0, -1]], (1.0, 1.0, 4.0), "RLAP"),
    "sagittal": ([[0, 0, -1], [1, 0, 0], [0, -1, 0]], (1.0, 1.0, 4.0), "APSI"),
    "coronal": ([[1, 0, 0], [0, 0, 1], [0, -1, 0]], (1.0, 1.0, 4.0), "RLSI"),
    "thin sagittal, shown as axial": ([[0, 0, -1], [1, 0, 0], [0, -1, 0]], (1.0, 1.0, 1.0), "RLAP"),
    "axes in another order": ([[0, 1, 0], [0, 0, -1], [1, 0, 0]], (1.0, 1.3, 1.2), "RLAP"),
}
IN_RAS = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "S": (2, 1), "I": (2, -1)}


def one_region(mask: np.ndarray, geometry: Geometry, **other: object) -> Region:
    places = np.argwhere(mask)[:, ::-1]
    first, last, centre = (tuple(int(n) for n in v) for v in (places.min(0), places.max(0), places[len(places) // 2]))
    known = {
        "rank": 1,
        "case": "case",
        "region_id": 1,
        "label_value": 1,
        "class_name": "lesion",
        "suspicion": "too small",
    }
    known |= {
        "suggested_value": 1,
        "voxels": len(places),
        "size_mm3": 9.0,
        "mean_confidence": 0.2,
        "lowest_confidence": 0.1,
    }
    known |= {"expected_wrong": 5.0, "centre_ras": geometry.index_to_ras(centre), "centre_voxel": centre}
    return Region(**{**known, "first_voxel": first, "last_voxel": last, **other})


def placed(axes: list[list[int]], spacing: tuple[float, ...], size=(40, 36, 30)) -> Geometry:
    return Geometry(size, spacing, (5.0, -7.0, 11.0), tuple(float(x) for x in np.ravel(axes)))


def ras_of_voxels(geometry: Geometry) -> np.ndarray:
    """(3, k, j, i) mm, from the header alone."""
    axes = np.diag([-1, -1, 1]) @ np.array(geometry.direction).reshape(3, 3) * geometry.spacing
    k, j, i = np.indices(geometry.array_shape)
    return np.einsum("ab,b...->a...", axes, np.stack([i, j, k])).astype(np.float32)


@pytest.mark.parametrize("kind", list(AXES))
def test_a_picture_is_the_right_way_round(kind):
    """The image is the coordinate itself: it must grow towards the side whose letter stands there."""
    axes, spacing, letters = AXES[kind]
    geometry = placed(axes, spacing)
    mask = np.zeros(geometry.array_shape, bool)
    mask[12:16, 14:19, 15:22] = True
    region, ras = one_region(mask, geometry), ras_of_voxels(geometry)
    nothing = np.zeros(mask.shape, int)
    for letter, edge in zip(letters, ("left", "right", "top", "bottom"), strict=True):
        axis, sense = IN_RAS[letter]
        view = look_at(region, {1}, sense * ras[axis][None], nothing, mask.astype(int), np.ones(mask.shape), geometry)
        assert "".join(view.letters) == letters
        shown = view.image.astype(int)
        ends = {"left": (shown[:, 0], shown[:, -1]), "top": (shown[0], shown[-1])}
        ends |= {"right": ends["left"][::-1], "bottom": ends["top"][::-1]}
        here, opposite = ends[edge]
        assert (here > opposite).all()


@pytest.mark.parametrize("kind", list(AXES))
def test_the_slice_with_most_of_the_region_is_shown_with_its_suggestion(kind):
    axes, spacing, _ = AXES[kind]
    geometry = placed(axes, spacing)
    mask = np.zeros(geometry.array_shape, bool)
    mask[12:16, 14:19, 15:22] = True
    mask[13, 14:24, 15:28] = True
    mask[12:20, 16, 15:20] = True
    label = np.zeros(mask.shape, int)
    label[12:16, 10:14, 15:22] = 1
    region_map = mask.astype(int)
    region_map[12:14, 26:28, 15:17] = 2  # another piece of the same error
    region_map[12:14, 29:31, 15:17] = 3  # another error
    view = look_at(one_region(mask, geometry), {1, 2}, label[None] * 1.0, label, region_map, 1 - 0.75 * mask, geometry)
    normal = 0 if kind.startswith("thin") is False and max(spacing) > 2 else None
    counts = [mask.sum(axis=tuple(n for n in range(3) if n != axis)).max() for axis in range(3)]
    in_picture = int((view.confidence == 64).sum())
    assert in_picture == counts[0] if normal == 0 else in_picture in counts
    assert ((view.suggested == 1) >= (view.label == 1)).all()
    assert ((view.suggested == 1) & (view.label == 0) & (view.confidence == 64)).sum() == in_picture


def test_rows_and_columns_are_true_to_scale():
    geometry = placed(AXES["axial"][0], (0.5, 1.0, 3.0))
    mask = np.zeros(geometry.array_shape, bool)
    mask[12, 10:20, 10:30] = True
    view = look_at(one_region(mask, geometry), {1}, mask[None] * 1.0, mask * 1, mask * 1, 1.0 - mask, geometry)
    assert view.step == (1.0, 0.5)
    rows, columns = view.label.shape
    panel = draw(view).size[1]
    assert PANEL in (panel, (draw(view).size[0] - 72) // 2)
    assert panel / ((draw(view).size[0] - 72) / 2) == pytest.approx(rows * 1.0 / (columns * 0.5), rel=0.03)


def test_the_drawing_has_both_outlines_and_colours_only_doubt():
    geometry = placed(AXES["axial"][0], (1.0, 1.0, 3.0))
    label, mask = np.zeros(geometry.array_shape, int), np.zeros(geometry.array_shape, bool)
    label[12, 10:20, 10:16], mask[12, 10:20, 16:22] = 1, True
    view = look_at(
        one_region(mask, geometry), {1}, np.zeros((1, *mask.shape)), label, mask * 1, 1 - 0.9 * mask, geometry
    )
    picture = np.array(draw(view))
    half = (picture.shape[1] - 64 - 8) // 2
    left, right = picture[:, :half], picture[:, half + 8 : 2 * half + 8]
    for colour in (GIVEN, SUGGESTED):
        assert (left == colour).all(-1).sum() > 100
    assert not (right == SUGGESTED).all(-1).any()
    magenta = (right[..., 0] > 90) & (right[..., 1] < 60) & (right[..., 2] > 60)
    assert magenta.sum() == pytest.approx(60 * half * picture.shape[0] / view.label.size, rel=0.15)
    sure = look_at(
        one_region(mask, geometry), {1}, np.zeros((1, *mask.shape)), label, mask * 1, 0 * mask + 0.95, geometry
    )
    plain = np.array(draw(sure))[:, half + 8 : 2 * half + 8].astype(int)
    coloured = (plain.max(-1) - plain.min(-1) > 40) & ~(plain == GIVEN).all(-1)
    assert not coloured.any()


def test_a_photograph_has_colours_and_pixels_but_no_sides():
    flat = Geometry((50, 40), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mask = np.zeros((40, 50), bool)
    mask[10:20, 5:25] = True
    image = np.random.default_rng(0).integers(0, 256, (3, 40, 50)).astype(np.float32)
    view = look_at(one_region(mask, flat), {1}, image, mask * 1, mask * 1, 1.0 - mask, flat, picture=True)
    assert (view.letters, view.unit) == ((), "pixels")
    assert view.image.shape == (*view.label.shape, 3)
    start = image[:, :, 0].T.astype(np.uint8)  # the window reaches the left edge
    assert any(np.array_equal(view.image[:, 0], start[n : n + len(view.image)]) for n in range(40))


def test_huge_regions_are_thinned():
    flat = Geometry((3000, 2000), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mask = np.ones((2000, 3000), bool)
    view = look_at(one_region(mask, flat), {1}, mask[None] * 1.0, mask * 1, mask * 1, 1.0 - mask, flat, picture=True)
    assert max(view.label.shape) <= 160
    assert view.step == (19.0, 19.0)


def test_the_first_piece_of_an_error_stands_for_it():
    flat = Geometry((9, 9), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mask = np.eye(9, dtype=bool)
    pieces = [
        one_region(mask, flat, region_id=n, error_id=e, expected_wrong=w)
        for n, e, w in ((1, 1, 2.0), (2, 1, 5.0), (3, 2, 1.0))
    ]
    found = first_pieces(pieces)
    assert [(region.region_id, ids) for region, ids in found] == [(2, {1, 2}), (3, {3})]


def test_a_long_list_is_cut_and_says_so_and_earlier_pictures_go(tmp_path: Path):
    flat = Geometry((30, 30), (1.0, 1.0), (0.0, 0.0), (1.0, 0.0, 0.0, 1.0))
    mask = np.zeros((30, 30), bool)
    mask[10:14, 10:14] = True
    rows, views = [], RegionViews()
    for n in range(1, MOST_ROWS + 8):
        rows.append(one_region(mask, flat, rank=n, region_id=n))
        views.add(
            rows[-1], look_at(rows[-1], {1}, mask[None] * 1.0, mask * 1, mask * n, 1.0 - mask, flat, picture=True)
        )
    files = {"case": {"regions": str(tmp_path / "case" / "regions.png")}}
    page = Path(write_page(rows, views, tmp_path, files, ["About 3 <b> are real."]))
    text = page.read_text(encoding="utf-8")
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 7} rows are shown" in text
    assert text.count("<img ") == MOST_ROWS
    assert "About 3 &lt;b&gt; are real." in text
    assert "mm³" not in text
    assert len(list((tmp_path / "case" / "overlays").iterdir())) == MOST_ROWS
    write_page(rows[:2], views, tmp_path, files, [])
    assert len(list((tmp_path / "case" / "overlays").iterdir())) == 2
    write_page([], views, tmp_path, files, [])
    assert "No doubtful region was found." in page.read_text(encoding="utf-8")
