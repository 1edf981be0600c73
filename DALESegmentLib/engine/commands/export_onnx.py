"""Write a model's network as an ONNX file, checked against torch's answer."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..bundle.open_model import open_model
from ..core.errors import EngineError
from ..core.files import replacing
from ..core.progress import Progress
from .parameters import Parameters

INPUT, OUTPUT = "image", "logits"
OPSET = 17
LARGEST_DIFFERENCE = 1e-3
CHECKED_WITH = ("onnxruntime", "openvino")


class ExportOnnxParameters(Parameters):
    model: Path
    out: Path
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """The file takes one window, `image` (1, C, *patch) float32, prepared as configs/metadata.json of the bundle says,
    and gives `logits` (1, K, *patch). Where its answer is not torch's, nothing is written.

    Raises EngineError("package-missing", "results-there", "not-exported", "other-answer"), and what `open_model` and
    `replacing` raise.
    """
    asked = ExportOnnxParameters.model_validate(parameters)
    checker = next((name for name in CHECKED_WITH if importlib.util.find_spec(name) is not None), None)
    if checker is None:
        raise EngineError(
            "package-missing", "Nothing is here to check an ONNX file with; install it with pip install onnxruntime."
        )
    _check_target(asked)
    network, plan = open_model(asked.model, torch.device("cpu"))
    shape = (1, plan.channels, *plan.network_patch)
    window = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))
    progress.report(10, "writing", "Exporting the network")
    with replacing(asked.out) as temporary:
        with torch.no_grad():
            _export(network, window, temporary)
            expected = network(window).numpy()
        progress.check()
        progress.report(70, "writing", f"Comparing with {checker}")
        difference = float(np.abs(_ANSWERS[checker](temporary, window.numpy()) - expected).max())
        if not difference <= LARGEST_DIFFERENCE:
            raise EngineError(
                "other-answer",
                f"The exported network differs from torch's by {difference:.2g}, more than {LARGEST_DIFFERENCE:g}; "
                "nothing was written.",
            )
    return {
        "onnx": str(asked.out),
        "input": {"name": INPUT, "shape": list(shape)},
        "output": {"name": OUTPUT, "shape": list(expected.shape)},
        "largest_difference": difference,
        "checked_with": checker,
    }


def _check_target(asked: ExportOnnxParameters) -> None:
    name = asked.out.name
    if asked.out.suffix.lower() != ".onnx":
        raise EngineError("wrong-name", f"{name} is not the name of an ONNX file; let it end in .onnx.")
    if asked.out.is_dir():
        raise EngineError("results-there", f"{name} is a folder; name a file.")
    if asked.out.exists() and not asked.overwrite:
        raise EngineError("results-there", f"{name} is there already; add --overwrite, or choose another name.")


def _export(network: nn.Module, window: torch.Tensor, path: Path) -> None:
    """Raises EngineError("not-exported")."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                network,
                (window,),
                str(path),
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                dynamo=False,
            )
    except OSError:
        raise
    except Exception as error:  # whatever the exporter makes of a network that it does not know
        raise EngineError(
            "not-exported", f"This network has no ONNX form that torch could write ({type(error).__name__})."
        ) from error


def _by_onnxruntime(path: Path, window: np.ndarray) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run([OUTPUT], {INPUT: window})[0]
    return found


def _by_openvino(path: Path, window: np.ndarray) -> np.ndarray:
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32"}
    found: np.ndarray = openvino.Core().compile_model(str(path), "CPU", settings)({INPUT: window})[OUTPUT]
    return found


_ANSWERS = {"onnxruntime": _by_onnxruntime, "openvino": _by_openvino}
