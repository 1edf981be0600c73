"""Label confidence of cases under a model, and where the commands write such results.

`confidence` writes it, and `review` ranks its regions. Results go to a folder a case, on the case's own grid, in a
lossless format. Of cases that the model was trained on they also say why the voxels were learned as they were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor

from ..bundle.run_folder import find_bundle, run_of
from ..core.device import choose_device
from ..core.errors import checkpoint
from ..core.files import about_to_change, not_written, write_json
from ..core.progress import Progress
from ..dale.agreement import Agreements, ClassAgreement, class_agreement
from ..dale.candidates import shown_confidence
from ..dale.label_state import UNSEEN, LabelDisagreement, LabelState
from ..dale.quality import Recalibration, RegionContext, quality_of
from ..inference.backend import BackendName
from ..inference.measurements import Calibrations, load_agreement, load_calibration, measurements_of_label
from ..inference.predictor import Predictor, cached_predictor
from ..io.case import BY_RATER, Case, CaseSource
from ..planning.plan import Plan
from ..planning.preparation import in_own_orientation
from ..planning.preprocessing import label_classes, native_disagreement, prepare_label
from ..training.checkpoint import load_labels
from ..training.validation import load_recalibration
from .case_checks import CaseChecks, check_case, examine, labelled_alone, tell_unlike
from .dataset import find_labelled, read_labelled
from .label_source import LabelSource, native_source, source_of_case
from .parameters import ModelParameters
from .probability_files import ProbabilityFiles
from .result_files import ConfidenceParameters, ResultFiles, check_free
from .results_folder import check_apart

LABEL_SOURCE = "label_source"


@dataclass
class CaseConfidence:
    """A case with its model's probabilities (K, *grid) and its label confidence (*grid)."""

    source: CaseSource
    case: Case
    plan: Plan
    probabilities: np.ndarray
    confidence: np.ndarray
    calibrations: Calibrations
    unseen: bool
    """Whether the model did not learn from this case."""
    agreed: Agreements
    """With the labels that the model was validated on; see `load_agreement`."""
    recalibration: Recalibration
    """That the confidence has."""
    label_source: LabelSource | None
    """None where each voxel was learned as it was given, and where it is not known how it was learned."""
    progress: Progress
    """For what is still done with this case, from 60 % on."""
    position: str
    """"case 3 of 7": names of cases are often those of patients, and progress is logged and shown around."""

    def write_maps(self, files: ResultFiles) -> dict[str, Any]:
        """The paths of what was written: the confidence, for the application what of it is to be drawn, and what the
        voxels were learned from, with the number of voxels learned otherwise than given."""
        case = self.case
        paths: dict[str, Any] = {"confidence": files.write(self.source, "confidence", self.confidence, case.geometry)}
        if self.source.arrays is not None:
            shown = shown_confidence(self.confidence, np.asarray(case.label), case.geometry.array_spacing)
            paths["shown"] = files.write(self.source, "shown", shown, case.geometry)
        return paths | self._write_label_source(files)

    def _write_label_source(self, files: ResultFiles) -> dict[str, Any]:
        """Where nothing was learned otherwise than given nothing is written, and what an earlier call wrote goes."""
        folder, found = files.out / self.source.name, self.label_source
        names = folder / f"{LABEL_SOURCE}.json"
        if found is None:
            check_free(self.source, folder, LABEL_SOURCE)
            if names.is_file():
                _remove(folder, LABEL_SOURCE)
            return {LABEL_SOURCE: None, "source_names": {}, "learned_otherwise": {}}
        source_names = {number: name for number, name in enumerate(found.names) if number}
        path = files.write(self.source, LABEL_SOURCE, found.sources, self.case.geometry, source_names)
        known = {"source_names": found.numbered(), "learned_otherwise": found.counts()}
        write_json(names, known)
        return {LABEL_SOURCE: path, **known}

    @property
    def settled(self) -> np.ndarray | None:
        """(*grid) bool, where nothing is to be reviewed: confirmed already, or not annotated; None for nowhere."""
        trusted, annotated = self.case.trusted, self.case.annotated
        if annotated is None:
            return trusted
        return ~annotated if trusted is None else np.asarray(trusted, bool) | ~annotated

    def agreement(self) -> dict[int, ClassAgreement]:
        """Of the model with the label, by label value."""
        label, probabilities = label_classes(self.case, self.plan), self.probabilities
        if self.case.annotated is not None:
            label, probabilities = label[self.case.annotated], probabilities[:, self.case.annotated]
        return class_agreement(label, probabilities, self.plan.class_values)

    def extents(self) -> dict[str, Any]:
        """Volume and diameter of each class in the label, with intervals."""
        return measurements_of_label(self.case, self.probabilities, self.plan, self.calibrations, unseen=self.unseen)


@dataclass(frozen=True)
class Judge:
    """What judges labels, with what is known of it."""

    predictor: Predictor | ProbabilityFiles
    calibrations: Calibrations
    agreed: Agreements
    labels: Mapping[str, LabelState]
    """Of the cases it was trained on."""
    recalibration: Recalibration

    @cached_property
    def learned(self) -> frozenset[str]:
        """The names of those cases, and of the cases whose raters' labels they are."""
        return frozenset({*self.labels, *(name.rpartition(BY_RATER)[0] for name in self.labels)})

    @staticmethod
    def of_model(model: Path, device: torch.device, backend: BackendName = "auto") -> Judge:
        bundle = find_bundle(model)
        return Judge(
            cached_predictor(model, device, backend),
            load_calibration(bundle),
            load_agreement(bundle),
            load_labels(run_of(bundle)),
            load_recalibration(run_of(bundle)),
        )

    @staticmethod
    def of_files(folder: Path, sources: Sequence[CaseSource], progress: Progress) -> Judge:
        """Nothing is known of how these probabilities came about."""
        return Judge(ProbabilityFiles.of(folder, sources, progress), {}, {}, {}, Recalibration())


@dataclass
class PreparedInput:
    """A case that is read and prepared, before the long look at all of it."""

    source: CaseSource
    case: Case
    image: MetaTensor | None
    """For the model; None where files hold its answer."""
    disagreement: LabelDisagreement | None
    label_source: LabelSource | None
    judge: Judge
    progress: Progress
    position: str

    @property
    def unseen(self) -> bool:
        """Whether the model did not learn from this case."""
        return self.judge.learned.isdisjoint((self.source.name, self.source.of_case or self.source.name))


def prepared_inputs(asked: ModelParameters, progress: Progress, looked: CaseChecks) -> Iterator[PreparedInput]:
    """One case after the other, without those that have no label. Cases the model was trained on bring what training
    remembered of their label. looked: gets what was found out about the cases before the work."""
    files = asked.probabilities if isinstance(asked, ConfidenceParameters) else None
    judge = Judge.of_model(asked.model, choose_device(asked.device), asked.backend) if files is None else None
    labelled = labelled_alone(asked.cases.find(), progress, looked)
    known = None if judge is None else judge.predictor.plan.class_names
    sources = find_labelled(asked.cases, progress, labelled, known)
    if judge is None:
        judge = Judge.of_files(cast(Path, files), sources, progress)
    plan = judge.predictor.plan
    check_apart(asked.out, sources)
    if len(sources) > 1:
        examine(sources, plan, progress.part(0, 5), looked, labelled=True, out=asked.out, maps=1)
        progress = progress.part(5, 100)
    for i, source in enumerate(sources):
        message = f"Case {i + 1} of {len(sources)}"
        part = progress.part(100.0 * i / len(sources), 100.0 * (i + 1) / len(sources))
        part.check()
        part.report(0, "confidence", message)
        case = read_labelled(source, plan.class_names)
        part.check()
        if len(sources) == 1:
            looked.unlike[case.name] = check_case(case, plan, source.image_names)
            tell_unlike(looked, part)
        image = judge.predictor.prepare(case, part)
        part.check()
        learned = judge.labels.get(source.name) or judge.labels.get(source.rater_name)
        disagreement, label_source = _native(learned, case, plan, part)
        label_source = label_source or source_of_case(case)
        part.check()
        yield PreparedInput(source, case, image, disagreement, label_source, judge, part, message)
        del case, image, disagreement, label_source  # before the next takes as much again


def case_confidences(
    asked: ModelParameters,
    progress: Progress,
    first: Callable[[PreparedInput], None] | None = None,
    looked: CaseChecks | None = None,
) -> Iterator[CaseConfidence]:
    """Of the cases of `prepared_inputs`. first: is called with every case before the model looks at the whole of it."""
    looked = CaseChecks() if looked is None else looked
    for ready in prepared_inputs(asked, progress, looked):
        case, part, judge = ready.case, ready.progress, ready.judge
        plan, recalibration = judge.predictor.plan, judge.recalibration
        if first is not None:
            first(ready)
        probabilities = judge.predictor.probabilities(case, part, image=ready.image)
        part.check()
        part.report(40, "confidence", ready.position)
        confidence = confidence_map(case, plan, probabilities, ready.disagreement, recalibration=recalibration)
        part.check()
        part.report(60, "confidence", ready.position)
        yield CaseConfidence(
            ready.source,
            case,
            plan,
            probabilities,
            confidence,
            judge.calibrations if looked.intervals_hold(case.name) else {},
            ready.unseen,
            judge.agreed,
            recalibration,
            ready.label_source,
            part,
            ready.position.lower(),
        )
        del ready, case, probabilities, confidence  # before the next takes as much again


def confidence_map(
    case: Case,
    plan: Plan,
    probabilities: np.ndarray,
    disagreement: LabelDisagreement | None,
    recalibration: Recalibration | None = None,
    around: RegionContext | None = None,
    even_odds: bool = False,
) -> np.ndarray:
    """float32 in [0, 1], (*grid): the closed-form confidence of the label, 1 where trusted and one half, which says
    nothing, where it is not annotated; see `label_quality`.

    probabilities: (K, *grid) of the model; disagreement: what training found about this very label, on
    its grid, or None for a case the model was not trained on, whose confidence then follows from the model alone;
    recalibration: what review has found out about this confidence; around: of a case that is a part of an image;
    even_odds: leave out how much an agreement says (`agreement_logit`).
    """
    classes = label_classes(case, plan)
    checkpoint()
    spacing = None if even_odds else case.geometry.array_spacing
    confidence = quality_of(
        probabilities,
        classes,
        disagreement,
        spacing,
        around=around,
        calibrator=recalibration,
        reviewed=None if case.trusted is None else np.asarray(case.trusted, bool),
    )
    if case.annotated is not None:
        confidence = np.where(case.annotated, confidence, np.float32(UNSEEN))
    return confidence


def _native(
    labels: LabelState | None, case: Case, plan: Plan, progress: Progress
) -> tuple[LabelDisagreement | None, LabelSource | None]:
    """What training found about this label and learned in its place, on the case's own grid; None where it saw no such
    case, and in place of the second where every voxel was learned as given."""
    if labels is None:
        return None, None
    label, affine = prepare_label(case, plan)
    progress.check()
    known = labels.disagreement_of(label)
    if known is None:
        return None, None
    grid = in_own_orientation(case.geometry, plan.imported)
    source = native_source(labels, affine, grid)
    progress.check()
    return native_disagreement(known, affine, grid), source


def summary(doubt: CaseConfidence, paths: dict[str, str]) -> dict[str, Any]:
    case = doubt.case
    inside = doubt.confidence[np.asarray(case.label) > 0]
    everywhere = doubt.confidence if case.annotated is None else doubt.confidence[case.annotated]
    mean = float((inside if inside.size else everywhere).mean()) if everywhere.size else UNSEEN
    left_out = 0 if case.annotated is None else int(np.count_nonzero(~case.annotated))
    return {"name": case.name, **paths, "mean_confidence": round(mean, 4), "not_annotated": left_out}


def _remove(folder: Path, stem: str) -> None:
    try:
        for path in folder.glob(f"{stem}.*"):
            about_to_change(path)
            path.unlink(missing_ok=True)
    except OSError as error:
        raise not_written(stem, folder, error) from error
