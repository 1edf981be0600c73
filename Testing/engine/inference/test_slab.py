"""The moving slab says what MONAI's sliding window says of the whole image, also on the image's own grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.inferers import SliceInferer, SlidingWindowInferer

from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.geometry.grid import Geometry
from DALESegmentLib.engine.inference import sliding_window as sweep
from DALESegmentLib.engine.inference.predictor import Predictor, optimize_for_inference
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_image, to_native
from DALESegmentLib.engine.planning.windows import OVERLAP, PADDING
from Testing.engine.inference.position_network import Position, plan_of
from Testing.phantoms import ball_case

CPU = torch.device("cpu")


def monais(image, plan, network):
    common = {"roi_size": plan.network_patch, "overlap": OVERLAP, "mode": "gaussian", "padding_mode": PADDING}
    inferer = SlidingWindowInferer(**common) if plan.dims == 3 else SliceInferer(spatial_dim=plan.slice_axis, **common)
    with torch.inference_mode():
        return inferer(image.unsqueeze(0), network)[0].softmax(0)


@pytest.mark.parametrize(
    ("size", "patch", "dims"),
    [
        ((24, 20, 12), (8, 8, 8), 3),
        ((12, 30, 14), (8, 16, 16), 3),
        ((9, 5, 7), (8, 8, 8), 3),
        ((24, 20, 6), (8, 8, 1), 2),
        ((5, 20, 1), (8, 8, 1), 2),
    ],
)
def test_it_is_monais_answer(size, patch, dims):
    plan, network = plan_of(ball_case(), patch, dims), Position()
    image = torch.randn(1, *size, generator=torch.Generator().manual_seed(0))
    predictor = Predictor(network, plan, CPU)
    expected = monais(image, plan, network)
    torch.testing.assert_close(predictor.prepared_probabilities(image, Progress()), expected, atol=1e-5, rtol=1e-5)
    classes = predictor.prepared_classes(image, Progress())
    sure = expected.sort(0).values[-1] - expected.sort(0).values[-2] > 1e-4
    assert torch.equal(classes[sure].long(), expected.argmax(0)[sure])
    assert sure.float().mean() > 0.99


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 2.0), (0.7, 1.3, 1.1), (2.5, 2.0, 3.0)])
def test_a_resampled_image_comes_back_as_the_whole_of_it_would(spacing):
    case = ball_case()
    turned = Geometry(case.geometry.size, case.geometry.spacing, (1.0, 2.0, 3.0), _slightly_turned())
    for geometry in (case.geometry, turned):
        case = replace(case, geometry=geometry)
        plan = plan_of(case, (8, 8, 8)).model_copy(update={"spacing": spacing})
        predictor = Predictor(Position(), plan, CPU)
        image = prepare_image(case, plan)
        whole = predictor.prepared_probabilities(image.as_tensor(), Progress())
        expected = to_native(whole, image.affine, case.geometry)
        found = predictor.probabilities(case, Progress())
        np.testing.assert_allclose(found, expected, atol=1e-4)
        label = predictor.label(case, Progress())
        assert label.dtype == np.uint8
        assert set(np.unique(label)) <= {0, 1, 7}
        assert (label == predictor.segmentation(expected)).mean() > 0.999


def _slightly_turned() -> tuple[float, ...]:
    angle = 0.2
    c, s = np.cos(angle), np.sin(angle)
    return tuple(float(v) for v in np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]).ravel())


def test_short_memory_makes_smaller_steps_of_the_same_answer():
    case = ball_case()
    plan, said = plan_of(case, (8, 8, 8)), []
    expected = Predictor(Position(), plan, CPU).probabilities(case, Progress())
    short = Predictor(Position(most=1), plan, CPU)
    np.testing.assert_allclose(short.probabilities(case, Progress(said.append)), expected, atol=1e-6)
    assert sweep.SMALLER in [report["message"] for report in said]
    with pytest.raises(torch.OutOfMemoryError):
        Predictor(Position(most=0), plan, CPU).probabilities(case, Progress())


@pytest.mark.parametrize("name", ["UNet", "SegResNet"])
def test_a_network_made_for_looking_answers_the_same(name):
    case = ball_case(size=(24, 24, 24))
    plan = make_plan([CaseFingerprint.of(case)], network=name, dims=3).model_copy(update={"spacing": None})
    torch.manual_seed(0)
    network = build(plan.network, plan.network_arguments)
    expected = Predictor(network, plan, CPU).probabilities(case, Progress())
    faster = Predictor(optimize_for_inference(network, plan, CPU), plan, CPU)
    np.testing.assert_allclose(faster.probabilities(case, Progress()), expected, atol=1e-4)
