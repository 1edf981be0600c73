"""The rows of docs/results/speed.json, and what each part of the measurement returns for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from ..published import Row


@dataclass(frozen=True)
class Given:
    """The settings of every part. work: where models and volumes are kept from run to run; quick: smaller and fewer
    repeats, to see that a part works; nothing is then called met."""

    data: Path | None
    work: Path
    device: torch.device
    quick: bool

    def set_folder(self, name: str) -> Path | None:
        """The folder of a set of real images; None, and a line about it, where it is not there."""
        if self.data is not None and (self.data / name).is_dir():
            return self.data / name
        print(f"There is no folder {name}; name the one above it with --data.")
        return None


@dataclass(frozen=True)
class Measured:
    """value; whether it is good enough; reference: what it was compared with, with its own figure."""

    value: float
    good: bool
    reference: str


Measurements = dict[str, Measured]
"""By the key of BARS. A key that is left out was not measured."""

BACKEND_GOALS = {"UNet": (0.30, 0.25), "DynUNet": (0.35, 0.20), "SegResNet": (0.62, 0.30)}
"""Of MONAI's time, in float32 and in bfloat16."""


def _backend_bars() -> dict[str, Row]:
    bars = {}
    for name, goals in BACKEND_GOALS.items():
        what = f"whole volume, 16 windows of 96x96x96, {name}, CPU, OpenVINO"
        for side, precision, goal, dice in zip(
            ("openvino", "bf16"), ("float32", "bfloat16"), goals, (">= 0.99995", ">= 0.9999"), strict=True
        ):
            bars[f"{name}_{side}_time"] = Row(f"{what}, {precision}: time", "of MONAI's", f"<= {goal}")
            bars[f"{name}_{side}_dice"] = Row(f"{what}, {precision}: Dice with MONAI's label", "", dice)
        bars[f"{name}_memory"] = Row(f"{what}, float32: peak memory", "of MONAI's", "<= 0.5")
        bars[f"{name}_floor"] = Row(f"{what}, float32: time over the arithmetic floor", "times", "<= 1.6")
    return bars


BARS = {
    "sts_exact_time": Row("whole volume, sts_sarcoma, CPU, exact: time", "of MONAI's", "<= 0.5"),
    "sts_exact_memory": Row("whole volume, sts_sarcoma, CPU, exact: peak memory", "of MONAI's", "<= 0.5"),
    "sts_exact_dice": Row("whole volume, sts_sarcoma, CPU, exact: Dice with MONAI's label", "", ">= 0.999"),
    "sts_foreground_time": Row("whole volume, sts_sarcoma, CPU, foreground: time", "of MONAI's", "<= 0.5"),
    "sts_foreground_memory": Row("whole volume, sts_sarcoma, CPU, foreground: peak memory", "of MONAI's", "<= 0.5"),
    "sts_foreground_dice": Row("whole volume, sts_sarcoma, CPU, foreground: Dice with MONAI's label", "", ">= 0.99"),
    "large_exact_time": Row("whole volume, 256x256x160, CPU, exact: time", "of MONAI's", "<= 0.5"),
    "large_exact_memory": Row("whole volume, 256x256x160, CPU, exact: peak memory", "of MONAI's", "<= 0.5"),
    "large_exact_dice": Row("whole volume, 256x256x160, CPU, exact: Dice with MONAI's label", "", ">= 0.999"),
    "large_foreground_time": Row("whole volume, 256x256x160, CPU, foreground: time", "of MONAI's", "<= 0.5"),
    "large_foreground_memory": Row("whole volume, 256x256x160, CPU, foreground: peak memory", "of MONAI's", "<= 0.5"),
    "large_foreground_dice": Row("whole volume, 256x256x160, CPU, foreground: Dice with MONAI's label", "", ">= 0.99"),
    "gpu_time": Row("whole volume, 512x512x400, GPU, exact: time", "of MONAI's", "<= 0.5"),
    "gpu_floor": Row("whole volume, 512x512x400, GPU, exact: time over the arithmetic floor", "times", "<= 2"),
    "region_cpu": Row("one region refreshed, CPU: 96x96x96 window, default network", "s", "<= 2"),
    "region_backend": Row(
        "one region refreshed, CPU: 96x96x96 window, default network, OpenVINO", "of torch's time", "<= 0.35"
    ),
    "region_gpu": Row("one region refreshed, GPU: 96x96x96 window, default network", "s", "<= 0.3"),
    "step_time": Row("DALE training step: time", "of a plain step's", "<= 1.10"),
    "step_memory": Row("DALE training step: memory", "of a plain step's", "<= 1.10"),
    "finetune": Row(
        "fine-tune after five corrected regions to the Dice of a training from nothing, CPU", "of its time", "<= 0.1"
    ),
    "throughput_cpu": Row("plain training, CPU: patches a second", "of a MONAI loop's", ">= 1.0"),
    "throughput_gpu": Row("plain training, GPU: patches a second", "of a MONAI loop's", ">= 1.5"),
    "start": Row("engine process: first answer after its start, CPU", "of importing torch and monai", "<= 0.35"),
    "series_time": Row("reading a CT series of 512 slices: time", "of SimpleITK's", "<= 1.3"),
    "inspect_time": Row("inspect of 1,000 cases: time", "s", "<= 30"),
    "inspect_memory": Row("inspect of 1,000 cases: peak memory", "GB", "<= 1"),
    "big_memory": Row("512x512x400 from file to file, CPU, small network: peak memory", "GB", "<= 6"),
    "training_memory": Row(
        "DALE training, 20 volumes of 512x512x200, CPU: peak memory over what its cases take", "bytes a voxel", "<= 6"
    ),
    "training_peak": Row("DALE training, 20 volumes of 512x512x200, CPU: peak memory", "GB", "<= 8"),
    "checkpoint_time": Row("checkpoints of 20 volumes of 512x512x200", "of the training's time", "<= 0.1"),
    "checkpoint_bytes": Row(
        "the next checkpoint where one of 8 cases changed: bytes written", "of a whole checkpoint's", "<= 0.25"
    ),
    "ranks": Row("two ranks against one, same global batch: largest difference", "of the stated tolerance", "<= 1"),
    **_backend_bars(),
    "growth_inspect_time": Row("inspect: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_prepare_time": Row("training, preparing: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_epoch_time": Row("training, an epoch: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_checkpoint_time": Row("training, a checkpoint: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_review_time": Row("review: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_confidence_time": Row("confidence: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_evaluate_time": Row("evaluate: time a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_train_memory": Row("training: memory a case up to 1,000", "of that up to 100", "<= 1.2"),
    "growth_inspect_memory": Row("inspect: peak memory with 1,000 cases", "of that of 10", "<= 1.2"),
    "growth_review_memory": Row("review: peak memory with 1,000 cases", "of that of 10", "<= 1.2"),
    "growth_confidence_memory": Row("confidence: peak memory with 1,000 cases", "of that of 10", "<= 1.2"),
    "growth_evaluate_memory": Row("evaluate: peak memory with 1,000 cases", "of that of 10", "<= 1.2"),
}
