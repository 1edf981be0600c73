"""The layouts of public data sets, each known by its structure: which file is the image, which the label."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from folder_layouts import lay, names
from grids import grid

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.case_files import read_case
from DALESegmentLib.engine.io.find_cases import find_cases
from DALESegmentLib.engine.io.images import write_image


def files(sources) -> dict[str, tuple[list[str], str | None]]:
    """{case: (names of images, name of label)}."""
    return {s.name: ([p.name for p in s.images], s.label and s.label.name) for s in sources}


def describe(folder: Path, **content: object) -> None:
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize("described", [False, True])
def test_case_names_that_end_in_four_digits_are_no_channels(tmp_path, described):
    lay(tmp_path, *(f"{part}/amos_{n:04}.nii.gz" for n in (0, 4, 7) for part in ("imagesTr", "labelsTr")))
    lay(tmp_path, "imagesTs/amos_0009.nii.gz", "imagesVa/amos_0005.nii.gz", "labelsVa/amos_0005.nii.gz")
    if described:
        describe(tmp_path, channel_names={"0": "CT"})
    found = find_cases(tmp_path)
    assert files(found)["amos_0004"] == (["amos_0004.nii.gz"], "amos_0004.nii.gz")
    assert files(found)["amos_0009"] == (["amos_0009.nii.gz"], None)
    assert {s.name: s.split for s in found}["amos_0005"] == "test"
    assert len(found) == 5


def test_numbers_without_a_first_channel_are_cases_and_with_one_channels(tmp_path):
    lay(tmp_path / "a", "imagesTr/x_0003.nii.gz", "imagesTr/x_0005.nii.gz")
    assert names(find_cases(tmp_path / "a")) == ["x_0003", "x_0005"]
    lay(tmp_path / "b", "imagesTr/x_0000.nii.gz", "imagesTr/x_0001.nii.gz")
    assert [len(s.images) for s in find_cases(tmp_path / "b")] == [2]
    lay(tmp_path / "c", "imagesTr/x_0001_0000.nii.gz", "imagesTr/x_0001_0001.nii.gz", "labelsTr/x_0001.nii.gz")
    assert files(find_cases(tmp_path / "c")) == {
        "x_0001": (["x_0001_0000.nii.gz", "x_0001_0001.nii.gz"], "x_0001.nii.gz")
    }


def test_channel_names_decide_where_there_are_no_labels(tmp_path):
    lay(tmp_path, *(f"imagesTr/p_{n:04}.png" for n in range(3)))
    describe(tmp_path, channel_names={"0": "grey"})
    assert len(find_cases(tmp_path)) == 3
    describe(tmp_path, channel_names={"0": "red", "1": "green", "2": "blue"})
    assert len(find_cases(tmp_path)) == 1


def test_a_folder_of_images_of_nnunet_is_read_as_a_part_of_its_data_set(tmp_path, refused):
    lay(tmp_path, *(f"imagesTr/a_{n:04}.png" for n in (0, 1)), "labelsTr/a.png")
    lay(tmp_path, *(f"imagesTs/{case}_{n:04}.png" for case in "bc" for n in (0, 1)))
    describe(tmp_path, channel_names={"0": "T1", "1": "T2"}, labels={"background": 0, "lesion": 1})
    found = find_cases(tmp_path / "imagesTs")
    assert files(found) == {case: ([f"{case}_0000.png", f"{case}_0001.png"], None) for case in "bc"}
    learned = find_cases(tmp_path / "imagesTr", split="learn")
    assert files(learned) == {"a": (["a_0000.png", "a_0001.png"], "a.png")}
    (tmp_path / "imagesTr" / "a_0001.png").unlink()  # which is no matter of the other part
    assert len(find_cases(tmp_path / "imagesTs")) == 2
    with refused("channel-count", "a has 1 of the 2 channels"):
        find_cases(tmp_path / "imagesTr")


def test_the_dictionary_dataset_of_nnunet(tmp_path, refused):
    lay(tmp_path, "data/a.png", "data/a2.png", "masks/a_mask.png", "data/b.png", "data/b2.png")
    describe(
        tmp_path,
        labels={"background": 0, "cell": 1},
        dataset={
            "one": {"images": ["data/a.png", "data/a2.png"], "label": "masks/a_mask.png"},
            "two": {"images": ["data/b.png", "data/b2.png"]},
        },
    )
    found = find_cases(tmp_path)
    assert files(found) == {"one": (["a.png", "a2.png"], "a_mask.png"), "two": (["b.png", "b2.png"], None)}
    assert found[0].class_names == {1: "cell"}
    describe(tmp_path, dataset={"one": {"label": "x"}})
    with refused("bad-json", "one", "images"):
        find_cases(tmp_path)


def test_btcv(tmp_path):
    for number, parts in enumerate((("imagesTr", "labelsTr"), ("img", "label"))):
        root = tmp_path / str(number)
        lay(
            root,
            *(
                f"{part}/{word}{n:04}.nii.gz"
                for n in (1, 2)
                for part, word in zip(parts, ("img", "label"), strict=True)
            ),
        )
        assert files(find_cases(root)) == {
            "img0001": (["img0001.nii.gz"], "label0001.nii.gz"),
            "img0002": (["img0002.nii.gz"], "label0002.nii.gz"),
        }


def test_lits_also_in_batches(tmp_path):
    lay(tmp_path / "flat", *(f"{word}-{n}.nii" for n in (0, 1, 10) for word in ("volume", "segmentation")))
    assert files(find_cases(tmp_path / "flat")) == {
        f"volume-{n}": ([f"volume-{n}.nii"], f"segmentation-{n}.nii") for n in (0, 1, 10)
    }
    for batch, numbers in (("Batch 1", (0, 1)), ("Batch 2", (2, 3))):
        lay(tmp_path / "b" / batch, *(f"{w}-{n}.nii" for n in numbers for w in ("volume", "segmentation")))
    assert [s.label.name for s in find_cases(tmp_path / "b")] == [f"segmentation-{n}.nii" for n in range(4)]


def test_brats_of_two_years(tmp_path):
    for case in ("BraTS20_Training_001", "BraTS20_Training_002"):
        lay(tmp_path / "old" / "HGG", *(f"{case}/{case}_{end}.nii.gz" for end in ("t1", "t1ce", "t2", "flair", "seg")))
    assert files(find_cases(tmp_path / "old"))["BraTS20_Training_002"] == (
        [f"BraTS20_Training_002_{end}.nii.gz" for end in ("t1", "t1ce", "t2", "flair")],
        "BraTS20_Training_002_seg.nii.gz",
    )
    case = "BraTS-GLI-00005-100"
    lay(tmp_path / "new", *(f"{case}/{case}-{end}.nii.gz" for end in ("t1n", "t1c", "t2w", "t2f", "seg")))
    (source,) = find_cases(tmp_path / "new")
    assert [p.name for p in source.images] == [f"{case}-{end}.nii.gz" for end in ("t1n", "t1c", "t2w", "t2f")]
    assert source.label.name == f"{case}-seg.nii.gz"
    assert source.layout == "BraTS"
    assert len(find_cases(tmp_path / "new", image="t2f")[0].images) == 1


def test_kits(tmp_path):
    for n in (0, 1):
        lay(tmp_path / f"case_{n:05}", "imaging.nii.gz", "segmentation.nii.gz", "instances/kidney_instance-1.nii.gz")
        lay(tmp_path / f"case_{n:05}", "aggregated_MAJ_seg.nii.gz")
    assert files(find_cases(tmp_path))["case_00001"] == (["imaging.nii.gz"], "segmentation.nii.gz")


def test_totalsegmentator_has_a_mask_a_class(tmp_path):
    for n in (11, 12):
        lay(tmp_path / f"s{n:04}", "ct.nii.gz", "segmentations/liver.nii.gz", "segmentations/spleen.nii.gz")
    found = find_cases(tmp_path)
    assert [sorted(s.class_files) for s in found] == [["liver", "spleen"]] * 2
    assert found[0].images == (tmp_path / "s0011/ct.nii.gz",)
    assert found[0].has_label


def test_isic(tmp_path):
    images, masks = "ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth"
    for n in (0, 1):
        lay(tmp_path, f"{images}/ISIC_{n:07}.jpg", f"{masks}/ISIC_{n:07}_segmentation.png")
        lay(tmp_path, f"{images}/ISIC_{n:07}_superpixels.png")
    assert files(find_cases(tmp_path)) == {
        f"ISIC_{n:07}": ([f"ISIC_{n:07}.jpg"], f"ISIC_{n:07}_segmentation.png") for n in (0, 1)
    }
    lay(tmp_path / "flat", *(f"ISIC_{n:07}{end}" for n in (0, 1) for end in (".jpg", "_segmentation.png")))
    assert files(find_cases(tmp_path / "flat"))["ISIC_0000001"] == (
        ["ISIC_0000001.jpg"],
        "ISIC_0000001_segmentation.png",
    )


def test_acdc_has_two_labelled_frames_a_patient(tmp_path):
    lay(tmp_path / "patient001", *(f"patient001_frame{n:02}{gt}.nii.gz" for n in (1, 12) for gt in ("", "_gt")))
    lay(tmp_path / "patient001", "patient001_4d.nii.gz")
    found = find_cases(tmp_path)
    assert files(found)["patient001_frame12"] == (["patient001_frame12.nii.gz"], "patient001_frame12_gt.nii.gz")
    assert [s.patient for s in found] == ["patient001", "patient001"]


def test_train_and_validation_folders(tmp_path):
    for part, n in (("train", 1), ("train", 2), ("val", 3), ("test", 4)):
        lay(tmp_path, f"{part}/images/{n}.png", f"{part}/masks/{n}_mask.png")
    found = find_cases(tmp_path)
    assert [(s.name, s.split) for s in found] == [("4", "test"), ("1", "train"), ("2", "train"), ("3", "test")]
    assert all(s.label is not None for s in found)
    lay(tmp_path, "val/images/1.png", "val/masks/1.png")
    assert {"train_1", "val_1"} < set(names(find_cases(tmp_path)))


@pytest.mark.parametrize("mask", ["p{}_mask", "p{}", "p{}-seg", "mask_p{}", "P{}_GT", "p{}_lesion"])
def test_masks_whose_names_say_more(tmp_path, mask):
    lay(tmp_path, *(f"images/p{n}.png" for n in range(3)), *(f"masks/{mask.format(n)}.png" for n in range(3)))
    assert [s.label and s.label.name for s in find_cases(tmp_path)] == [f"{mask.format(n)}.png" for n in range(3)]


def test_masks_of_several_raters_are_listed_and_picked(tmp_path, refused):
    for n in range(2):
        lay(tmp_path, f"images/x{n}.png", *(f"masks/x{n}_r{r}.png" for r in (1, 2, 10)))
    source = find_cases(tmp_path)[0]
    assert (source.label, source.candidates) == (None, ("r1", "r2", "r10"))
    assert [s.label.name for s in find_cases(tmp_path, rater="2")] == ["x0_r2.png", "x1_r2.png"]
    assert find_cases(tmp_path, label="r10")[0].label.name == "x0_r10.png"
    with refused("no-label", "rater 3", "r1"):
        find_cases(tmp_path, rater="3")
    lay(tmp_path / "lidc" / "n1", "image.nii.gz", "label_1.nii.gz", "label_2.nii.gz")
    (source,) = find_cases(tmp_path / "lidc")
    assert (source.label, source.candidates) == (None, ("label_1", "label_2"))
    assert find_cases(tmp_path / "lidc", rater="1")[0].label.name == "label_1.nii.gz"


def test_one_rater_alone_is_a_question_too(tmp_path):
    lay(tmp_path, "images/x.png", "masks/x_r1.png")
    (source,) = find_cases(tmp_path)
    assert (source.label, source.candidates) == (None, ("r1",))


def test_raters_and_classes_in_folders_of_masks(tmp_path):
    lay(tmp_path / "r", "images/a.png", "masks/rater1/a.png", "masks/rater2/a.png")
    assert find_cases(tmp_path / "r")[0].candidates == ("rater1", "rater2")
    lay(tmp_path / "c", "images/a.png", "masks/liver/a.png", "masks/kidney/a.png")
    assert sorted(find_cases(tmp_path / "c")[0].class_files) == ["kidney", "liver"]


def test_a_folder_that_slicer_saved(tmp_path, refused):
    lay(tmp_path / "1", "scene.mrml", "CT.nrrd", "Segmentation.seg.nrrd")
    lay(tmp_path / "2", "scene.mrml", "CT.nrrd", "CT.seg.nrrd", "F.mrk.json")
    one, two = find_cases(tmp_path)
    assert files([one, two]) == {"1": (["CT.nrrd"], "Segmentation.seg.nrrd"), "2": (["CT.nrrd"], "CT.seg.nrrd")}
    lay(tmp_path / "3", "image.nii.gz", "Segmentation.seg.nrrd")
    assert find_cases(tmp_path / "3")[0].label.name == "Segmentation.seg.nrrd"
    lay(tmp_path / "4", "a.nrrd", "b.nrrd", "x.seg.nrrd", "y.seg.nrrd")
    with refused("image-unclear", "--image", "a, b, x, y"):
        find_cases(tmp_path / "4")


@pytest.mark.parametrize(
    "pair",
    [("ct", "seg"), ("imaging", "segmentation"), ("image", "mask"), ("image", "gt"), ("t1", "manual"), ("a", "a_gt")],
)
def test_case_folders_with_other_words(tmp_path, pair):
    lay(tmp_path, *(f"{case}/{name}.nii.gz" for case in "xy" for name in pair))
    assert files(find_cases(tmp_path)) == {case: ([f"{pair[0]}.nii.gz"], f"{pair[1]}.nii.gz") for case in "xy"}


def test_bids_with_masks_among_the_derivatives(tmp_path):
    lay(tmp_path, "dataset_description.json", "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/func/sub-01_task-x_bold.nii.gz")
    lay(tmp_path, "sub-02/ses-a/anat/sub-02_ses-a_T1w.nii.gz", "sub-02/ses-b/anat/sub-02_ses-b_T1w.nii.gz")
    masks = "derivatives/manual"
    lay(tmp_path, f"{masks}/sub-01/anat/sub-01_space-orig_dseg.nii.gz")
    lay(tmp_path, f"{masks}/sub-02/ses-b/anat/sub-02_ses-b_label-lesion_mask.nii.gz")
    (tmp_path / masks / "dseg.tsv").write_text("index\tname\n0\tbackground\n1\tgrey\n2\twhite\n")
    found = find_cases(tmp_path)
    assert files(found) == {
        "sub-01": (["sub-01_T1w.nii.gz"], "sub-01_space-orig_dseg.nii.gz"),
        "sub-02_ses-a": (["sub-02_ses-a_T1w.nii.gz"], None),
        "sub-02_ses-b": (["sub-02_ses-b_T1w.nii.gz"], "sub-02_ses-b_label-lesion_mask.nii.gz"),
    }
    assert (found[0].class_names, found[2].class_names) == ({1: "grey", 2: "white"}, {1: "lesion"})


def test_bids_with_several_modalities_asks_and_takes_them_as_channels(tmp_path, refused):
    for n in ("01", "02"):
        lay(tmp_path, f"sub-{n}/anat/sub-{n}_T1w.nii.gz", f"sub-{n}/anat/sub-{n}_FLAIR.nii.gz")
        lay(tmp_path, f"derivatives/l/sub-{n}/anat/sub-{n}_label-L_mask.nii.gz")
        lay(tmp_path, f"derivatives/l/sub-{n}/anat/sub-{n}_label-R_mask.nii.gz")
    with refused("image-unclear", "T1w", "FLAIR", "--image"):
        find_cases(tmp_path)
    one = find_cases(tmp_path, image="T1w,FLAIR")[0]
    assert [p.name for p in one.images] == ["sub-01_T1w.nii.gz", "sub-01_FLAIR.nii.gz"]
    assert sorted(one.class_files) == ["L", "R"]


def test_one_folder_around_a_data_set(tmp_path):
    lay(tmp_path, "nnUNet_raw/Dataset001_x/imagesTr/a_0000.nii.gz", "nnUNet_raw/Dataset001_x/labelsTr/a.nii.gz")
    assert files(find_cases(tmp_path)) == {"a": (["a_0000.nii.gz"], "a.nii.gz")}


@pytest.mark.parametrize(
    "head", ["image;Label", "Image,MASK", "img\tseg", "Image Path,Ground Truth", "filename,mask_path", "id,image,label"]
)
def test_columns_of_other_names(tmp_path, head):
    lay(tmp_path, "x.nii.gz", "y.nii.gz")
    mark = next(mark for mark in ";,\t" if mark in head)
    row = ["x.nii.gz", "y.nii.gz"] if "id" not in head else ["first", "x.nii.gz", "y.nii.gz"]
    (tmp_path / "list.csv").write_text(f"{head}\n{mark.join(row)}\n")
    (source,) = find_cases(list=tmp_path / "list.csv")
    assert files([source]) == {source.name: (["x.nii.gz"], "y.nii.gz")}
    assert source.name == ("first" if "id" in head else "x")


def test_two_columns_that_may_be_the_label(tmp_path, refused):
    lay(tmp_path, "x.nii.gz", "y.nii.gz")
    (tmp_path / "list.csv").write_text("image,mask,seg\nx.nii.gz,y.nii.gz,y.nii.gz\n")
    with refused("bad-list", "mask and seg", "label"):
        find_cases(list=tmp_path / "list.csv")


def test_other_pairs_of_folders(tmp_path):
    parts = (("JPEGImages", ".jpg"), ("SegmentationClass", ".png"))
    lay(tmp_path / "voc", *(f"{part}/{n}{end}" for n in "ab" for part, end in parts))
    assert files(find_cases(tmp_path / "voc"))["b"] == (["b.jpg"], "b.png")
    lay(tmp_path / "ct", *(f"{part}/{n}.nii.gz" for n in "123" for part in ("CT", "Labels")))
    assert files(find_cases(tmp_path / "ct"))["2"] == (["2.nii.gz"], "2.nii.gz")
    flare = [f"images/F_{n:04}_{c:04}.nii.gz" for n in (1, 2) for c in (0, 1)]
    lay(tmp_path / "flare", *flare, *(f"labels/F_{n:04}.nii.gz" for n in (1, 2)))
    found = files(find_cases(tmp_path / "flare"))
    assert found["F_0002"] == (["F_0002_0000.nii.gz", "F_0002_0001.nii.gz"], "F_0002.nii.gz")


def test_a_folder_for_each_file_of_a_case(tmp_path):
    for n in (2, 3):
        lay(tmp_path / f"IMD{n:03}", f"IMD{n:03}_Image/IMD{n:03}.bmp", f"IMD{n:03}_lesion/IMD{n:03}_lesion.bmp")
    assert files(find_cases(tmp_path)) == {f"IMD{n:03}": ([f"IMD{n:03}.bmp"], f"IMD{n:03}_lesion.bmp") for n in (2, 3)}


def test_a_label_with_the_number_of_its_case_is_no_raters(tmp_path):
    lay(tmp_path, "0001/data.nii.gz", "0001/label0001.nii.gz", "0002/data.nii.gz", "0002/label0002.nii.gz")
    assert files(find_cases(tmp_path))["0002"] == (["data.nii.gz"], "label0002.nii.gz")


def test_bids_with_raw_data_in_a_folder_of_its_own(tmp_path):
    lay(tmp_path, "rawdata/sub-v1/sub-v1_ct.nii.gz", "derivatives/sub-v1/sub-v1_seg-vert_msk.nii.gz")
    assert files(find_cases(tmp_path)) == {"sub-v1": (["sub-v1_ct.nii.gz"], "sub-v1_seg-vert_msk.nii.gz")}


def test_case_folders_are_no_pairs_of_folders(tmp_path):
    lay(tmp_path, *(f"{case}/{name}.nrrd" for case in ("patient", "segmented") for name in ("image", "label")))
    assert files(find_cases(tmp_path)) == {c: (["image.nrrd"], "label.nrrd") for c in ("patient", "segmented")}


def test_hecktor(tmp_path):
    """Two underscores before the modality; since 2025 a folder a case."""
    old = tmp_path / "old"
    lay(old, *(f"imagesTr/{case}__{kind}.nii.gz" for case in ("CHUM-001", "MDA_017") for kind in ("PT", "CT")))
    lay(old, *(f"labelsTr/{case}.nii.gz" for case in ("CHUM-001", "MDA_017")))
    lay(old, "imagesTs/CHUP-002__CT.nii.gz", "imagesTs/CHUP-002__PT.nii.gz")
    pair = ["CHUM-001__CT.nii.gz", "CHUM-001__PT.nii.gz"]
    found = find_cases(old)
    assert files(found)["CHUM-001"] == (pair, "CHUM-001.nii.gz")
    assert files(found)["CHUP-002"][1] is None
    assert {s.name: s.split for s in found} == {"CHUM-001": "train", "MDA_017": "train", "CHUP-002": "test"}
    assert found[0].image_names == ("CT", "PT")
    new = tmp_path / "new"
    lay(new, *(f"{c}/{c}{end}.nii.gz" for c in ("CHUM-001", "CHUM-002") for end in ("__CT", "__PT", "")))
    assert files(find_cases(new))["CHUM-001"] == (pair, "CHUM-001.nii.gz")
    lay(tmp_path / "no", *(f"{part}/x__{n}.nii.gz" for part in ("imagesTr", "labelsTr") for n in "ab"))
    assert names(find_cases(tmp_path / "no")) == ["x__a", "x__b"]


@pytest.mark.parametrize("place", ["", "pre/"])
def test_wmh_challenge(tmp_path, place):
    for site, cases in (("Utrecht", (0, 2)), ("Singapore", (50,)), ("Amsterdam/GE3T", (0,))):
        for case in cases:
            lay(tmp_path / site / str(case), "pre/FLAIR.nii.gz", "pre/T1.nii.gz", f"{place}wmh.nii.gz")
            lay(tmp_path / site / str(case), "orig/FLAIR.nii.gz", "orig/3DT1.nii.gz")
    found = find_cases(tmp_path)
    assert len(found) == 4
    assert all(f == (["FLAIR.nii.gz", "T1.nii.gz"], "wmh.nii.gz") for f in files(found).values())
    assert {path.parent.name for s in found for path in s.images} == {"pre"}
    assert {s.class_names[2] for s in found} == {"ignore"}
    assert len(find_cases(tmp_path / "Utrecht")) == 2


def test_other_pathology_of_wmh_is_not_annotated(tmp_path):
    values = np.zeros((4, 6, 6), np.uint8)
    values[1, 2:4, 2:4], values[2, 2:4, 2:4] = 1, 2
    for case in ("0", "2"):
        for name in ("pre/FLAIR", "pre/T1", "wmh"):
            path = lay(tmp_path / "Utrecht" / case, f"{name}.nii.gz") / f"{name}.nii.gz"
            array = values if name == "wmh" else np.random.default_rng(0).random(values.shape).astype(np.float32)
            write_image(path, array, grid(values.shape[::-1]))
    case = read_case(find_cases(tmp_path)[0])
    assert np.array_equal(case.label, values == 1)
    assert np.array_equal(case.annotated, values != 2)
    assert case.class_names == {1: "white matter hyperintensity"}


def test_scenes_that_slicer_packed_are_named_with_what_unpacks_them(tmp_path, refused):
    scenes = tmp_path / "scenes"
    for name in ("first one", "second"):
        source = lay(tmp_path / "saved" / name, f"{name}.mrml", "Data/CT.nrrd", "Data/Segmentation.seg.nrrd")
        scenes.mkdir(exist_ok=True)
        with zipfile.ZipFile(scenes / f"{name}.mrb", "w") as packed:
            for path in sorted(source.rglob("*")):
                packed.write(path, path.relative_to(source.parent))
    command = "python -m zipfile -e 'first one.mrb' 'first one'"
    with refused("no-cases", "2 packed files", command):
        find_cases(scenes)
    with refused("unknown-format", command, "choose the folder first one"):
        find_cases(scenes / "first one.mrb")
    for name in ("first one", "second"):
        subprocess.run([sys.executable, "-m", "zipfile", "-e", f"{name}.mrb", name], cwd=scenes, check=True)
    assert files(find_cases(scenes)) == {
        name: (["CT.nrrd"], "Segmentation.seg.nrrd") for name in ("first one", "second")
    }


def test_where_a_channel_is_missing_the_label_is_not_proposed_as_an_image(tmp_path):
    lay(tmp_path, "A/A__CT.nii.gz", "A/A__PT.nii.gz", "A/A.nii.gz", "B/B__CT.nii.gz", "B/B.nii.gz")
    with pytest.raises(EngineError, match="for instance --image B__CT\\."):
        find_cases(tmp_path)


def test_channels_on_other_voxels_are_not_called_a_label(tmp_path):
    lay(tmp_path, "imagesTr/a__CT.nii.gz", "imagesTr/a__PT.nii.gz", "labelsTr/a.nii.gz")
    for name, size in (("CT", 4), ("PT", 2)):
        path = tmp_path / "imagesTr" / f"a__{name}.nii.gz"
        write_image(path, np.arange(size**3, dtype=np.float32).reshape((size,) * 3), grid((size,) * 3))
    (source,) = find_cases(tmp_path)
    with pytest.raises(EngineError, match=r"resample a__PT\S+ to a__CT\S+ or name the channels to use by --image"):
        read_case(source)
