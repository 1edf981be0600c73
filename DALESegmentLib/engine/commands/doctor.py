"""The command doctor: what this machine can do, and what to do where it cannot.

The report is safe for a public issue: versions and sizes, no path, user, host or case.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..core.memory import memory
from ..inference.graph_cache import load_all_json

Check = dict[str, Any]
"""name, ok, value and advice; advice is a sentence or empty."""

PACKAGES = {
    "torch": "2.4",
    "monai": "1.4",
    "SimpleITK": "2.3",
    "numpy": "1.24",
    "scipy": "1.12",
    "scikit-image": "0.21",
    "nibabel": "4",
    "einops": "0.7",
    "safetensors": "0.4",
    "pydantic": "2.5",
    "psutil": "5.9",
    "filelock": "3.30",
    "scikit-learn": "1.3",
    "pydicom": "3.0",
    "highdicom": "0.25",
    "tifffile": "2023.7",
    "pillow": "10",
}
"""The oldest version that works."""

GB = 1024**3
LITTLE_MEMORY, LITTLE_DISK = 4 * GB, 5 * GB


def examine(folder: str | Path | None = None) -> list[Check]:
    """All checks. folder: where results will be written (default: the working folder)."""
    return [
        _check("Python", sys.version_info >= (3, 10), sys.version.split()[0], "Use Python 3.10 or newer."),
        *(_package(name, oldest) for name, oldest in PACKAGES.items()),
        *(gpus := list(_gpus())),
        _openvino(any(check["name"] != "GPU" and check["ok"] for check in gpus)),
        _memory(),
        _disk(Path(folder) if folder else Path.cwd()),
        _check("Processor cores", True, str(_cores())),
        _slicer(),
    ]


def _check(name: str, ok: bool, value: str, advice: str = "", always: bool = False) -> Check:
    """Advice is kept where something is wrong, or `always`."""
    return {"name": name, "ok": bool(ok), "value": value, "advice": advice if always or not ok else ""}


def _package(name: str, oldest: str) -> Check:
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return _check(name, False, "missing", f"Install {name} {oldest} or newer.{_torch_hint(name)}")
    return _check(name, _numbers(version) >= _numbers(oldest), version, f"Install {name} {oldest} or newer.")


def _torch_hint(name: str) -> str:
    return " In 3D Slicer, the PyTorch extension does it." if name == "torch" else ""


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])]


def _gpus() -> Iterator[Check]:
    """One check a GPU, or one that says why there is none."""
    try:
        import torch
    except ModuleNotFoundError:
        yield _check("GPU", False, "unknown, torch is missing", "Install torch first.")
        return
    except Exception:  # a broken installation raises OSError, RuntimeError, ...
        yield _check("GPU", False, "unknown, torch does not load", "Install torch again.")
        return
    if not torch.cuda.is_available():
        yield _apple_gpu(torch) if torch.backends.mps.is_available() else _no_gpu(torch)
        return
    for index in range(torch.cuda.device_count()):
        yield _gpu(torch, index)


def _apple_gpu(torch: Any) -> Check:
    """Known to work only after it has worked."""
    value = "Apple GPU (MPS)"
    try:
        total = (torch.ones(8, device="mps") + 1).sum().item()
    except Exception:
        return _check("GPU", False, f"{value}, does not work", "Update macOS and torch, or use the device cpu.")
    if _numbers(torch.__version__) < [2, 5]:
        return _check("GPU", False, f"{value}, not used", "Install torch 2.5 or newer, so that it can be used.")
    advice = "The Apple GPU is used, but its speed and accuracy were not measured by us; compare with the device cpu."
    return _check("GPU", total == 16, value, advice, always=True)


def _no_gpu(torch: Any) -> Check:
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if not _nvidia_driver():
        advice = "If there is an NVIDIA GPU, install its driver; without one, training is slow but works."
        return _check("GPU", True, "none, the CPU is used", advice, always=True)
    if torch.version.cuda is None:
        advice = "There is an NVIDIA driver, but this torch is for the CPU only; install its CUDA build."
        return _check("GPU", False, "not used, torch is built for the CPU", advice)
    if hidden is not None and hidden.strip() in ("", "-1"):
        advice = "The environment variable CUDA_VISIBLE_DEVICES hides the GPU; unset it."
        return _check("GPU", False, "hidden", advice)
    advice = f"Update the NVIDIA driver to one for CUDA {torch.version.cuda}, or install an older torch."
    return _check("GPU", False, "not usable with this driver", advice)


def _nvidia_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None


def _gpu(torch: Any, index: int) -> Check:
    """Known to work only after it has worked: a torch that is too old for a GPU still lists it."""
    name = f"GPU {index}"
    try:
        device = torch.device("cuda", index)
        value = torch.cuda.get_device_name(device)
        total = (torch.ones(8, device=device) + 1).sum().item()
        free, memory = torch.cuda.mem_get_info(device)
    except Exception as error:
        if "no kernel image" in str(error):
            advice = f"This torch ({torch.__version__}) was not built for this GPU; install the newest torch."
        else:
            advice = "The GPU does not answer; close what uses it, restart, and update its driver."
        return _check(name, False, "does not work", advice)
    value = f"{value}, {free / GB:.1f} of {memory / GB:.1f} GB free, CUDA {torch.version.cuda}"
    return _check(name, total == 16, value, "The GPU computes wrongly; restart the machine.")


def _openvino(gpu: bool) -> Check:
    """Whether it would make predictions faster here. gpu: there is one, which is used instead."""
    try:
        version = importlib.metadata.version("openvino")
    except importlib.metadata.PackageNotFoundError:
        if gpu or not _has_vectors():
            return _check("OpenVINO", True, "not here, and would not help here")
        advice = (
            "It can predict faster on this processor: pip install openvino, about 60 MB to download; in 3D Slicer by "
            "the pip of its Python console."
        )
        return _check("OpenVINO", True, "not here, would help here", advice, always=True)
    chosen = Counter(str(kept.get("backend")) for kept in load_all_json())
    if gpu:
        return _check("OpenVINO", True, f"{version}, not used beside a GPU")
    if not chosen:
        return _check("OpenVINO", True, f"{version}, measured against torch when a model is first used on much")
    said = f"{version}, faster than torch for {chosen['openvino']} of {chosen.total()} networks measured here"
    return _check("OpenVINO", True, said)


def _has_vectors() -> bool:
    """Whether the processor has what makes OpenVINO's convolutions fast: AVX2 or ARM's NEON."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return True  # not told; hardly any processor is without
    return not {"avx2", "asimd", "neon"}.isdisjoint(flags)


def _memory() -> Check:
    found = memory()
    if found is None:
        return _check("Memory", True, "unknown, psutil is missing")
    value = f"{found.available / GB:.1f} of {found.total / GB:.1f} GB free"
    advice = "Close other programs before training, or ask for more where a container or a cluster sets a limit."
    return _check("Memory", found.available >= LITTLE_MEMORY, value, advice)


def _disk(folder: Path) -> Check:
    """Of the nearest folder that exists already: an output folder usually does not."""
    existing = next((f for f in (folder, *folder.absolute().parents) if f.is_dir()), Path.cwd())
    free = shutil.disk_usage(existing).free
    return _check("Disk", free >= LITTLE_DISK, f"{free / GB:.1f} GB free", "Free some space or choose another disk.")


def _cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slicer() -> Check:
    if os.environ.get("SLICER_HOME"):
        return _check("3D Slicer", True, "this is Slicer's Python")
    try:
        return _check("3D Slicer", True, f"slicer-core {importlib.metadata.version('slicer-core')}")
    except importlib.metadata.PackageNotFoundError:
        return _check("3D Slicer", True, "not here; the command line does not need it")


_PATHS = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s,;:()]+)+")


def report(checks: Iterable[Check]) -> str:
    """Markdown. Whatever looks like a path is taken out, wherever it came from."""
    system = f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}"
    rows = [("DALESegment", __version__), ("System", system)]
    rows += [(check["name"], f"{'' if check['ok'] else '(!) '}{check['value']}") for check in checks]
    lines = ["| | |", "|---|---|", *(f"| {name} | {_PATHS.sub('[path]', value)} |" for name, value in rows)]
    return "\n".join(lines)
