"""Label confidence of cases under a model, and where the commands write such results.

`confidence` writes it, and `review` ranks its regions. Results go to a folder a case, on the case's own grid, in a
lossless format; measurements of all cases go to one table (CSV). Of cases that the model was trained on they also say
why the voxels were learned as they were.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from ..bundle.run_folder import find_bundle
from ..core.device import choose_device
from ..core.errors import checkpoint
from ..core.files import not_written, replacing, write_json
from ..core.progress import Progress
from ..dale.agreement import Agreements, ClassAgreement, class_agreement
from ..dale.candidates import shown_confidence
from ..dale.issues import Region
from ..dale.label_state import IGNORED, SOURCES, LabelDisagreement, LabelState
from ..dale.quality import Recalibration, RegionContext, quality_of
from ..geometry.grid import Geometry
from ..inference.measurements import Calibrations, load_agreement, load_calibration, measurements_of_label
from ..inference.predictor import Predictor, cached_predictor
from ..io.case import Case, CaseSource
from ..planning.plan import Plan
from ..planning.preprocessing import label_classes, native_disagreement, prepare_label, to_native
from ..training.checkpoint import load_labels
from ..training.validation import load_recalibration
from .dataset import read_labelled
from .parameters import ModelParameters
from .result_files import ResultFiles, check_free

LABEL_SOURCE = "label_source"
GIVEN, REVIEWED = SOURCES.index("given"), SOURCES.index("reviewed")


@dataclass
class LabelSource:
    """sources: uint8 (*grid), by number in `names`; a corrector's only where another class was learned than the given
    one. learned: int16 (*grid) network classes, IGNORED where nothing was learned."""

    sources: np.ndarray
    learned: np.ndarray
    names: tuple[str, ...]

    @property
    def changed(self) -> np.ndarray:
        """bool (*grid): whether the voxel was learned otherwise than given."""
        return (self.sources != GIVEN) & (self.sources != REVIEWED)

    def counts(self) -> dict[str, int]:
        """The voxels that were learned otherwise than given, by source, most first."""
        counts = np.bincount(self.sources[self.changed], minlength=len(self.names))
        order = np.argsort(-counts, kind="stable")
        return {self.names[i]: int(counts[i]) for i in order if counts[i]}

    def numbered(self) -> dict[str, str]:
        """{number: name} of the sources that occur, as JSON has it."""
        return {str(number): self.names[number] for number in np.unique(self.sources).tolist()}

    def described(self, region: Region, region_map: np.ndarray, plan: Plan, names: Mapping[int, str]) -> Region:
        """The region with the most frequent source and learned class of its voxels that were learned otherwise than
        given. region_map: (*grid) of `region_id`; names: of classes, by label value."""
        box = tuple(slice(a, b + 1) for a, b in zip(region.first_voxel[::-1], region.last_voxel[::-1], strict=True))
        changed = (region_map[box] == region.region_id) & self.changed[box]
        if not changed.any():
            return replace(region, label_source=self.names[GIVEN])
        pairs = np.stack([values[box][changed].astype(np.int64) for values in (self.sources, self.learned)])
        found, counts = np.unique(pairs, axis=1, return_counts=True)
        source, learned = (int(number) for number in found[:, counts.argmax()])
        described = replace(region, label_source=self.names[source], learned_voxels=int(counts.max()))
        if learned == IGNORED:
            return described
        value = plan.class_values[learned]
        name = names.get(value, f"Class {value}") if value else "background"
        return replace(described, learned_value=value, learned_class=name)


def native_source(labels: LabelState, affine: Tensor, geometry: Geometry) -> LabelSource | None:
    """By nearest neighbour on the case's own grid; None where every voxel was learned as it was given.

    affine: of the prepared grid that `labels` lies on.
    """
    if not labels.proposals and labels.corrected is None:
        return None
    learned, sources = labels.target(), labels.source()
    sources = sources.masked_fill((learned == labels.given) & (sources != REVIEWED), GIVEN)
    both = to_native(torch.stack([sources.float(), learned.float()]), affine, geometry, "nearest")
    source = LabelSource(both[0].astype(np.uint8), both[1].astype(np.int16), labels.source_names)
    return source if source.changed.any() else None


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

    def agreement(self) -> dict[int, ClassAgreement]:
        """Of the model with the label, by label value."""
        return class_agreement(label_classes(self.case, self.plan), self.probabilities, self.plan.class_values)

    def extents(self) -> dict[str, Any]:
        """Volume and diameter of each class in the label, with intervals."""
        return measurements_of_label(self.case, self.probabilities, self.plan, self.calibrations, unseen=self.unseen)


@dataclass
class PreparedInput:
    """A case that is read and prepared, before the long look at all of it."""

    source: CaseSource
    case: Case
    image: MetaTensor
    disagreement: LabelDisagreement | None
    recalibration: Recalibration
    predictor: Predictor
    progress: Progress


def case_confidences(
    asked: ModelParameters, progress: Progress, first: Callable[[PreparedInput], None] | None = None
) -> Iterator[CaseConfidence]:
    """One case after the other. Cases the model was trained on bring what training remembered of their label.

    first: is called with every case before the model looks at the whole of it.
    """
    device = choose_device(asked.device)
    predictor = cached_predictor(asked.model, device)
    plan, bundle = predictor.plan, find_bundle(asked.model)
    run_folder, calibrations, agreed = bundle.parent, load_calibration(bundle), load_agreement(bundle)
    labels, recalibration = load_labels(run_folder), load_recalibration(run_folder)
    sources = asked.cases.find()
    for i, source in enumerate(sources):
        message = f"Case {i + 1} of {len(sources)}"
        part = progress.part(100.0 * i / len(sources), 100.0 * (i + 1) / len(sources))
        part.check()
        part.report(0, "confidence", message)
        case = read_labelled(source, plan.class_names)
        part.check()
        image = predictor.prepare(case, part)
        part.check()
        disagreement, label_source = _native(labels.get(source.name), case, plan, part)
        part.check()
        if first is not None:
            first(PreparedInput(source, case, image, disagreement, recalibration, predictor, part))
        probabilities = predictor.probabilities(case, part, image=image)
        part.check()
        part.report(40, "confidence", message)
        confidence = confidence_map(case, plan, probabilities, disagreement, recalibration=recalibration)
        part.check()
        part.report(60, "confidence", message)
        unseen = source.name not in labels
        yield CaseConfidence(
            source,
            case,
            plan,
            probabilities,
            confidence,
            calibrations,
            unseen,
            agreed,
            recalibration,
            label_source,
            part,
            message.lower(),
        )
        del case, image, disagreement, probabilities, confidence, label_source  # before the next takes as much again


def confidence_map(
    case: Case,
    plan: Plan,
    probabilities: np.ndarray,
    disagreement: LabelDisagreement | None,
    recalibration: Recalibration | None = None,
    around: RegionContext | None = None,
    even_odds: bool = False,
) -> np.ndarray:
    """float32 in [0, 1], (*grid): the closed-form confidence of the label, 1 where trusted; see `label_quality`.

    probabilities: (K, *grid) of the model; disagreement: what training found about this very label, on
    its grid, or None for a case the model was not trained on, whose confidence then follows from the model alone;
    recalibration: what review has found out about this confidence; around: of a case that is a part of an image;
    even_odds: leave out how much an agreement says (`agreement_logit`).
    """
    classes = label_classes(case, plan)
    checkpoint()
    spacing = None if even_odds else case.geometry.array_spacing
    return quality_of(
        probabilities,
        classes,
        disagreement,
        spacing,
        around=around,
        calibrator=recalibration,
        reviewed=None if case.trusted is None else np.asarray(case.trusted, bool),
    )


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
    source = native_source(labels, affine, case.geometry)
    progress.check()
    return native_disagreement(known, affine, case.geometry), source


def summary(doubt: CaseConfidence, paths: dict[str, str]) -> dict[str, Any]:
    inside = doubt.confidence[np.asarray(doubt.case.label) > 0]
    mean = float(inside.mean()) if inside.size else float(doubt.confidence.mean())
    return {"name": doubt.case.name, **paths, "mean_confidence": round(mean, 4)}


def _remove(folder: Path, stem: str) -> None:
    try:
        for path in folder.glob(f"{stem}.*"):
            path.unlink()
    except OSError as error:
        raise not_written(stem, folder, error) from error


TABLE = "extents.csv"
FIGURES = ("volume_ml", "area_mm2", "diameter_mm")
ENDS = {"value": "", "low": "_low", "high": "_high"}
COLUMNS = ("case", "label_value", "class_name", *(figure + end for figure in FIGURES for end in ENDS.values()))


def write_measurements(items: Iterable[Mapping[str, Any]], out: Path) -> str:
    """One row a case and class; what is not known is left empty. Returns the path; raises the errors of `replacing`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for item in items:
        for value, extent in item["extents"].items():
            row = {"case": item["name"], "label_value": value, "class_name": extent["name"]}
            for figure in FIGURES:
                for end, number in extent.get(figure, {}).items():
                    row[figure + ENDS[end]] = number
            writer.writerow(row)
    with replacing(out / TABLE) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8", newline="")
    return str(out / TABLE)
