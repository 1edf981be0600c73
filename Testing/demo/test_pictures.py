"""What a newcomer needs to read the pictures stands on them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="the pictures are drawn with matplotlib")

import matplotlib.pyplot as plt
from matplotlib.colors import to_hex

from DALESegmentLib.demo import slicer_page
from DALESegmentLib.demo.report import round_length
from DALESegmentLib.demo.report_case import GIVEN, MODEL, REFERENCE, REGION, draw_colour_bar
from DALESegmentLib.demo.slicer_page import write_views

SIDES = {"Axial": ("R", "L", "P", "A"), "Sagittal": ("A", "P", "I", "S"), "Coronal": ("R", "L", "I", "S")}


@pytest.mark.parametrize(
    ("longest", "length"), [(24.0, 20), (50.0, 50), (9.9, 5), (1.0, 1), (0.0042, 0.002), (7300.0, 5000)]
)
def test_a_scale_bar_has_a_round_length_at_any_voxel_size(longest, length):
    assert round_length(longest) == pytest.approx(length)


def test_the_colour_bar_reaches_from_0_to_1():
    figure = plt.figure()
    bar = draw_colour_bar(figure, (0.1, 0.1, 0.1, 0.8))
    assert bar.get_ylim() == (0, 1)
    assert list(bar.get_yticks())[:: len(bar.get_yticks()) - 1] == [0, 1]
    plt.close(figure)


def test_slicers_views_get_title_sides_scale_and_legend(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(slicer_page.plt, "close", drawn.append)
    views = np.zeros((100, 300, 3), np.uint8)
    outlines = {"Label as given": GIVEN, "DALE": MODEL}
    write_views(tmp_path / "views.png", views, SIDES, 60.0, "Case a in Slicer's views", outlines)
    (figure,) = drawn
    texts = [text.get_text() for text in [*figure.texts, *(t for ax in figure.axes for t in ax.texts)]]
    assert {"Case a in Slicer's views", *SIDES} <= set(texts)
    assert {letter: texts.count(letter) for letter in "RLAPSI"} == {"R": 2, "L": 2, "A": 2, "P": 2, "S": 2, "I": 2}
    assert texts.count("20 mm") == 3
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(outlines)
    assert [to_hex(line.get_color()).upper() for line in legend.get_lines()] == [GIVEN, MODEL]
    assert (tmp_path / "views.png").read_bytes().startswith(b"\x89PNG")


def test_things_are_told_apart_by_their_colours():
    assert len({GIVEN, REFERENCE, MODEL, REGION}) == 4
