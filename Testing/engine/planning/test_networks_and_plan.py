"""Every network by name, in 2D and 3D, on patches as the plan sizes them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.planning.networks import NETWORKS, FeatureTap, build, design
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan


def facts(size=(64, 60, 12), spacing=(0.7, 0.7, 3.0), **changes) -> CaseFingerprint:
    values = {
        "name": "a",
        "planar": False,
        "size": size,
        "spacing": spacing,
        "channels": 1,
        "values": (0, 1),
        "class_names": {1: "lesion"},
        "lowest": 0.0,
        "foreground_range": (0.0, 1.0),
    }
    return CaseFingerprint(**{**values, **changes})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "SwinUNETR" else name for name in NETWORKS]
)
@pytest.mark.parametrize("dims", [2, 3])
def test_networks_keep_the_grid_and_give_features(name, dims):
    patch = np.array([40.0, 36.0, 9.0][:dims])
    fitted, arguments = design(name, patch, np.array([1.0, 1.0, 3.0][:dims]), 2, 3, large=False)
    network = build(name, arguments)
    tap = FeatureTap(network, 3)
    x = torch.zeros(2, 2, *fitted)
    with torch.no_grad():
        tap.find(lambda: network(x))
        assert network.train()(x).shape == (2, 3, *fitted)
    assert tap.features is not None
    assert tap.features.shape[1] > 3


def test_the_patch_is_a_box_in_mm_and_the_coarse_axis_is_not_pooled_early():
    plan = make_plan([facts(size=(400, 400, 40))], dims=3)
    mm = np.array(plan.patch_size) * plan.spacing
    assert mm.max() / mm.min() < 1.6
    assert plan.network_arguments["strides"][0] == [2, 2, 1]


def test_one_slice_means_a_2d_network():
    plan = make_plan([facts(size=(64, 1, 64), spacing=(1.0, 1.0, 1.0))])
    assert (plan.dims, plan.slice_axis, plan.patch_size[1]) == (2, 1, 1)
    with pytest.raises(EngineError, match="single slice"):
        make_plan([facts(size=(64, 1, 64))], dims=3)


def test_ct_is_windowed_by_what_the_lesions_look_like():
    plan = make_plan([facts(lowest=-1000.0, foreground_range=(-60.0, 240.0))])
    assert plan.normalise == "ct"
    assert plan.ct_window == (-210.0, 390.0)


def test_an_unknown_network_is_refused_with_the_names_there_are():
    with pytest.raises(EngineError, match="SegResNet"):
        make_plan([facts()], network="VNetXL")


def test_more_classes_than_a_label_may_have_are_refused():
    """Also where each case has few: network classes are kept in a byte."""
    most = [facts(values=(0, *range(1 + 51 * n, 52 + 51 * n)), class_names={}) for n in range(5)]
    assert make_plan(most, dims=2).classes == 256
    with pytest.raises(EngineError, match="256 classes") as caught:
        make_plan([*most, facts(values=(0, 256), class_names={})], dims=2)
    assert caught.value.code == "too-many-classes"


def test_pictures_and_volumes_are_not_mixed():
    with pytest.raises(EngineError, match="2D pictures and volumes"):
        make_plan([facts(), facts(name="b", planar=True)])


def test_on_a_cpu_thick_slices_get_a_2d_network_and_on_a_gpu_a_3d_one():
    thick = facts(size=(200, 200, 20), spacing=(0.7, 0.7, 3.0))
    assert (make_plan([thick]).dims, make_plan([thick], device="cuda").dims) == (2, 3)
    assert make_plan([facts(spacing=(1.0, 1.0, 2.0))]).dims == 3
