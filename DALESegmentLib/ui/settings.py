"""What can be chosen from a list, as kept with the scene; the labels are what the reader sees."""

from __future__ import annotations

import enum

from slicer.i18n import tr as _


class TrainingMethod(enum.Enum):
    dale = "dale"
    plain = "plain"

    def label(self) -> str:
        return {"dale": _("DALE (learns label confidence)"), "plain": _("Plain (trusts every label)")}[self.value]


class TrainingSource(enum.Enum):
    scene = "scene"
    folder = "folder"

    def label(self) -> str:
        return {"scene": _("The case in the scene"), "folder": _("A folder of cases")}[self.value]


class Device(enum.Enum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"

    def label(self) -> str:
        return {"auto": _("Automatic"), "cpu": _("Processor"), "cuda": _("GPU (CUDA)")}[self.value]
