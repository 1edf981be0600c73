"""The plan (network, patch size, spacing), which follows from the data, and the settings of a training.

The plan is fixed for the life of a model. The settings are what the user asks of one training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import EngineError
from ..dale.config import STRICT, CheckedConfig, DaleConfig, bounded
from ..geometry.orientation import canonical_size, canonical_spacing
from ..io.case import Case
from ..io.checks import MOST_LABEL_VALUES
from .data_shift import ImageStatistics, TrainingRange, training_range
from .networks import NETWORKS, design
from .preparation import MonaiPreparation, NnunetPreparation, Tiling

VOXELS_A_PATCH = {("cpu", 2): 128**2, ("cuda", 2): 320**2, ("cpu", 3): 36_000, ("cuda", 3): 112**3}
VOXELS_A_BATCH = {("cpu", 2): 2**16, ("cuda", 2): 2**21, ("cpu", 3): 2**17, ("cuda", 3): 2 * 112**3}
# An Apple GPU shares the machine's memory, and computes in float32, which takes twice as much; not measured.
VOXELS_A_PATCH |= {("mps", 2): 256**2, ("mps", 3): 80**3}
VOXELS_A_BATCH |= {("mps", 2): 2**20, ("mps", 3): 2 * 80**3}
_THICK = 3.0
"""On a CPU, volumes with slices this many times thicker than their pixels get a 2D network: it learns several times
as much in the same time."""
Normalise = Literal["case", "slice", "ct"]


class Plan(BaseModel):
    """Axes are those of the prepared image: R, A, S for volumes, i and j for plain 2D pictures.

    spacing: mm to resample to, or None to keep each case's own. slice_axis: for a 2D network, the axis along
    which volumes are cut. ct_window: HU range mapped to [-1, 1]. class_values: the label value of each network
    output, 0 first, so that labels such as {0, 3, 9} are learned as 0, 1, 2 and written back as 0, 3, 9. trained_on:
    what the training cases are like; None in a plan of an earlier version. image_names: of the files of one
    case, in the order of the channels; () where there is one alone, where the cases call them differently, and in a
    plan of an earlier version. imported: how images are prepared for a network of another program, in place of spacing
    and normalise; None for our own.
    """

    model_config = ConfigDict(extra="forbid")

    network: str
    network_arguments: dict[str, Any]
    dims: Literal[2, 3]
    planar: bool
    slice_axis: int
    patch_size: tuple[int, int, int]
    spacing: tuple[float, float, float] | None
    channels: int
    class_values: list[int]
    class_names: dict[int, str]
    normalise: Normalise
    ct_window: tuple[float, float] | None
    batch_size: int
    trained_on: TrainingRange | None = None
    image_names: tuple[str, ...] = ()
    imported: NnunetPreparation | MonaiPreparation | None = Field(None, discriminator="program")

    @property
    def tiling(self) -> Tiling:
        return Tiling() if self.imported is None else self.imported.tiling

    @property
    def classes(self) -> int:
        return len(self.class_values)

    @property
    def outputs(self) -> int:
        """Channels that the network gives: one a class, but where one for the background is not needed."""
        softmax = self.imported is None or self.imported.activation == "softmax"
        return self.classes if softmax else self.classes - 1

    @property
    def network_patch(self) -> tuple[int, ...]:
        """The patch as the network sees it: without the slice axis for a 2D network."""
        return tuple(n for axis, n in enumerate(self.patch_size) if self.dims == 3 or axis != self.slice_axis)


@dataclass(frozen=True)
class CaseFingerprint:
    """What planning needs to know of a case; size and spacing along the prepared axes."""

    name: str
    planar: bool
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    channels: int
    values: tuple[int, ...]
    class_names: dict[int, str]
    lowest: float
    foreground_range: tuple[float, float]
    statistics: ImageStatistics | None = None

    @property
    def labelled(self) -> bool:
        """Whether anything is."""
        return any(self.values)

    @staticmethod
    def of(case: Case) -> CaseFingerprint:
        assert case.label is not None
        inside = case.image[0][case.label > 0]
        low, high = np.percentile(inside, (0.5, 99.5)) if inside.size else (0.0, 1.0)
        return CaseFingerprint(
            case.name,
            case.geometry.dims == 2,
            canonical_size(case.geometry),
            canonical_spacing(case.geometry),
            case.channels,
            tuple(int(v) for v in np.unique(case.label)),
            dict(case.class_names),
            float(case.image.min()),
            (float(low), float(high)),
            ImageStatistics.of(case),
        )


def make_plan(
    facts: Sequence[CaseFingerprint],
    *,
    network: str | None = None,
    dims: int | None = None,
    device: str = "cpu",
    normalise: Normalise | None = None,
) -> Plan:
    """Plan a training. Raises EngineError for mixed 2D and 3D, or an unknown network."""
    if not facts:
        raise EngineError("no-cases", "There is no case to learn from; name a folder with images and labels.")
    channels = facts[0].channels
    planar = facts[0].planar
    if any(f.planar != planar for f in facts):
        raise EngineError(
            "mixed-dimensions", "Plain 2D pictures and volumes cannot be learned together; train on one kind."
        )
    size = np.median([f.size for f in facts], axis=0)
    spacing = np.median([f.spacing for f in facts], axis=0)
    flat = bool((size < 1.5).any())
    if dims == 3 and flat:
        raise EngineError("too-thin", "These images have a single slice; use a 2D network (dims 2).")
    thick = bool(spacing.max() >= _THICK * spacing.min())
    dims = dims or (2 if flat or (thick and device == "cpu") else 3)
    slice_axis = int(np.argmin(size)) if flat else int(np.argmax(spacing))
    if dims == 2:
        size[slice_axis] = 1
    machine = (device, dims)
    wanted = _patch(size, spacing, VOXELS_A_PATCH[machine])
    in_plane = [a for a in range(3) if dims == 3 or a != slice_axis]
    classes = sorted(set().union(*(f.values for f in facts)) | {0})
    if len(classes) > MOST_LABEL_VALUES + 1:
        raise EngineError(
            "too-many-classes",
            f"These labels have {len(classes) - 1} classes together, but a model learns {MOST_LABEL_VALUES} at most; "
            "leave some out or train several models.",
        )
    name = network or "UNet"
    if name not in NETWORKS:
        raise EngineError("unknown-network", f"There is no network {name!r}; choose one of {', '.join(NETWORKS)}.")
    patch, arguments = design(name, wanted[in_plane], spacing[in_plane], channels, len(classes), large=device != "cpu")
    full = [1, 1, 1]
    for axis, n in zip(in_plane, patch, strict=True):
        full[axis] = int(n)
    kind = normalise or ("ct" if channels == 1 and np.median([f.lowest for f in facts]) < -500 else "case")
    names: dict[int, str] = {}
    for f in facts:
        names.update({v: n for v, n in f.class_names.items() if v in classes})
    return Plan(
        network=name,
        network_arguments=arguments,
        dims=dims,
        planar=planar,
        slice_axis=slice_axis,
        patch_size=tuple(full),
        spacing=None if dims == 2 else tuple(float(f"{s:.5g}") for s in spacing),
        channels=channels,
        class_values=classes,
        class_names={v: names.get(v, f"class {v}") for v in classes if v},
        normalise=kind,
        ct_window=_ct_window(facts) if kind == "ct" else None,
        batch_size=int(np.clip(VOXELS_A_BATCH[machine] // np.prod(full), 2, 32)),
        trained_on=_trained_on(facts),
    )


def _trained_on(facts: Sequence[CaseFingerprint]) -> TrainingRange | None:
    known = [f.statistics for f in facts if f.statistics is not None]
    return training_range(known) if known else None


def _patch(size: np.ndarray, spacing: np.ndarray, voxels: int) -> np.ndarray:
    """The largest box, equally long in mm along every axis that has the room, of at most `voxels` voxels."""
    low, high = 0.0, float((size * spacing).max())
    if np.prod(size) <= voxels:
        return size
    for _ in range(40):
        edge = (low + high) / 2
        fits = np.prod(np.minimum(size, edge / spacing)) <= voxels
        low, high = (edge, high) if fits else (low, edge)
    return np.maximum(np.minimum(size, low / spacing), 1.0)


def _ct_window(facts: Sequence[CaseFingerprint]) -> tuple[float, float]:
    low, high = np.median([f.foreground_range for f in facts if f.labelled], axis=0).tolist()
    # a lesion alone has little contrast to its surroundings; leave room on both sides
    room = max(high - low, 100.0) * 0.5
    return round(low - room, 1), round(high + room, 1)


@dataclass(frozen=True)
class FinetuneConfig(CheckedConfig):
    """The numbers of `training.finetuning`."""

    __pydantic_config__: ClassVar = STRICT

    distillation_weight: float = bounded(8.0, ge=0.0)
    """λ: holds the network to what it predicted before, where nothing is confirmed. By hand."""
    confirmed_share: float = bounded(0.5, ge=0.0, le=1.0)
    """Of the patches, drawn near confirmed voxels; the rest is replay: as many. By hand."""
    as_predicted: float = bounded(0.9, ge=0.0, le=1.0)
    """Of those, windows of the prediction, not augmented: they are learned several times sooner. By hand."""
    scored_patches: int = bounded(16, ge=1)
    """Of each kind, for the score; evaluating both costs about as much as a step or two."""
    replay_margin: float = bounded(0.01, ge=0.0)
    """Dice that a model may lose on the replay and still be kept. By hand."""
    scores: int = bounded(12, ge=1)
    """Epochs of a time budget, each ending with a score that tells whether the fine-tune helps. By hand."""
    patience: int = bounded(5, ge=1)
    """Scores that are not the best, one after another, after which a fine-tune ends. By hand."""


LARGEST_SEED = 2**31 - 1
"""The epochs' seeds are made of it and must fit 64 bits."""


class TrainSettings(BaseModel):
    """epochs × steps_per_epoch steps, or less where `seconds` (a time budget) ends first. finetune, trusted_share: of
    fine-tuning alone."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["dale", "plain"] = "dale"
    dale: DaleConfig = DaleConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    epochs: int = Field(50, ge=1)
    steps_per_epoch: int = Field(50, ge=1)
    seconds: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    learning_rate: float = Field(3e-3, gt=0)
    focus_trusted: bool = False
    trusted_share: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def objective_settings(self) -> DaleConfig | None:
        return self.dale if self.method == "dale" else None
