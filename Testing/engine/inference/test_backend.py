"""OpenVINO gives torch's answer or none: other weights, damaged graphs, full disks, networks it does not know."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from DALESegmentLib.engine.bundle.bundle import load_bundle, save_bundle
from DALESegmentLib.engine.bundle.open_model import FoldAverage, Mirrored
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference import backend as backends
from DALESegmentLib.engine.inference import graph_cache, prepare_backend
from DALESegmentLib.engine.inference.backend import BackendNetwork, check_backend, with_backend
from DALESegmentLib.engine.inference.graph import Graph, export_graph, has_half_precision
from DALESegmentLib.engine.inference.predictor import Predictor
from DALESegmentLib.engine.inference.torch_network import optimize_for_inference
from DALESegmentLib.engine.planning.networks import build, design
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from DALESegmentLib.engine.planning.preprocessing import prepare_case
from Testing.phantoms import ball_case

pytest.importorskip("openvino", reason="the extra openvino is not installed")
CPU = torch.device("cpu")
NETWORKS = [("UNet", 3), ("UNet", 2), ("DynUNet", 3), ("SegResNet", 3), ("AttentionUnet", 2)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own."""
    monkeypatch.setenv(graph_cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(backends, "MEASURED_SECONDS", 0.0)
    return tmp_path / "cache"


def plan_and_network(name="UNet", dims=3, seed=0, edge=16):
    plan = make_plan([CaseFingerprint.of(ball_case(size=(40, 36, 32)))], network=name, dims=dims)
    patch, arguments = design(name, np.array([edge] * dims), np.ones(dims), 1, plan.classes, large=False)
    full = [1, 1, 1]
    for axis, n in zip([a for a in range(3) if dims == 3 or a != plan.slice_axis], patch, strict=True):
        full[axis] = n
    torch.manual_seed(seed)
    network = build(name, arguments).eval()
    for layer in network.modules():  # as after a training
        if isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm3d)):
            nn.init.uniform_(layer.running_mean, -0.3, 0.3)
            nn.init.uniform_(layer.running_var, 0.5, 2.0)
    plan = plan.model_copy(update={"network_arguments": arguments, "patch_size": tuple(full)})
    return plan, network


def answers(network, windows):
    with torch.inference_mode():
        backends.expect_windows(network, len(windows), lambda said: None)
        return network(windows)


def windows_for(plan, count=2):
    torch.manual_seed(7)
    return torch.randn(count, plan.channels, *plan.network_patch)


def on_openvino(plan, network, said=None):
    found = BackendNetwork(network, plan, wanted=True).eval()
    found.expect(1, (said if said is not None else []).append)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dims"), NETWORKS)
def test_openvino_gives_the_answer_of_torch(name, dims):
    plan, network = plan_and_network(name, dims)
    windows = windows_for(plan)
    expected = answers(network, windows)
    found = on_openvino(plan, network)
    assert found.backend == "openvino"
    answer = answers(found, windows)
    np.testing.assert_allclose(answer.softmax(1), expected.softmax(1), atol=1e-4)
    assert (answer.argmax(1) != expected.argmax(1)).float().mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["UNet", "AttentionUnet"])
def test_one_graph_serves_all_weights(name, cache):
    """The second network has batch norm, whose running statistics are weights, too."""
    plan, first = plan_and_network(name, 2, seed=1)
    on_openvino(plan, first)
    assert len(list(cache.glob("*.graph"))) == 1
    _, second = plan_and_network(name, 2, seed=2)
    windows = windows_for(plan)
    found = on_openvino(plan, second)
    assert found.backend == "openvino"
    assert len(list(cache.glob("*.graph"))) == 1
    np.testing.assert_allclose(answers(found, windows), answers(second, windows), atol=1e-4)
    assert (answers(first, windows) - answers(second, windows)).abs().max() > 1e-2


def test_a_graph_holds_no_weights():
    plan, network = plan_and_network()
    graph = export_graph(network, (1, 1, *plan.network_patch))
    assert {name for _, _, name in graph.places} == set(network.state_dict())
    assert not any(graph.constants[offset : offset + size].any() for offset, size, _ in graph.places)
    assert len(graph.to_bytes()) < 0.1 * sum(p.nbytes for p in network.parameters())
    with pytest.raises(KeyError):
        graph.filled({})


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "byte", "empty", "folder", "swapped", "no JSON"])
def test_a_damaged_cache_is_as_good_as_none(damage, cache):
    plan, network = plan_and_network()
    on_openvino(plan, network)
    (graph,), (choice,) = cache.glob("*.graph"), cache.glob("*.json")
    data = graph.read_bytes()
    if damage == "cut":
        graph.write_bytes(data[: len(data) // 2])
    elif damage == "byte":
        graph.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
    elif damage == "empty":
        graph.write_bytes(b"")
    elif damage == "folder":
        graph.unlink()
        graph.mkdir()
    elif damage == "swapped":
        graph.write_bytes(choice.read_bytes())
    else:
        choice.write_bytes(b"[" * 100)
    windows = windows_for(plan)
    found = on_openvino(plan, network)
    assert found.backend == "openvino"
    np.testing.assert_allclose(answers(found, windows), answers(network, windows), atol=1e-4)


@pytest.mark.slow
def test_a_graph_of_another_architecture_is_not_taken(cache):
    """Though it lies there under the right name and whole."""
    plan, network = plan_and_network("UNet")
    other_plan, other = plan_and_network("UNet", edge=24)
    wrong = export_graph(other, (1, 1, *other_plan.network_patch))
    graph_cache.save(f"{backends.architecture_key(plan)}.graph", wrong.to_bytes())
    found, windows = on_openvino(plan, network), windows_for(plan)
    np.testing.assert_allclose(answers(found, windows), answers(network, windows), atol=1e-4)


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_is_left_out(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("a file where the folder would be", encoding="utf-8")
    monkeypatch.setenv(graph_cache.CACHE_VARIABLE, str(tmp_path / "file"))
    assert not graph_cache.save("a", b"data")
    assert graph_cache.load("a") is None
    plan, network = plan_and_network()
    assert on_openvino(plan, network).backend == "openvino"


def test_the_cache_stays_bounded(cache, monkeypatch):
    monkeypatch.setattr(graph_cache, "LARGEST", 2500)
    for n in range(5):
        assert graph_cache.save(f"{n}.graph", bytes(1000))
    assert graph_cache.load("4.graph") == bytes(1000)
    assert sum(path.stat().st_size for path in cache.iterdir()) <= 2500


def test_the_key_follows_the_window_and_the_architecture():
    plan, _ = plan_and_network()
    other = plan.model_copy(update={"patch_size": (32, 16, 16)})
    wider = plan.model_copy(update={"network_arguments": {**plan.network_arguments, "num_res_units": 2}})
    renamed = plan.model_copy(update={"class_names": {1: "another"}})
    keys = [backends.architecture_key(each) for each in (plan, other, wider)]
    assert len(set(keys)) == 3
    assert backends.architecture_key(renamed) == keys[0]


class Unknown(nn.Module):
    """What no tracer can follow: it answers otherwise every time."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Conv3d(1, 2, 1)
        self.calls = 0

    def forward(self, windows):
        self.calls += 1
        return self.layer(windows) + self.calls


def test_torch_stands_in_for_what_openvino_does_not_know(cache):
    plan, _ = plan_and_network()
    said = []
    found = on_openvino(plan, Unknown().eval(), said)
    assert found.backend == "torch"
    assert said[-1] == "OpenVINO does not know this network: torch computes it"
    assert answers(found, windows_for(plan)).shape == (2, 2, *plan.patch_size)


@pytest.mark.slow
def test_torch_goes_on_where_openvino_fails():
    plan, network = plan_and_network()
    said = []
    found = on_openvino(plan, network, said)
    windows = windows_for(plan)
    smaller = windows[..., :8]  # which the graph does not take
    assert torch.equal(found(smaller), network(smaller))
    assert said[-1].startswith("OpenVINO failed here")
    assert found.backend == "torch"


@pytest.mark.slow
def test_auto_exports_where_it_pays_and_keeps_to_its_choice(monkeypatch, cache):
    plan, network = plan_and_network()
    windows = windows_for(plan, 1)
    found = BackendNetwork(network, plan, wanted=False).eval()
    found.expect(20, print)
    found(windows)
    assert found.backend == "torch"
    assert not cache.exists()
    monkeypatch.setattr(backends, "PAYS_SECONDS", 0.0)
    monkeypatch.setattr(backends, "FASTER", 100.0)
    first = BackendNetwork(network, plan, wanted=False).eval()
    first.expect(20, print)
    answer = first(windows)
    assert first.backend == "openvino"
    monkeypatch.setattr(backends, "PAYS_SECONDS", 1e9)
    again = BackendNetwork(network, plan, wanted=False).eval()
    again.expect(1, print)
    assert again.backend == "openvino"
    assert torch.equal(again(windows), answer)
    (choice,) = cache.glob("*.json")
    graph_cache.save_json(choice.name, {"backend": "torch"})
    slower = BackendNetwork(network, plan, wanted=False).eval()
    slower.expect(1000, print)
    slower(windows)
    assert slower.backend == "torch"


@pytest.mark.slow
def test_folds_and_flips_are_answered_by_openvino():
    plan, _ = plan_and_network()
    networks = [plan_and_network(seed=seed)[1] for seed in (1, 2)]
    expected_of = FoldAverage([Mirrored(each, (0, 2)) for each in networks]).eval()
    windows = windows_for(plan)
    expected = answers(expected_of, windows)
    found = with_backend(expected_of, plan, CPU, "openvino").eval()
    np.testing.assert_allclose(answers(found, windows), expected, atol=1e-4)
    used = [module.backend for module in found.modules() if isinstance(module, BackendNetwork)]
    assert used == ["openvino"] * 2


@pytest.mark.slow
def test_a_whole_image_is_labelled_as_by_torch():
    case = ball_case(size=(40, 36, 32))
    plan, network = plan_and_network(edge=16)
    expected = Predictor(network, plan, CPU).probabilities(case, Progress())
    faster = with_backend(optimize_for_inference(network, plan, CPU), plan, CPU, "openvino")
    found = Predictor(faster, plan, CPU).probabilities(case, Progress())
    assert faster.backend == "openvino"
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(0) != expected.argmax(0)).mean() < 1e-3


@pytest.mark.slow
def test_a_backend_that_is_not_there_is_refused_in_a_sentence(monkeypatch):
    check_backend("openvino", CPU)
    with pytest.raises(EngineError, match="add --device cpu"):
        check_backend("openvino", torch.device("cuda"))
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "import torch\n"
        "from DALESegmentLib.engine.inference.backend import check_backend, is_installed, with_backend\n"
        "network = torch.nn.Conv3d(1, 1, 1)\n"
        "assert not is_installed() and with_backend(network, None, torch.device('cpu'), 'auto') is network\n"
        "check_backend('openvino', torch.device('cpu'))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", timeout=120)
    assert "OpenVINO is not installed; pip install openvino, or leave --backend out." in done.stderr


def test_what_is_kept_is_whole():
    graph = Graph(b"<net/>", np.arange(5, dtype=np.uint8), ((0, 4, "a.weight"),))
    again = Graph.from_bytes(graph.to_bytes())
    assert (again.xml, again.places) == (graph.xml, graph.places)
    np.testing.assert_array_equal(again.constants, graph.constants)


@pytest.mark.slow
def test_half_precision_answers_only_where_it_was_seen_to_keep_the_labels():
    """As on a processor that has it: elsewhere OpenVINO computes in single precision whatever is asked for."""
    plan, network = plan_and_network()
    assert on_openvino(plan, network).precision == "f32"
    on_openvino(plan, network).keep_half_precision_dice(0.9998)
    assert on_openvino(plan, network).precision == "f32"
    on_openvino(plan, network).keep_half_precision_dice(0.99995)
    found, windows = on_openvino(plan, network), windows_for(plan)
    assert found.precision == "bf16"
    np.testing.assert_allclose(answers(found, windows), answers(network, windows), atol=0.5)
    _, other = plan_and_network(seed=1)
    assert on_openvino(plan, other).precision == "f32"


@pytest.mark.slow
def test_a_long_training_leaves_its_model_ready(cache, tmp_path, monkeypatch):
    plan, network = plan_and_network()
    plan = plan.model_copy(update={"network": "UNet"})
    (tmp_path / "run").mkdir()
    bundle = save_bundle(tmp_path / "run", network, plan, {})
    case = prepare_case(ball_case(size=(40, 36, 32)), plan)
    prepare_backend.prepare_backend(bundle, [case], prepare_backend.LONG_ENOUGH - 1, Progress())
    assert not cache.exists()
    monkeypatch.setattr(backends, "FASTER", 100.0)
    prepare_backend.prepare_backend(bundle, [case], 1000.0, Progress())
    assert len(list(cache.glob("*.graph"))) == 1
    loaded = BackendNetwork(load_bundle(bundle, CPU)[0], plan, wanted=False).eval()
    loaded.expect(1, print)
    assert loaded.backend == "openvino"
    known = graph_cache.load_json(f"{loaded._half_key}.json")
    assert (known is not None) == has_half_precision()
