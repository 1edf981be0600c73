"""Names and lists that come from, or go to, another system than the one that reads them."""

from __future__ import annotations

import json
import sys
import unicodedata

import numpy as np
import pytest
from folder_layouts import lay, names
from grids import grid, noise

from DALESegmentLib.engine.commands.result_files import check_free
from DALESegmentLib.engine.io.array_cases import load_array_case, save_array_case
from DALESegmentLib.engine.io.case import Case, CaseSource
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import read_image, write_image
from DALESegmentLib.engine.rpc.file_names import relative

USER = "Jürgen Müller (Klinik) – Łódź"


def items(*case_names: str, folder) -> list[dict]:
    lay(folder, "image.nii.gz")
    return [{"name": name, "images": [str(folder / "image.nii.gz")]} for name in case_names]


@pytest.mark.parametrize("name", ["T1 12:30", "C:evil", "con", "nul.1", "a.", "what?", "site/aux", "a|b"])
def test_windows_is_not_asked_for_folders_it_cannot_make(tmp_path, refused, monkeypatch, name):
    cases = items(name, folder=tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert names(find_cases(items=cases)) == [name]
    monkeypatch.setattr(sys, "platform", "win32")
    with refused("bad-name", "on Windows") if "/" not in name else pytest.raises(Exception, match="on Windows"):
        find_cases(items=cases)


@pytest.mark.parametrize("name", ["/evil", "\\evil", "../evil", "a/../../evil", "\\\\server\\share"])
@pytest.mark.parametrize("system", ["linux", "win32", "darwin"])
def test_no_name_leads_out_of_the_results(tmp_path, monkeypatch, name, system):
    """On Windows a path that begins with a slash is not absolute, and leads to the drive's root all the same."""
    cases = items(name, folder=tmp_path)
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(Exception, match="leads out") as caught:
        find_cases(items=cases)
    assert caught.value.code == "bad-name"


@pytest.mark.parametrize(("system", "apart"), [("linux", True), ("win32", False), ("darwin", False)])
@pytest.mark.parametrize("pair", [("case1", "Case1"), ("MÜLLER", "müller")])
def test_names_that_differ_in_capitals_are_one_folder_elsewhere(tmp_path, refused, monkeypatch, system, apart, pair):
    cases = items(*pair, folder=tmp_path)
    monkeypatch.setattr(sys, "platform", system)
    if apart:
        assert names(find_cases(items=cases)) == list(pair)
    else:
        with refused("duplicate-case", *pair, "capitals"):
            find_cases(items=cases)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_split_finds_its_cases_however_their_umlauts_are_written(tmp_path, form):
    """Else cases kept for tests would be learned from, without a word."""
    other = "NFD" if form == "NFC" else "NFC"
    lay(tmp_path, *(f"{unicodedata.normalize(form, case)}/image.nii.gz" for case in ("Müller", "Ångström")))
    split = {"train": ["Müller"], "test": ["Ångström"]}
    text = json.dumps({part: [unicodedata.normalize(other, name) for name in found] for part, found in split.items()})
    (tmp_path / "split.json").write_text(text, encoding="utf-8")
    assert len(find_cases(tmp_path, split="test")) == 1
    assert len(find_cases(tmp_path, split="learn")) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there a backslash is always one between folders")
def test_a_list_made_on_windows_is_read_elsewhere(tmp_path):
    lay(tmp_path, "d/a.nii.gz", "d/am.nii.gz", "p7/image.nii.gz", "back\\slash.nii.gz")
    rows = "image,label\r\nd\\a.nii.gz,d\\am.nii.gz\r\np7\\image.nii.gz,\r\nback\\slash.nii.gz,\r\n"
    (tmp_path / "cases.csv").write_bytes(b"\xef\xbb\xbf" + rows.encode())
    a, p7, odd = find_cases(list=tmp_path / "cases.csv")
    assert (a.images, a.label) == ((tmp_path / "d/a.nii.gz",), tmp_path / "d/am.nii.gz")
    assert (p7.name, p7.images) == ("p7", (tmp_path / "p7/image.nii.gz",))
    assert odd.images == (tmp_path / "back\\slash.nii.gz",)
    (tmp_path / "d.json").write_text(json.dumps({"training": [{"image": "d\\a.nii.gz"}]}))
    assert find_cases(list=tmp_path / "d.json")[0].images == (tmp_path / "d/a.nii.gz",)


def test_files_of_the_systems_own_are_no_cases(tmp_path):
    lay(tmp_path, "a/image.nii.gz", "a/._image.nii.gz", "a/.DS_Store", "a/Thumbs.db", "desktop.ini", "__MACOSX/x.txt")
    (found,) = find_cases(tmp_path)
    assert found.images == (tmp_path / "a/image.nii.gz",)


def test_cases_lie_in_a_folder_with_umlauts_and_blanks(tmp_path):
    """Through ITK, numpy and JSON."""
    folder = tmp_path / USER / "Größe α" / "Fälle"
    geometry = grid((6, 5, 4))
    label = np.zeros(geometry.array_shape, np.uint8)
    label[1:3, 1:4, 1:4] = 1
    for ending in (".nii.gz", ".nrrd", ".mha"):
        write_image(folder / f"Ä{ending}" / f"image{ending}", noise(geometry)[0], geometry)
        write_image(folder / f"Ä{ending}" / f"label{ending}", label, geometry)
    for source in find_cases(folder):
        assert (read_case(source).label == label).all()
    case = read_case(find_cases(folder)[0])
    save_array_case(Case("Ä", case.image, case.geometry, label=label, class_names={1: "Läsion"}), folder / "arrays")
    assert load_array_case(folder / "arrays").class_names == {1: "Läsion"}


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their names are always text")
def test_a_name_in_an_old_encoding_is_refused_before_itk_ends_the_process(tmp_path, refused):
    """ITK would end it: `terminate called after throwing an instance of 'std::logic_error'`."""
    folder = tmp_path / "J\udcfcrgen"
    geometry = grid((6, 5, 4))
    write_image(tmp_path / "a" / "image.nrrd", noise(geometry)[0], geometry)
    (tmp_path / "a").rename(folder)
    for broken in (folder, folder / "image.nrrd", folder / "missing.nrrd"):
        with refused("bad-path", "old encoding"):
            read_image(broken)
    with refused("bad-path", "old encoding"):
        write_image(folder / "b.nrrd", noise(geometry)[0], geometry)
    with refused("bad-path", "old encoding"):
        find_cases(folder)


@pytest.mark.parametrize("name", ["Confidence.nii.gz", "CONFIDENCE.npy", "confidence.nrrd"])
def test_a_result_never_replaces_an_input_that_differs_in_capitals(tmp_path, name):
    source = CaseSource("a", images=(tmp_path / "a" / "image.nii.gz",), label=tmp_path / "a" / name)
    with pytest.raises(Exception, match="would replace the one it is made from"):
        check_free(source, tmp_path / "a", "confidence")
    check_free(source, tmp_path / "b", "confidence")


@pytest.mark.parametrize("name", ["CON", "a/nul.json", "a:b.json", "x ", "com1.csv"])
def test_no_device_is_written_to_for_another_machine(name):
    with pytest.raises(Exception, match="fits no system"):
        relative(name)
