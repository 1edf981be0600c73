"""One side of the comparison in a process of its own, so that its peak memory is its own:

python -m benchmarks.speed.volume_child SIDE MODEL IMAGE.npy OUT.npy DEVICE

writes the class map and prints seconds and bytes as JSON.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor

from DALESegmentLib.engine.bundle.bundle import load_bundle
from DALESegmentLib.engine.core.progress import Progress
from DALESegmentLib.engine.inference.predictor import Predictor, cached_predictor
from DALESegmentLib.engine.planning.windows import OVERLAP, PADDING

SIDES = ("monai", "exact", "foreground")
"""The last two are ours, as a user gets them. Others name a backend: torch, openvino, or bf16, which is OpenVINO in
half precision, whether or not it keeps the label."""
SMALL = 32


def main(side: str, model: str, image: str, out: str, device_name: str) -> None:
    warnings.filterwarnings("ignore")
    device = torch.device(device_name)
    if side == "monai":
        network, plan = load_bundle(Path(model), device)
        predictor = Predictor(network, plan, device)
    else:
        backend = {"torch": "torch", "openvino": "openvino", "bf16": "openvino"}.get(side, "auto")
        predictor = cached_predictor(Path(model), device, backend)
        network, plan = predictor.network, predictor.plan
    values = torch.from_numpy(np.load(image))
    with torch.inference_mode():  # so that no side pays for what torch does and loads once
        network(torch.zeros(1, len(values), *(SMALL,) * plan.dims, device=device))
    if side in ("openvino", "bf16"):
        network.prepare()
        network.compile("bf16" if side == "bf16" else "f32")
        side = "exact"
    side = "exact" if side == "torch" else side
    before = psutil.Process().memory_info().rss
    started, computed = time.perf_counter(), time.process_time()
    classes = _monai(predictor, values) if side == "monai" else predictor.prepared_classes(values, Progress(), side)
    seconds, processor = time.perf_counter() - started, time.process_time() - computed
    peak = _peak()
    np.save(out, classes.numpy().astype(np.int16))
    print(json.dumps({"seconds": seconds, "processor": processor, "before": before, "peak": peak}))


def _peak() -> int:
    """Bytes that this program held at most. On Linux ru_maxrss will not do: it begins with what the process that
    started this one held."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # in bytes on macOS


def _monai(predictor: Predictor, image: Tensor) -> Tensor:
    """Its inferer as it comes, with our windows' size, overlap and weights; the class decision by argmax."""
    inferer = SlidingWindowInferer(predictor.plan.patch_size, overlap=OVERLAP, mode="gaussian", padding_mode=PADDING)
    with torch.inference_mode():
        return inferer(image.unsqueeze(0).to(predictor.device), predictor.network)[0].argmax(0).cpu()


if __name__ == "__main__":
    main(*sys.argv[1:])
