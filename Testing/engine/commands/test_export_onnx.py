"""An exported network has the names and the answer that are promised, or nothing is written."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from DALESegmentLib.engine.bundle.bundle import load_bundle, save_bundle
from DALESegmentLib.engine.commands import export_onnx
from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.planning.networks import build
from DALESegmentLib.engine.planning.plan import CaseFingerprint, make_plan
from Testing.phantoms import ball_case

pytestmark = pytest.mark.slow


@pytest.fixture(params=[("UNet", 3), ("SegResNet", 3), ("DynUNet", 2)], ids=lambda p: f"{p[0]} {p[1]}D")
def model(request, tmp_path):
    """An untrained one."""
    name, dims = request.param
    plan = make_plan([CaseFingerprint.of(ball_case(size=(32, 24, 16)))], network=name, dims=dims)
    torch.manual_seed(0)
    (tmp_path / "run").mkdir()
    return save_bundle(tmp_path / "run", build(plan.network, plan.network_arguments).eval(), plan, {})


@pytest.mark.parametrize("checker", export_onnx.CHECKED_WITH)
def test_the_file_gives_the_answer_of_torch(model, tmp_path, checker, monkeypatch):
    pytest.importorskip(checker, reason=f"{checker} is not installed")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setattr(export_onnx, "CHECKED_WITH", (checker,))
    out = tmp_path / "network.onnx"
    result = export_onnx.run({"model": str(model), "out": str(out)}, Progress())
    assert result["largest_difference"] < 1e-4
    session = onnxruntime.InferenceSession(out)
    assert [(one.name, one.shape) for one in session.get_inputs()] == [("image", result["input"]["shape"])]
    assert [one.name for one in session.get_outputs()] == ["logits"]
    window = np.random.default_rng(5).standard_normal(result["input"]["shape"], np.float32)
    network, _ = load_bundle(model, torch.device("cpu"))
    with torch.no_grad():
        expected = network(torch.from_numpy(window)).numpy()
    np.testing.assert_allclose(session.run(None, {"image": window})[0], expected, atol=1e-3)
    with pytest.raises(EngineError, match="is there already; add --overwrite"):
        export_onnx.run({"model": str(model), "out": str(out)}, Progress())


@pytest.mark.parametrize("model", [("UNet", 3)], indirect=True)
def test_another_answer_is_not_written(model, tmp_path, monkeypatch):
    """No difference is small enough here."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    out = tmp_path / "out" / "network.onnx"
    monkeypatch.setattr(export_onnx, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(EngineError, match="nothing was written"):
        export_onnx.run({"model": str(model), "out": str(out)}, Progress())
    assert not list(out.parent.iterdir())


@pytest.mark.parametrize("model", [("UNet", 3)], indirect=True)
def test_what_cannot_be_written_is_said(model, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for out, said in (
        ("folder.onnx", "is a folder"),
        ("network.pt", r"let it end in \.onnx"),
        ("file/network.onnx", "could not be written"),
    ):
        with pytest.raises(EngineError, match=said):
            export_onnx.run({"model": str(model), "out": str(tmp_path / out)}, Progress())


def test_without_a_checker_the_sentence_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx, "CHECKED_WITH", ("a_package_that_is_not_there",))
    with pytest.raises(EngineError, match="pip install onnxruntime"):
        export_onnx.run({"model": "m", "out": str(tmp_path / "x.onnx")}, Progress())
