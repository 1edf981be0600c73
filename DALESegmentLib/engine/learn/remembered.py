"""What a training learned about the labels it saw, and which labels these were.

Disagreement belongs to one label: where that was corrected, or another rater's is looked at, it says nothing. The
labels are kept once a run, beside the checkpoint that is written every epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..dale.disagreement import START
from ..distributed.ranks import Ranks
from ..errors import EngineError
from .checkpoint import DISAGREEMENT, LEARNED
from .folder import CHECKPOINT_FILE, LABELS_FILE, write_atomically
from .prepare import PreparedCase

TRUSTED = "trusted/"
GIVEN = "given/"


@dataclass(frozen=True)
class Remembered:
    """label (x, y, z) uint8 network classes, disagreement (x, y, z) float16, trusted (x, y, z) bool; all on the case's
    prepared grid. given: as label, before anybody corrected or redrew it; learned: as label, what was learned from in
    the end, where outlines were drawn anew (`Outlines`); the disagreement is about that one."""

    label: Tensor
    disagreement: Tensor
    trusted: Tensor
    given: Tensor
    learned: Tensor | None = None

    def about(self, label: Tensor) -> Tensor | None:
        """The disagreement of the voxels that still have the label it is about, START elsewhere; None where the
        grid is another one. label: (x, y, z) network classes."""
        if label.shape != self.label.shape:
            return None
        if self.learned is None:
            return self.disagreement.masked_fill(label != self.label, START)
        about = self.disagreement.masked_fill(label != self.learned, START)
        moved = (label == self.label) & (label != self.learned) & (self.disagreement != START)
        return torch.where(moved, 1.0 - self.disagreement, about)

    def go_on(self, case: PreparedCase) -> None:
        """Learn from the outlines that were drawn anew, where the case still has the label they were drawn from."""
        if self.learned is None or self.learned.shape != case.label.shape:
            return
        same = (case.label == self.label) & (case.label != self.learned) & ~case.trusted
        if bool(same.any()):
            case.begun = case.label.clone()
            case.label = torch.where(same, self.learned.to(case.label.dtype), case.label)


def labels_of(cases: Sequence[PreparedCase], ranks: Ranks) -> dict[str, Tensor]:
    """What `save_labels` writes, of all cases on the first rank. cases: the rank's own."""
    all_cases = ranks.together([(case.name, tuple(case.label.shape)) for case in cases])
    names, shapes = [name for name, _ in all_cases], [shape for _, shape in all_cases]
    begun = [case.label_begun.to(torch.uint8).contiguous() for case in cases]
    labels = ranks.to_first(begun, shapes)
    trusted = ranks.to_first([case.trusted.contiguous() for case in cases], shapes)
    first = [label if case.given is None else case.given for case, label in zip(cases, begun, strict=True)]
    given = ranks.to_first([label.to(torch.uint8).contiguous() for label in first], shapes)
    found = dict(zip(names, labels, strict=False))
    found |= {GIVEN + n: g for n, g, label in zip(names, given, labels, strict=False) if not torch.equal(g, label)}
    return found | {TRUSTED + name: t for name, t in zip(names, trusted, strict=False) if bool(t.any())}


def save_labels(run_folder: Path, labels: dict[str, Tensor]) -> None:
    write_atomically(run_folder / LABELS_FILE, save(labels))


def load_remembered(run_folder: Path) -> dict[str, Remembered]:
    """By case name; empty where the folder holds a model on its own. Raises EngineError("checkpoint-unusable")."""
    checkpoint, labels = run_folder / CHECKPOINT_FILE, run_folder / LABELS_FILE
    if not (checkpoint.is_file() and labels.is_file()):
        return {}
    try:
        with safe_open(checkpoint, "pt") as s, safe_open(labels, "pt") as label:
            names = {n for n in label.keys() if DISAGREEMENT + n in s.keys()}  # noqa: SIM118
            return {n: _remembered(n, label, s) for n in names}
    except (OSError, SafetensorError) as error:
        raise EngineError("checkpoint-unusable", f"{checkpoint.name} is damaged; train the model again.") from error


def _remembered(name: str, labels: safe_open, checkpoint: safe_open) -> Remembered:
    label, known = labels.get_tensor(name), labels.keys()
    disagreement = checkpoint.get_tensor(DISAGREEMENT + name)
    learned = checkpoint.get_tensor(LEARNED + name) if LEARNED + name in checkpoint.keys() else None  # noqa: SIM118
    trusted = labels.get_tensor(TRUSTED + name) if TRUSTED + name in known else torch.zeros_like(label).bool()
    given = labels.get_tensor(GIVEN + name) if GIVEN + name in known else label
    others = (disagreement, trusted, given, label if learned is None else learned)
    if any(values.shape != label.shape for values in others):
        raise EngineError(
            "checkpoint-unusable", f"What is kept of {name} does not fit together; train the model again."
        )
    return Remembered(label, disagreement, trusted, given, learned)
