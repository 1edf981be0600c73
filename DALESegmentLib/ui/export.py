"""Exports decisions, maps and the model into the folder that the reader chose."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from datetime import datetime, timezone
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ..engine import __version__
from ..engine.bundle.run_folder import find_bundle
from ..engine.core.errors import EngineError
from ..engine.core.files import not_written
from ..engine.geometry.grid import Geometry
from ..engine.io.dicom_objects import Provenance, class_segments, save, segmentation
from ..engine.io.dicom_source import images_of, lies_on
from ..engine.io.images import write_image
from ..engine.io.segmentations import Segment, Segmentation, write_segmentation
from ..engine.review.decisions import write_decisions_csv, write_decisions_json
from ..engine.review.dicom_review import decisions_of_rows, region_key, review_objects
from ..mrml import hidden_volumes, label_source
from ..mrml.decisions import decisionLog, decisionRows
from ..mrml.regions import listNotes, rowsFromTable
from ..mrml.volumes import dicomFiles
from .audit import Audit
from .workflow import Workflow


class Exporter:
    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def decisions(self, folder: Path) -> None:
        """review-<image>.csv and .json; where the image came from DICOM, also the reviewed segmentation, the regions
        and a report on the decisions as DICOM. Raises EngineError "no-review"."""
        workflow = self._workflow
        table = workflow.state.regionTable
        if table is None:
            raise EngineError("no-review", "There are no regions yet; list the doubtful regions first.")
        if other := workflow.review.reading.hiddenReader():
            text = _("The list holds what {name} decided; press Read blind to decide on your own.")
            raise EngineError("other-reader", text.format(name=other))
        image, segmentation = workflow.review.reviewedNames() + [""] * (2 - len(workflow.review.reviewedNames()))
        rows, stem = decisionRows(table), f"review-{_fileName(image or 'image')}"
        record = {
            "image": image,
            "segmentation": segmentation,
            "model": Path(workflow.state.model).name,
            "exported": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "notes": listNotes(table),
            "regions": rows,
            "log": decisionLog(table),
            "audit": Audit(workflow.state).record(),
        }
        write_decisions_csv(rows, folder / f"{stem}.csv")
        write_decisions_json(record, folder / f"{stem}.json")
        written = _("Written: {name}.csv and {name}.json.").format(name=stem)
        made = self._dicom(folder, stem, rows)
        workflow.onMessage(" ".join(filter(None, (written, made))))

    def dicomReview(self, folder: Path, stem: str) -> str:
        """This reader's decisions as DICOM; "" where the image came from elsewhere or there is no list."""
        table = self._workflow.state.regionTable
        return "" if table is None else self._dicom(folder, stem, decisionRows(table))

    def _dicom(self, folder: Path, stem: str, rows: list[dict[str, Any]]) -> str:
        """The review as DICOM, in the study of the image. Returns what is said of it, "" where the image came from
        elsewhere."""
        workflow, state = self._workflow, self._workflow.state
        files = dicomFiles(state.image) if state.image is not None and workflow.review.fits(state.regionTable) else []
        if not files:
            return ""
        case = workflow.session.sceneCase()
        images = images_of(files, case.geometry, case.name)
        regionMap = workflow.review.regionMap()
        if regionMap is None or not lies_on(images, case.geometry):
            return _("Not as DICOM: the volume was moved or resampled since it was loaded.")
        made = Provenance(Path(state.model).name or "unknown model", "unknown", __version__, state.reviewer)
        decided = {region_key(decision): decision for decision in decisions_of_rows(rows)}
        listed = rowsFromTable(state.regionTable)
        regions, report = review_objects(listed, regionMap, case.geometry, images, made, decided)
        names = class_segments(case.class_names)
        drawn = segmentation(np.asarray(case.label), case.geometry, names, images, made)
        for name, dataset in {"segmentation": drawn, "regions": regions, "report": report}.items():
            if dataset is not None:
                save(dataset, folder / f"{stem}-{name}.dcm")
        return _("The segmentation, the regions and a report were also written as DICOM.")

    def maps(self, folder: Path) -> None:
        """The confidence as it is, and the probability of each class under the model in use, as NRRD; what was learned
        otherwise than given as a segmentation (.seg.nrrd) whose segments are named by their source."""
        workflow = self._workflow
        taken = workflow.session.takeImages(workflow.session.images)
        stem = _fileName(workflow.state.image.GetName())
        parameters = {
            "model": workflow.model(),
            "out": str(workflow.session.newFolder("prediction")),
            "probabilities": True,
            **workflow.device(),
        }

        confidence, learned = self._confidence(), self._labelSource()

        def write(answer: dict) -> int:
            item = answer["items"][0]
            names = ["background", *item["classes"].values()]
            maps = dict(zip(names, np.load(item["probabilities"], mmap_mode="r"), strict=True))
            for name, values in zip(_fileNames(maps), maps.values(), strict=True):
                file = folder / f"{stem}-probability-{name}.nrrd"
                write_image(file, np.asarray(values, np.float32), taken.geometry)
            if confidence is not None:
                write_image(folder / f"{stem}-confidence.nrrd", *confidence)
            if learned is not None:
                write_segmentation(folder / f"{stem}-learned-otherwise.seg.nrrd", learned)
            return len(maps) + (confidence is not None) + (learned is not None)

        def done(written: int) -> None:
            sentence = _("{count} maps were written to “{folder}”.").format(count=written, folder=folder.name)
            none = _("No confidence of this image is shown, so none is among them; press Show confidence first.")
            workflow.onMessage(sentence if confidence is not None else f"{sentence} {none}")

        workflow.request("predict", parameters, done, taken.writeCase, write)

    def model(self, folder: Path) -> None:
        """A copy of the bundle. Raises EngineError "folder-not-empty", "cannot-write", "disk-full"."""
        bundle = find_bundle(Path(self._workflow.model()))
        target = folder / f"{bundle.parent.name}-bundle"
        if target.exists():
            raise EngineError("folder-not-empty", f"“{target.name}” is there already; choose another folder.")
        try:
            shutil.copytree(bundle, target)
        except OSError as error:
            shutil.rmtree(target, ignore_errors=True)
            raise not_written(target.name, folder, error) from error
        self._workflow.onMessage(
            _("The model was saved as “{name}”; choose that folder beside Model to use it again.").format(
                name=target.name
            )
        )

    def _confidence(self) -> tuple[np.ndarray, Geometry] | None:
        """A copy of the confidence map of the chosen image, if there is one."""
        state = self._workflow.state
        if state.confidence is None or not self._workflow.review.fits(state.heatMap):
            return None
        return hidden_volumes.hiddenArray(state.confidence), hidden_volumes.hiddenGeometry(state.confidence)

    def _labelSource(self) -> Segmentation | None:
        """The voxels that are not learned as given, if that of the chosen image is there, a segment for each source."""
        node = self._workflow.state.labelSource
        if node is None or not self._workflow.review.fits(node):
            return None
        numbers, geometry = label_source.labelSourceArray(node)
        segments = [
            Segment(f"Source_{number}", name, label_source.sourceColour(node, number), label_value=number)
            for number, name in label_source.sourceNamesOf(node).items()
            if number
        ]
        return Segmentation(segments, numbers[None], geometry)


def _fileNames(names: Iterable[str]) -> list[str]:
    """A file name for each, none of which is another's where the system tells no capitals apart."""
    found: list[str] = []
    for name in map(_fileName, names):
        taken = {other.casefold() for other in found}
        free = (candidate for n in count(1) if (candidate := name if n == 1 else f"{name}-{n}").casefold() not in taken)
        found.append(next(free))
    return found


def _fileName(name: Any) -> str:
    return re.sub(r"[^\w.-]+", "_", str(name)).strip("._") or "unnamed"
