"""What a DICOM file is, told from its header."""

from __future__ import annotations

import os
import sys

import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from DALESegmentLib.engine.io.dicom import holds_dicom
from DALESegmentLib.engine.io.dicom_kind import article, is_dicom, kind_of_dicom, segments_in

STORAGE = "1.2.840.10008.5.1.4.1.1."


def write(path, sop: str, preamble: bool = True) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientName = "x"
    data.save_as(path, enforce_file_format=True)
    if not preamble:
        path.write_bytes(path.read_bytes()[132:])


KINDS = [
    (STORAGE + "2", "image"),
    (STORAGE + "4.1", "image"),
    (STORAGE + "7", "image"),
    (STORAGE + "481.1", "image"),
    (STORAGE + "77.1.6", "image"),
    ("1.3.12.2.1107.5.9.1.99", "image"),
    (STORAGE + "66.4", "segmentation"),
    (STORAGE + "66.7", "segmentation"),
    (STORAGE + "30", "parametric map"),
    (STORAGE + "481.2", "rtdose"),
    (STORAGE + "481.3", "rtstruct"),
    (STORAGE + "481.5", "rtplan"),
    (STORAGE + "88.33", "report"),
    (STORAGE + "88.59", "key objects"),
    (STORAGE + "11.1", "presentation state"),
    (STORAGE + "104.1", "document"),
    (STORAGE + "4.2", "other"),
]


@pytest.mark.parametrize(("sop", "kind"), KINDS)
def test_kinds(tmp_path, sop, kind):
    write(tmp_path / "x", sop)
    assert is_dicom(tmp_path / "x")
    assert kind_of_dicom(tmp_path / "x") == kind


def test_files_without_the_first_bytes_and_files_of_other_kinds(tmp_path):
    write(tmp_path / "a.dcm", STORAGE + "66.4", preamble=False)
    assert kind_of_dicom(tmp_path / "a.dcm") == "segmentation"
    for content in (b"", b"a letter", bytes(500), b"\x89PNG" * 100):
        (tmp_path / "b.dcm").write_bytes(content)
        assert kind_of_dicom(tmp_path / "b.dcm") == ""
    assert kind_of_dicom(tmp_path / "gone.dcm") == ""


def test_what_it_is_in_words():
    assert article("rtstruct") == "an RTSTRUCT (radiotherapy contours)"
    assert article("registration") == "a DICOM registration"
    assert article("other", STORAGE + "4.2") == "a DICOM MR Spectroscopy"


def test_a_folder_is_known_by_any_of_its_files(tmp_path):
    for n in range(5):
        (tmp_path / f"A{n}.json").write_text("{}")
    (tmp_path / "LOCKFILE").write_text("")
    write(tmp_path / "SEG", STORAGE + "66.4")
    write(tmp_path / "SR", STORAGE + "88.11")
    assert not holds_dicom(tmp_path)
    write(tmp_path / "z", STORAGE + "2")
    assert holds_dicom(tmp_path)


def test_pydicom_itself_reads_them(tmp_path):
    """The files of these tests are DICOM to others as well."""
    write(tmp_path / "x", STORAGE + "2")
    assert pydicom.dcmread(tmp_path / "x").SOPClassUID == STORAGE + "2"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes among files")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert not is_dicom(tmp_path / "pipe")
    assert segments_in(tmp_path) is None
