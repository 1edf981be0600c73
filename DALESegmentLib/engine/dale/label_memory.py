"""The labels of all cases of a training, and what is learned about them, patch by patch.

A loop asks for the labels of the patches it drew, and hands them to the loss, which writes the new disagreement back:

    memory = LabelMemory()
    memory.add("case 1", label)
    labels = memory.at([PatchIndex("case 1", (0, 0, 0), (64, 64, 64))])
    loss = DaleLoss(num_classes=3)(network(images), labels, progress=0.1)

A few times during a training, `refine` lets label correctors propose other labels to learn from; `label_correctors`
makes them. In several processes (torch.distributed) each has a memory of its own cases: case i of all is the process's
whose rank is i modulo their number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..core.distributed import Ranks, current
from ..core.errors import EngineError, checkpoint
from .arrays import as_array, checked_spacing
from .config import DaleConfig
from .correctors.base import LabelCorrector, LabelledImage, Predict, PredictedBy, Predictions
from .label_state import IGNORED, LabelState
from .partition import stride
from .patches import CaseName, PatchIndex, PatchLabels, class_voxels, unknown_class


@dataclass
class _Case:
    """A case that `LabelMemory.add` made."""

    name: Any
    labels: LabelState
    spacing: tuple[float, ...]
    given_image: Tensor | None

    @property
    def image(self) -> Tensor:
        if self.given_image is None:
            raise EngineError(
                "no-image", f"A corrector needs the image of {self.name}; add it with memory.add(..., image=image)."
            )
        return self.given_image


class LabelMemory(Mapping[CaseName, LabelState]):
    """The `LabelState` of each case by its name. cases: some to begin with, on their own labels and images."""

    def __init__(self, cases: Mapping[CaseName, LabelledImage] | None = None) -> None:
        self._cases = dict(cases or {})
        self._classes: dict[CaseName, int] = {}
        self._sample: _Sample | None = None

    def __getitem__(self, case: CaseName) -> LabelState:
        if case not in self._cases:
            raise EngineError(
                "unknown-case",
                f"There is no case {case!r} in the memory; add it first, with memory.add({case!r}, label).",
            )
        return self._cases[case].labels

    def __contains__(self, case: object) -> bool:
        return case in self._cases

    def __iter__(self) -> Iterator[CaseName]:
        return iter(self._cases)

    def __len__(self) -> int:
        return len(self._cases)

    @property
    def cases(self) -> list[LabelledImage]:
        return list(self._cases.values())

    def add(
        self,
        case: CaseName,
        label: Tensor | np.ndarray,
        reviewed: Tensor | np.ndarray | None = None,
        *,
        before_review: Tensor | np.ndarray | None = None,
        image: Tensor | np.ndarray | None = None,
        spacing: Sequence[float] | None = None,
    ) -> LabelState:
        """Take up a case; arrays are copied, the image is not.

        Args:
            case: its name.
            label: (*grid) whole numbers, 2D or 3D: classes from 0 on; negative where nothing is to be learned.
            reviewed: (*grid) bool, where a reviewer confirmed or corrected the label; nowhere by default.
            before_review: (*grid) what the label was before, from which `AnnotatorBias` learns.
            image: (C, *grid), for `ImageEvidence`.
            spacing: mm along each axis of the grid; 1 by default.

        Raises:
            EngineError: "case-twice", "bad-label" or "bad-shape".
        """
        if case in self._cases:
            raise EngineError("case-twice", f"The case {case!r} is in the memory already; give each case another name.")
        given = _classes_of(case, label)
        mask = None if reviewed is None else _plain(reviewed).cpu().bool().clone().contiguous()
        state = LabelState(given, mask if mask is None else _fitting(case, "reviewed mask", mask, given))
        if before_review is not None:
            state.restore_given(_fitting(case, "label before the review", _classes_of(case, before_review), given))
        if image is not None:
            image = _plain(image)
            _fitting(case, "image", image[0] if image.ndim else image, given)
        try:
            steps = checked_spacing(spacing, given.ndim)
        except ValueError as error:
            raise EngineError("bad-shape", f"Of {case!r} the {error}") from error
        self._cases[case] = _Case(case, state, steps, image)
        self._classes[case] = int(given.max()) + 1
        return state

    def at(self, where: Sequence[PatchIndex | CaseName], device: torch.device | str = "cpu") -> PatchLabels:
        """The labels of these patches, of one shape; a case's name stands for the whole case. Raises EngineError."""
        if isinstance(where, (str, PatchIndex)) or not isinstance(where, Sequence):
            raise EngineError(
                "bad-shape", f"memory.at takes a list of PatchIndex or of names of cases, not a {type(where).__name__}."
            )
        states = [self[index.case if isinstance(index, PatchIndex) else index] for index in where]
        patches = [
            index if isinstance(index, PatchIndex) else PatchIndex.whole(index, state.shape)
            for index, state in zip(where, states, strict=True)
        ]
        labels, reviewed, disagreement, seen = [], [], [], []
        for index, state in zip(patches, states, strict=True):
            part = index.coverage(state.shape)
            labels.append(index.oriented(part.padded(state.target(part.where), IGNORED)))
            reviewed.append(index.oriented(part.padded(state.reviewed[part.where], False)))
            disagreement.append(index.oriented(part.padded(state.disagreement[part.where], 0.0)))
            seen.append(index.oriented(part.padded(state.seen[part.where], True)))
        if len({patch.shape for patch in labels}) != 1:
            raise EngineError(
                "bad-shape", "The patches of a batch must be of one shape, and there must be one; give each one size."
            )
        return PatchLabels(
            _stacked([label.clamp_min(0) for label in labels], device).long(),
            _stacked(reviewed, device),
            _stacked([label >= 0 for label in labels], device).float(),
            _stacked(disagreement, device).float(),
            _stacked(seen, device),
            len(patches),
            max(self._classes.get(index.case, 0) for index in patches),
            list(zip(states, patches, strict=True)),
            torch.tensor([state.is_empty and not state.drawn_by_others for state in states], device=device),
        )

    def disagreement_by_class(self, num_classes: int) -> list[np.ndarray]:
        """(N,) float16 for each class: the disagreement of an even sample of its voxels over all cases of all
        processes, fewer than 100 000. Which voxels these are does not depend on the number of processes. Raises
        EngineError("unknown-class")."""
        ranks = current()
        versions = [num_classes, *(case.labels.target_version for case in self.cases)]
        if any(ranks.all_gather([self._sample is None or self._sample.versions != versions])):
            self._sample = _Sample(versions, self._sampled(num_classes, ranks))
        assert self._sample is not None
        found = []
        for c in range(num_classes):
            chosen = [sampled[c] for sampled in self._sample.voxels]
            own = [case.labels.disagreement.view(-1)[n].numpy() for case, n in zip(self.cases, chosen, strict=True)]
            found.append(np.concatenate(ranks.all_gather(own)))
        return found

    def refine(
        self, correctors: Sequence[LabelCorrector], predict: Predict | Predictions, seconds: float = math.inf
    ) -> int:
        """Fit the correctors to all cases, the weakest corrector first, and learn what they propose.

        Args:
            correctors: see `label_correctors`.
            predict: gives a case's (K, *grid) probabilities by its name; asked only where a corrector needs them.
            seconds: cases that are not reached in this time stay as they are; the first is always done.

        Returns:
            How many times a voxel's target moved.
        """
        predictions = PredictedBy(predict) if callable(predict) else predict
        for corrector in correctors:
            corrector.fit(_within(seconds, self.cases), predictions)
        moved = 0
        for case in _within(seconds, self.cases):
            with case.labels.revision():
                for corrector in correctors:
                    moved += case.labels.set_proposal(corrector.name, corrector.propose(case, predictions))
        return moved

    def state_dict(self) -> dict[CaseName, dict[str, Tensor]]:
        """What `LabelState.state_dict` gives, by case; not copied."""
        return {name: case.labels.state_dict() for name, case in self._cases.items()}

    def load_state_dict(self, state: Mapping[CaseName, Mapping[str, Tensor]]) -> None:
        """Take over what was kept of the cases that were added, which are to be the same ones. Raises EngineError."""
        if set(state) != set(self._cases):
            differing = ", ".join(sorted(repr(name) for name in set(state) ^ set(self._cases)))
            raise EngineError("other-cases", f"Add the same cases before what was kept of them; {differing} differ.")
        try:
            for name, arrays in state.items():
                self[name].load_state_dict(arrays)
        except ValueError as error:
            raise EngineError("bad-shape", f"What was kept of {name!r} is of another label: {error}.") from error

    def _sampled(self, num_classes: int, ranks: Ranks) -> list[dict[int, Tensor]]:
        """By class the chosen voxels of each case, as if those of all cases lay one after the other."""
        own = [case.labels.class_counts() for case in self.cases]
        if not any(ranks.all_gather([len(own)])):
            raise EngineError(
                "no-cases", "There is no case in the memory; add some first, with memory.add(name, label)."
            )
        for case, found in zip(self.cases, own, strict=True):
            if max(found, default=0) >= num_classes:
                raise unknown_class(case.name, max(found), num_classes)
        counts = np.array(ranks.all_gather([[each.get(c, 0) for c in range(num_classes)] for each in own]))
        every = dict(enumerate(stride(int(n)) for n in counts.sum(0)))
        before = ranks.shard([*np.cumsum([np.zeros_like(counts[0]), *counts[:-1]], axis=0)])
        passed = [dict(enumerate(n.tolist())) for n in before]
        return [class_voxels(case.labels, every, n) for case, n in zip(self.cases, passed, strict=True)]


@dataclass(frozen=True)
class _Sample:
    """The voxels of `disagreement_by_class`, and for what versions of the targets they were chosen."""

    versions: list[int]
    voxels: list[dict[int, Tensor]]


def label_correctors(
    memory: LabelMemory, num_classes: int, config: DaleConfig, slice_axis: int | None = None
) -> list[LabelCorrector]:
    """Those that are switched on, and of use with these labels, the weakest first. slice_axis: across the slices, of
    cases that are learned slice by slice. `AnnotatorBias` is not among them: it needs no network, and works before a
    training, see `correct_bias`."""
    ranks = current()
    labels = [case.labels for case in memory.cases]
    drawn = ranks.all_gather([set(each.class_counts(each.initial)) | each.drawn_by_others for each in labels])

    def gather(value: Any) -> list[Any]:
        return ranks.all_gather([value])

    found: list[LabelCorrector] = []
    evidence = config.image_evidence_config
    if config.image_evidence and len(drawn) * (num_classes - 1) >= evidence.min_cases:
        from .correctors.image_evidence import ImageEvidence  # brings scipy and scikit-image

        found.append(ImageEvidence(evidence, slice_axis, gather))
    lacking = {value for value in range(1, num_classes) if any(value not in each for each in drawn)}
    if config.missed_objects and lacking:
        from .correctors.missed_objects import MissedObjects  # brings scipy

        found.append(MissedObjects(lacking, config.missed_objects_config, gather))
    return found


def _within(seconds: float, cases: Sequence[LabelledImage]) -> Iterator[LabelledImage]:
    started = time.monotonic()
    for n, case in enumerate(cases):
        if n and time.monotonic() - started > seconds:
            return
        checkpoint()
        yield case


def _stacked(patches: Sequence[Tensor], device: torch.device | str) -> Tensor:
    return torch.stack([patch.contiguous() for patch in patches]).to(device, non_blocking=True)


def _plain(values: Any) -> Tensor:
    """A tensor, of MONAI's MetaTensor without what belongs to it. Raises EngineError("bad-label")."""
    if isinstance(values, Tensor):
        return values.as_subclass(Tensor)
    array = as_array(values)
    if array.dtype.kind not in "biuf":
        raise EngineError("bad-label", f"Give arrays of numbers; {values!r:.60} is none.")
    return torch.from_numpy(array)


def _classes_of(case: CaseName, label: Any) -> Tensor:
    """(*grid) int16, a copy. Raises EngineError("bad-label" or "bad-shape")."""
    values = _plain(label).detach().cpu()
    if values.ndim not in (2, 3) or not values.numel():
        raise EngineError(
            "bad-shape",
            f"The label of {case!r} has the shape {tuple(values.shape)}; give a 2D or 3D one without the channel axis.",
        )
    if values.dtype in (torch.uint16, torch.uint32, torch.uint64):  # which torch does not compare
        values = values.long()
    classes = values.to(torch.int16, copy=True).contiguous()
    if not bool((classes == values).all()):
        raise EngineError(
            "bad-label", f"The label of {case!r} is not of whole numbers below 32768; give the class of each voxel."
        )
    return classes.clamp_min_(IGNORED)


def _fitting(case: CaseName, what: str, values: Tensor, given: Tensor) -> Tensor:
    """The values, on the grid of the label. Raises EngineError("bad-shape")."""
    if values.shape != given.shape:
        raise EngineError(
            "bad-shape",
            f"The {what} of {case!r} is of {tuple(values.shape)} voxels, its label of {tuple(given.shape)}; "
            "give both on one grid.",
        )
    return values
