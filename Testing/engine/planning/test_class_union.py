"""Which class is which, where labels come to a model that knows other classes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.commands.dataset import find_labelled, unite_with_model
from DALESegmentLib.engine.commands.parameters import CasesParameter
from DALESegmentLib.engine.commands.prepared_cases import prepare_source
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.dale.label_state import IGNORED
from DALESegmentLib.engine.io.images import write_image
from DALESegmentLib.engine.io.segmentations import Segment, from_masks, write_segmentation
from DALESegmentLib.engine.planning.class_union import unite_classes
from DALESegmentLib.engine.planning.networks import NETWORKS, build, check_widened, design, widened
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.training.rehearsal import rehearsed
from Testing.phantoms import ball_case

MODEL = {1: "liver", 2: "spleen"}


@pytest.mark.parametrize(
    ("named", "numbered", "names", "new", "kept"),
    [
        (["liver", "spleen"], (), MODEL, (), ()),
        (["spleen", "liver"], (), MODEL, (), ()),  # another order
        (["spleen"], (), MODEL, (), (1,)),  # one is missing
        (["tumour"], (), {**MODEL, 3: "tumour"}, (3,), (1, 2)),
        (["tumour", "liver"], (), {**MODEL, 3: "tumour"}, (3,), (2,)),
        (["vessel", "tumour"], (), {**MODEL, 3: "vessel", 4: "tumour"}, (3, 4), (1, 2)),
        ([], (0, 1, 2), MODEL, (), ()),  # without names, by number
        ([], (0, 2), MODEL, (), (1,)),
        ([], (0, 5), {**MODEL, 5: "class 5"}, (5,), (1, 2)),
        (["tumour"], (5,), {**MODEL, 5: "class 5", 6: "tumour"}, (5, 6), (1, 2)),
    ],
)
def test_classes_are_matched_by_name(named, numbered, names, new, kept):
    found = unite_classes(MODEL, named, numbered)
    assert (dict(found.names), found.new, found.kept) == (names, new, kept)


def test_what_is_kept_and_new_is_said():
    assert unite_classes(MODEL, ["tumour"]).sentences() == (
        "kept: liver, spleen from the model's own prediction; new: tumour",
    )
    assert unite_classes(MODEL, ["spleen", "liver"]).sentences() == ()


def test_a_lone_class_without_a_name_takes_a_lone_one():
    found = unite_classes({1: "class 1"}, ["nodule"])
    assert (dict(found.names), found.new, found.kept) == ({1: "class 1"}, (), ())


@pytest.mark.parametrize("name", ["Liver", "SPLEEN", " liver "])
def test_names_that_differ_in_capitals_alone_are_asked_about(name):
    with pytest.raises(EngineError, match="write both in one way"):
        unite_classes(MODEL, [name])


def test_more_classes_than_a_model_learns_are_refused():
    with pytest.raises(EngineError) as problem:
        unite_classes(MODEL, [f"organ {n}" for n in range(70_000)])
    assert problem.value.code == "too-many-classes"


def a_set(folder, names, *, segments=False, values=None):
    """Two cases whose ball is cut into parts along i, one a name; values: of the parts in a label map."""
    truth = []
    for n in range(2):
        case = ball_case(f"case{n}", seed=n)
        parts = np.minimum(np.arange(case.label.shape[2]) * len(names) // case.label.shape[2], len(names) - 1)
        masks = [(case.label > 0) & (parts == i) for i in range(len(names))]
        write_image(folder / case.name / "image.nrrd", case.image, case.geometry)
        if segments:
            listed = [Segment(f"Segment_{i}", name) for i, name in enumerate(names, 1)]
            write_segmentation(folder / case.name / "label.seg.nrrd", from_masks(masks, listed, case.geometry))
        else:
            numbers = values or list(range(1, len(names) + 1))
            label = sum(value * mask.astype(np.uint8) for value, mask in zip(numbers, masks, strict=True))
            write_image(folder / case.name / "label.nrrd", label.astype(np.uint8), case.geometry)
            said = {"0": "background"} | {str(v): name for v, name in zip(numbers, names, strict=True) if name}
            if any(names):
                (folder / "dataset.json").write_text(json.dumps({"labels": said}))
        truth.append(dict(zip(names, (int(mask.sum()) for mask in masks), strict=True)))
    return truth


def plan_of(classes):
    case = ball_case()
    facts = CaseFingerprint.of(case)
    plan = make_plan([facts]).model_copy(update={"class_values": [0, *MODEL], "class_names": dict(MODEL)})
    arguments = {**plan.network_arguments, "out_channels": 3}
    return classes.widen(plan.model_copy(update={"network_arguments": arguments, "spacing": None}))


@pytest.mark.parametrize("segments", [False, True])
@pytest.mark.parametrize(
    ("names", "new", "kept"),
    [
        (["spleen", "liver"], (), ()),
        (["tumour"], (3,), (1, 2)),
        (["spleen", "tumour"], (3,), (1,)),
        (["tumour", "liver", "spleen"], (3,), ()),
    ],
)
def test_every_voxel_of_files_gets_the_class_of_its_name(segments, names, new, kept, tmp_path):
    truth = a_set(tmp_path, names, segments=segments)
    asked = CasesParameter(folder=tmp_path)
    sources = find_labelled(asked, Progress(), asked.find_to_learn(), MODEL)
    classes = unite_with_model(sources, MODEL)
    assert (classes.new, classes.kept) == (new, kept)
    plan = plan_of(classes)
    values = {name: value for value, name in classes.names.items()}
    for source, counts in zip(sources, truth, strict=True):
        found = prepare_source(source, plan, Progress()).labels.class_counts()
        wanted = {plan.class_values.index(values[name]): n for name, n in counts.items() if n}
        assert {c: n for c, n in found.items() if c} == wanted


def test_an_empty_segment_is_no_new_class(tmp_path):
    a_set(tmp_path, ["liver"], segments=True)
    for n in range(2):
        case = ball_case(f"case{n}", seed=n)
        masks = [case.label > 0, case.label > 9]
        listed = [Segment("Segment_1", "liver"), Segment("Segment_2", "scratch")]
        write_segmentation(tmp_path / case.name / "label.seg.nrrd", from_masks(masks, listed, case.geometry))
    sources = CasesParameter(folder=tmp_path).find_to_learn()
    classes = unite_with_model(sources, MODEL)
    assert (classes.new, classes.kept) == ((), (2,))


def test_label_maps_without_names_are_taken_by_number(tmp_path):
    a_set(tmp_path, ["", ""], values=[2, 4])
    asked = CasesParameter(folder=tmp_path)
    sources = find_labelled(asked, Progress(), asked.find_to_learn(), MODEL)
    classes = unite_with_model(sources, MODEL)
    assert (dict(classes.names), classes.new, classes.kept) == ({**MODEL, 4: "class 4"}, (4,), (1,))


@pytest.mark.slow
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", [*NETWORKS, "BasicUNet", "VNet", "PlainConvUNet"])
def test_a_wider_network_keeps_its_outputs(name, dims):
    torch.manual_seed(0)
    if name == "PlainConvUNet":
        pytest.importorskip("dynamic_network_architectures")
        layers = {"conv_op": f"Conv{dims}d", "norm_op": f"InstanceNorm{dims}d", "nonlin": "LeakyReLU"}
        arguments = {"input_channels": 1, "num_classes": 3, "n_stages": 2, "features_per_stage": [4, 8], **layers}
        arguments |= {"kernel_sizes": 3, "strides": [1, 2], "n_conv_per_stage": 1, "n_conv_per_stage_decoder": 1}
        arguments |= {"conv_bias": True, "norm_op_kwargs": {"affine": True}, "nonlin_kwargs": {}}
        arguments |= {"dropout_op": None, "dropout_op_kwargs": None}
        size, key = (16,) * dims, "num_classes"
    elif name in NETWORKS:
        size, arguments = design(name, np.full(dims, 16), np.ones(dims), 1, 3, large=False)
        key = "out_channels"
    else:
        size, key = (32,) * dims, "out_channels"
        arguments = {"spatial_dims": dims, "in_channels": 1, "out_channels": 3}
        arguments |= {"features": (4, 4, 8, 8, 8, 4)} if name == "BasicUNet" else {}
    network = build(name, arguments).eval()
    wide = widened(network, name, {**arguments, key: 5}).eval()
    patch = torch.randn(2, 1, *size)
    check_widened(network, wide, patch)
    with torch.no_grad():
        before, now = network(patch), wide(patch)
    torch.testing.assert_close(now[:, :3], before, atol=1e-4, rtol=1e-4)
    assert now.shape[1] == 5
    assert float(now[:, 3:].std()) > 0  # fresh, and something


def test_outputs_that_are_mixed_are_refused():
    torch.manual_seed(0)
    network, other = (build("BasicUNet", {"spatial_dims": 2, "in_channels": 1, "out_channels": 3}) for _ in range(2))
    with pytest.raises(EngineError) as problem:
        check_widened(network, other, torch.randn(1, 1, 32, 32))
    assert problem.value.code == "not-widened"


def test_background_is_taught_by_the_model_before_and_unknown_voxels_are_no_background():
    """Classes 0, 1 (kept), 2 (in the set), 3 (new); a voxel each."""
    given = torch.tensor([0, 0, 0, 0, 3, 2, 0], dtype=torch.int16)
    reviewed = torch.tensor([0, 0, 0, 0, 0, 0, 1], dtype=torch.bool)
    probabilities = torch.tensor(
        [
            [0.9, 0.05, 0.05],  # surely background
            [0.1, 0.8, 0.1],  # surely the class kept
            [0.45, 0.5, 0.05],  # nobody knows
            [0.09, 0.01, 0.9],  # the class that the label says is not here: background of those left
            [0.0, 1.0, 0.0],  # labelled as new
            [0.0, 1.0, 0.0],  # labelled as the other
            [0.0, 1.0, 0.0],  # confirmed background
        ]
    ).T
    found = rehearsed(given, reviewed, probabilities, kept=[1])
    assert found.tolist() == [0, 1, IGNORED, 0, 3, 2, 0]
    assert found.dtype == given.dtype
