"""Slicer segmentations: names, colours, tags and overlaps survive."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from grids import grid, turned

from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.io.segmentations import (
    Segment,
    from_masks,
    read_segmentation,
    to_label_map,
    write_segmentation,
)

GEOMETRY = grid((12, 11, 8), (0.7, 0.8, 3.0), (-20.0, 5.0, 77.0), turned((0.2, -0.3, 0.4)))


def box(*spans: tuple[int, int]) -> np.ndarray:
    """True inside the (k, j, i) spans."""
    mask = np.zeros(GEOMETRY.array_shape, bool)
    mask[tuple(slice(*span) for span in spans)] = True
    return mask


LIVER, TUMOUR, VESSEL = (
    box((1, 6), (2, 9), (2, 8)),
    box((3, 7), (4, 10), (5, 11)),
    box((0, 1), (0, 3), (0, 3)),
)
MASKS = [LIVER, TUMOUR, VESSEL]


def segments() -> list[Segment]:
    return [
        Segment("Segment_1", "liver", (0.8, 0.4, 0.25), {"Segmentation.Status": "completed"}),
        Segment("Segment_7", "Läsion: links", (1.0, 0.0, 0.5), {"TerminologyEntry": "a~b^c|d", "Note": "x"}),
        Segment("v", "vessel"),
    ]


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "a.seg.nrrd"
    write_segmentation(path, from_masks(MASKS, segments(), GEOMETRY))
    return path


def test_overlaps_take_as_few_layers_as_they_can():
    segmentation = from_masks(MASKS, segments(), GEOMETRY)
    assert [(s.layer, s.label_value) for s in segmentation.segments] == [(0, 1), (1, 1), (0, 2)]
    assert segmentation.layers.shape == (2, *GEOMETRY.array_shape)


def test_round_trip(written):
    back = read_segmentation(written)
    assert back.geometry.difference(GEOMETRY) is None
    for segment, wanted, mask in zip(back.segments, segments(), MASKS, strict=True):
        assert (segment.id, segment.name, segment.tags) == (wanted.id, wanted.name, wanted.tags)
        assert np.allclose(segment.colour, wanted.colour)
        assert np.array_equal(back.mask(segment), mask)


def test_names_that_are_not_unicode_are_read_as_latin_1_and_broken_keys_refused(written, refused):
    whole = written.read_bytes()
    written.write_bytes(whole.replace("Läsion".encode(), "Läsion".encode("latin-1")))
    assert read_segmentation(written).segments[1].name == "Läsion: links"
    written.write_bytes(whole.replace(b"Segment1_Name", b"Segment1_N\xe4me"))
    with refused("unreadable-file"):
        read_segmentation(written)


def test_a_second_round_trip_changes_nothing(written, tmp_path):
    first = read_segmentation(written)
    first.attributes["ConversionParameters"] = "Smoothing factor|0.5|text&"
    write_segmentation(tmp_path / "b.seg.nrrd", first)
    second = read_segmentation(tmp_path / "b.seg.nrrd")
    assert second.segments == first.segments
    assert second.attributes == first.attributes
    assert np.array_equal(second.layers, first.layers)


def test_one_layer_and_an_empty_segment(tmp_path):
    both = [Segment("a", "a"), Segment("b", "empty")]
    write_segmentation(tmp_path / "a.seg.nrrd", from_masks([LIVER, LIVER & False], both, GEOMETRY))
    back = read_segmentation(tmp_path / "a.seg.nrrd")
    assert back.layers.shape == (1, *GEOMETRY.array_shape)
    assert [back.mask(s).sum() for s in back.segments] == [LIVER.sum(), 0]


def test_label_map_later_segments_win(written):
    label, names, overlap = to_label_map(read_segmentation(written), GEOMETRY)
    wanted = np.where(VESSEL, 3, np.where(TUMOUR, 2, LIVER))
    assert np.array_equal(label, wanted)
    assert names == {1: "liver", 2: "Läsion: links", 3: "vessel"}
    assert overlap == (LIVER & TUMOUR).sum() > 0


def test_values_of_any_size_survive(written, tmp_path):
    known = {"liver": 3, "Läsion: links": 40_000, "vessel": 1_000_000}
    label, names, _ = to_label_map(read_segmentation(written), GEOMETRY, known)
    assert set(np.unique(label).tolist()) == {0, 3, 40_000, 1_000_000}
    assert names == {value: name for name, value in known.items()}
    large = read_segmentation(written)
    large.layers = large.layers.astype(np.int32) * 300_000
    for segment in large.segments:
        segment.label_value *= 300_000
    write_segmentation(tmp_path / "large.seg.nrrd", large)
    again = read_segmentation(tmp_path / "large.seg.nrrd")
    for mask, segment in zip(MASKS, again.segments, strict=True):
        assert (again.mask(segment) == mask).all()


def test_label_map_with_the_data_sets_values(written, refused):
    values = {"vessel": 1, "liver": 5, "Läsion: links": 2}
    label, names, _ = to_label_map(read_segmentation(written), GEOMETRY, values)
    assert names == {1: "vessel", 2: "Läsion: links", 5: "liver"}
    assert np.array_equal(label == 1, VESSEL)
    with refused("unknown-segment", "vessel", "liver"):
        to_label_map(read_segmentation(written), GEOMETRY, {"liver": 1, "Läsion: links": 2})


def test_a_cropped_file_is_put_back_on_the_image(written, tmp_path):
    whole = sitk.ReadImage(str(written))
    cropped = sitk.Crop(whole, [2, 2, 0], [1, 1, 1])
    for key in whole.GetMetaDataKeys():
        if key.startswith("Segment"):
            cropped.SetMetaData(key, whole.GetMetaData(key))
    cropped.SetMetaData("Segmentation_ReferenceImageExtentOffset", "2 2 0")
    sitk.WriteImage(cropped, str(tmp_path / "c.seg.nrrd"))
    label, _, _ = to_label_map(read_segmentation(tmp_path / "c.seg.nrrd"), GEOMETRY)
    complete, _, _ = to_label_map(read_segmentation(written), GEOMETRY)
    inside = np.zeros_like(complete)
    inside[0:7, 2:10, 2:11] = complete[0:7, 2:10, 2:11]
    assert label.any()
    assert np.array_equal(label, inside)


def test_other_voxels_are_refused(written, refused):
    other = grid(GEOMETRY.size, (1, 1, 3), GEOMETRY.origin, GEOMETRY.direction)
    with refused("geometry-mismatch", "Slicer"):
        to_label_map(read_segmentation(written), other)


def test_damaged_headers(written, tmp_path, refused):
    write_image(tmp_path / "plain.seg.nrrd.nrrd", LIVER, GEOMETRY)
    (tmp_path / "plain.seg.nrrd.nrrd").rename(tmp_path / "plain.seg.nrrd")
    with refused("segmentation-header", "plain.seg.nrrd", "no segments"):
        read_segmentation(tmp_path / "plain.seg.nrrd")
    content = written.read_bytes()
    for wrong in (b"Segment0_Layer:=9", b"Segment0_Layer:=x"):
        (tmp_path / "w.seg.nrrd").write_bytes(content.replace(b"Segment0_Layer:=0", wrong))
        with refused("segmentation-header", "w.seg.nrrd"):
            read_segmentation(tmp_path / "w.seg.nrrd")
    with refused("unknown-format"):
        write_segmentation(tmp_path / "a.nrrd", read_segmentation(written))
