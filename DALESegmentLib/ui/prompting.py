"""Segment here: the engine answers strokes in the views with an outline, which one key takes and another leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.dale.issues import Region
from ..engine.geometry.grid import Geometry
from ..engine.geometry.runs import mask_of
from ..mrml.segmentations import segmentIdOf
from ..mrml.suggestion import removeSuggestion, showSuggestion
from ..mrml.volumes import geometryFromVolume
from .region_editing import Correction, LabelPart
from .strokes import Strokes, Voxel
from .workflow import Workflow


@dataclass
class _Open:
    region: Region | None
    segmentId: str
    geometry: Geometry
    strokes: Strokes
    labelValue: int = 0  # of what is drawn, where the strokes correct it
    inside: list[Voxel] = field(default_factory=list)
    outside: list[Voxel] = field(default_factory=list)
    cases: dict[str, Any] | None = None  # as the engine has it; written once
    answer: dict[str, Any] | None = None


class Prompting:
    """onChanged() is called when it begins and when it ends."""

    def __init__(self, workflow: Workflow, correction: Correction, onChanged: Callable[[], None]) -> None:
        self._workflow, self._correction, self._onChanged = workflow, correction, onChanged
        self._open: _Open | None = None
        self._stale = False  # whether strokes came while the engine answered

    @property
    def isOpen(self) -> bool:
        return self._open is not None

    def begin(self, region: Region | None) -> None:
        """Let the reader draw strokes, for the region's segment or the one at hand. A scene without a segmentation gets
        one when the first outline is taken. Raises EngineError "no-image", "no-views"."""
        self.leave()
        workflow = self._workflow
        image = workflow.session.images[0]
        segmentation = workflow.state.segmentation
        segmentId = ""
        if segmentation is not None and region is not None:
            segmentId = segmentIdOf(segmentation, region.label_value, region.class_name)
        elif segmentation is not None:
            there = workflow.session.segmentIds
            segmentId = there[0] if there else ""
        geometry = geometryFromVolume(image)
        strokes = Strokes(geometry, self.addStroke)
        if not strokes.open():
            raise EngineError("no-views", "Choose a layout with slice views, to draw strokes in them.")
        drawn = workflow.session.segmentIds if region is not None and segmentId else []
        labelValue = drawn.index(segmentId) + 1 if segmentId in drawn else 0
        self._open = _Open(region, segmentId, geometry, strokes, labelValue)
        removeSuggestion()
        workflow.onMessage(
            _("Draw inside the structure with the left button, outside with Shift or the right one; {by}.").format(
                by=_("Enter takes the outline, Escape leaves it")
            )
        )
        self._onChanged()

    def leave(self) -> None:
        """End without a trace."""
        if self._open is None:
            return
        self._open.strokes.close()
        self._open = None
        removeSuggestion()
        self._onChanged()

    def take(self) -> None:
        """Write the outline into the segment. Raises EngineError as `Correction.accept`."""
        one = self._open
        if one is None or one.answer is None:
            return
        found = self._outline(one)
        self.leave()
        workflow = self._workflow
        if workflow.state.segmentation is None:
            self._addSegmentation()
        segmentation = workflow.state.segmentation
        if not one.segmentId:
            one.segmentId = segmentation.GetSegmentation().AddEmptySegment("", _("structure"))
        drawn = workflow.session.segmentationSnapshot()
        value = drawn.segmentIds.index(one.segmentId) + 1
        box, mask = found
        label = drawn.within(box)
        if one.answer.get("corrects"):
            after = LabelPart(box, np.where(mask, value, np.where(label == value, 0, label)).astype(label.dtype), value)
        else:
            after = _withOutline(label, value, box, mask, one.outside)
        changed = self._correction.draw(one.region, after)
        self._onChanged()  # what is suggested is seen beside what is drawn now
        workflow.onMessage(
            _("{count} voxels were changed; they count as right from now on.").format(count=changed)
            if changed
            else _("The outline is what was drawn already.")
        )
        workflow.onChanged()

    @property
    def isAnswered(self) -> bool:
        """Whether an outline is shown that can be taken."""
        return self._open is not None and self._open.answer is not None

    def addStroke(self, voxels: list[Voxel], inside: bool) -> None:
        """A stroke over voxels (i, j, k), as the mouse draws it; the engine answers it."""
        one = self._open
        if one is None:
            return
        (one.inside if inside else one.outside).extend(voxels)
        self._draw()
        self._ask()

    def _ask(self) -> None:
        one, workflow = self._open, self._workflow
        if one is None or not (one.inside or (one.labelValue and one.outside)):
            return
        if workflow.busy:  # the answer under way is of fewer strokes
            self._stale = True
            return
        self._stale = False
        parameters: dict[str, Any] = {
            "inside": [list(voxel) for voxel in one.inside],
            "outside": [list(voxel) for voxel in one.outside],
            **workflow.device(),
        }
        if one.labelValue:
            parameters["label_value"] = one.labelValue
        value = self._modelValue(one)
        if workflow.state.model and value is not None:
            parameters |= {"model": workflow.state.model, "value": value}
            if workflow.review.probabilities():
                parameters["probabilities"] = workflow.review.probabilities()

        def done(answer: dict) -> None:
            if self._open is not one:
                return
            one.answer = answer
            self._draw()
            workflow.onMessage(
                _("What is drawn, changed beside the strokes; more strokes refine, Enter takes it, Escape leaves it.")
                if answer.get("corrects")
                else _("From the strokes and the model; more strokes refine, Enter takes it, Escape leaves it.")
                if answer["by"] == "model"
                else _("From strokes and intensities alone, without a model; more strokes refine, Enter takes it.")
            )

        if one.cases is None:
            session = workflow.session
            taken = session.takeScene() if one.labelValue else session.takeImages(session.images)

            def writeCase() -> dict:
                one.cases = taken.writeCase()
                return one.cases

            workflow.request("prompt", parameters, done, writeCase)
        else:
            workflow.request("prompt", {**parameters, "cases": one.cases}, done)

    def goOn(self) -> None:
        """Ask again where strokes came meanwhile, as soon as nothing else runs."""
        if self._stale and not self._workflow.busy:
            self._ask()

    def _modelValue(self, one: _Open) -> int | None:
        """Of the segment's class in the model, by its name."""
        state = self._workflow.state
        if state.regionTable is None or state.segmentation is None or not one.segmentId:
            return None
        if one.region is not None:
            return one.region.label_value
        name = state.segmentation.GetSegmentation().GetSegment(one.segmentId).GetName()
        return next((v for v, known in self._workflow.review.modelClassNames().items() if known == name), None)

    def _draw(self) -> None:
        """The strokes and what was answered."""
        one = self._open
        strokes = np.array([*one.inside, *one.outside]).reshape(-1, 3)
        first, last = strokes.min(0), strokes.max(0)
        if one.answer is not None:
            first = np.minimum(first, one.answer["first_voxel"])
            last = np.maximum(last, one.answer["last_voxel"])
        shape = tuple((last - first + 1)[::-1].tolist())
        parts = {"inside": np.zeros(shape, bool), "outside": np.zeros(shape, bool)}
        for name, voxels in (("inside", one.inside), ("outside", one.outside)):
            if voxels:
                parts[name][tuple((np.array(voxels) - first).T[::-1])] = True
        if one.answer is not None:
            parts["outline"] = np.zeros(shape, bool)
            box, mask = answered(one.answer)
            place = tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, first[::-1].tolist(), strict=True))
            parts["outline"][place] = mask
        at = tuple(int(n) for n in first)
        showSuggestion(parts, at, one.geometry, self._workflow.state.image)

    def _outline(self, one: _Open) -> tuple[tuple[slice, ...], np.ndarray]:
        return answered(one.answer)

    def _addSegmentation(self) -> None:
        """An empty one for the image, chosen as the one to judge."""
        state = self._workflow.state
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", _("Segmentation"))
        node.SetReferenceImageGeometryParameterFromVolumeNode(state.image)
        node.CreateDefaultDisplayNodes()
        state.segmentation = node


def answered(answer: dict[str, Any]) -> tuple[tuple[slice, ...], np.ndarray]:
    """The box of an answer in an array (k, j, i), and the mask in it."""
    corners = zip(reversed(answer["first_voxel"]), reversed(answer["last_voxel"]), strict=True)
    box = tuple(slice(a, b + 1) for a, b in corners)
    return box, mask_of(answer["runs"], [part.stop - part.start for part in box])


def _withOutline(
    label: np.ndarray, value: int, box: tuple[slice, ...], mask: np.ndarray, outside: list[Voxel]
) -> LabelPart:
    """The label in the box with the outline added, and without what is joined to a stroke outside."""
    from ..engine.geometry.objects import components  # brings scipy

    after, drawn = label.copy(), np.zeros(label.shape, bool)
    if outside:
        drawn[tuple((np.array(outside)[:, ::-1] - [part.start for part in box]).T)] = True
    for place, part in components((label == value) & ~mask):
        if (drawn[place] & part).any():
            after[place][part] = 0
    after[mask] = value
    return LabelPart(box, after, value)
