"""Tables that lie beside a label and say what its values are called."""

from __future__ import annotations

import json

import numpy as np
import pytest
from grids import grid

from DALESegmentLib.engine.io.class_names import names_for
from DALESegmentLib.engine.io.colour_tables import names_beside, read_table
from DALESegmentLib.engine.io.images import write_image

TABLES = {
    "colours.ctbl": "# Color table file\n0 Background 0 0 0 0\n1 left_kidney 200 10 10 255\n3 cyst 0 200 0 255\n",
    "FreeSurferColorLUT.txt": "#No. Label Name:  R G B A\n\n0  Unknown  0 0 0 0\n1  left_kidney  70 130 180 0\n"
    "3  cyst  245 245 245 0\n",
    "labels.txt": '################\n# ITK-SnaP Label Description File\n    0  0 0 0  0  0  0  "Clear Label"\n'
    '    1  255 0 0  1  1  1  "left_kidney"\n    3  0 255 0  0.5  1  1  "cyst"\n',
    "labels.csv": "label,name,colour\n1,left_kidney,red\n3,cyst,green\n",
    "Segmentation-label_ColorTable.csv": "LabelValue,Name,Color_R\n1,left_kidney,2\n3,cyst,4\n",
    "classes.tsv": "index\tname\n1\tleft_kidney\n3\tcyst\n",
}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("place", ["case", "."])
def test_a_table_beside_the_label_names_its_values(tmp_path, table, place):
    values = np.zeros((4, 6, 6), np.uint8)
    values[1, 2, 2], values[2, 3, 3] = 1, 3
    (tmp_path / "case").mkdir()
    write_image(tmp_path / "case" / "label.nii.gz", values, grid(values.shape[::-1]))
    (tmp_path / place / table).write_text(TABLES[table])
    assert names_for(values, tmp_path / "case" / "label.nii.gz") == {1: "left_kidney", 3: "cyst"}


def test_tables_that_disagree_or_are_none_name_nothing(tmp_path):
    values = np.ones((2, 2), np.uint8)
    (tmp_path / "labels of images.csv").write_text("image,label\na.png,1\nb.png,0\n")
    (tmp_path / "classes of cases.csv").write_text("id,class\n1,benign\n2,malignant\n3,benign\n")
    (tmp_path / "label notes.txt").write_text("1 is the kidney, drawn by hand\n")
    assert names_for(values, tmp_path / "a.png") == {1: "class 1"}
    for name, text in (("labels.ctbl", f"{'9' * 5000} kidney 1 2 3 255\n"), ("labels.csv", "value,name\n²,kidney\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        assert read_table(tmp_path / name) == {}
        (tmp_path / name).unlink()
    for called in ({1: "kidney"}, {1: "spleen"}):  # also where it was changed in place
        (tmp_path / "labels.csv").write_text(f"value,name\n1,{called[1]}\n")
        assert names_beside(tmp_path / "a.nii.gz") == called
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "one.ctbl").write_text("1 kidney 1 2 3 255\n")
    assert names_for(values, tmp_path / "a.png") == {1: "kidney"}
    (tmp_path / "two.ctbl").write_text("1 liver 1 2 3 255\n")
    assert names_for(values, tmp_path / "a.png") == {1: "class 1"}
    (tmp_path / "a.txt").write_text("1 spleen 1 2 3\n")  # called as the label
    assert names_for(values, tmp_path / "a.png") == {1: "spleen"}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "nerve": 1}}))
    assert names_for(values, tmp_path / "a.png") == {1: "nerve"}
