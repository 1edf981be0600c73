"""The files of one scene's work: cases written for the engine, models, results."""

from __future__ import annotations

import getpass
import re
import uuid
from pathlib import Path
from typing import Any

import slicer

from ..engine.core.errors import EngineError
from ..engine.core.files import is_windows_name
from ..engine.io.case import Case
from ..mrml.cases import Snapshot, takeSnapshot
from ..mrml.heat_map import heatMapIds
from ..mrml.labelmap_snapshot import LabelmapSnapshot
from ..mrml.scene import persistentId
from ..mrml.segmentations import segmentationSnapshot, userSegmentIds
from .case_snapshot import CaseSnapshot

CASE_FOLDER = "case"
_LONGEST_NAME = 60


class Session:
    """Where the work on the present scene lies, and what is written for the engine.

    state: the module's parameter node. A scene has a token of its own: two scenes never share a folder.
    """

    def __init__(self, state: Any) -> None:
        self.state = state
        self._drawn: LabelmapSnapshot | None = None  # the last one: what does not change until the next is not copied
        if not state.token:
            state.token = uuid.uuid4().hex[:12]

    @property
    def folder(self) -> Path:
        """The folder of this scene, in the place the user chose or among Slicer's temporary files."""
        folder = self.root / f"scene-{self.state.token}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                "cannot-write", f"The folder {self.root} cannot be written; choose another one under Data."
            ) from error
        return folder

    def newFolder(self, kind: str) -> Path:
        """A folder for the next result of a kind, not made yet: model-1, model-2, …"""
        taken = [int(p.name.split("-")[-1]) for p in self._folders(kind)]
        return self.folder / f"{kind}-{max(taken, default=0) + 1}"

    @property
    def images(self) -> list[Any]:
        """The chosen images, one or more channels each. Raises EngineError "no-image", "not-an-image"."""
        state = self.state
        if state.image is None:
            raise EngineError("no-image", "Choose an image under Data first.")
        chosen = [node for node in (state.image, state.secondImage, state.thirdImage) if node is not None]
        for image in chosen:
            if image.GetID() in heatMapIds():
                raise EngineError("not-an-image", f"“{image.GetName()}” is a heat map; choose the image itself.")
        return chosen

    @property
    def segmentIds(self) -> list[str]:
        """The segments to judge: the chosen one, or all."""
        there = userSegmentIds(self.state.segmentation)
        return [self.state.segment] if self.state.segment in there else there

    def takeScene(self) -> CaseSnapshot:
        """What is chosen in the scene, with its label and the voxels trusted so far.

        Raises EngineError "no-image", "not-an-image", "no-segmentation" and those of `caseFromNodes`.
        """
        images = self.images
        if self.state.segmentation is None:
            raise EngineError("no-segmentation", "Choose the segmentation to judge under Data first.")
        return self.takeLabelled(images, self.state.segmentation, self.segmentIds)

    def takeImages(self, images: list[Any]) -> CaseSnapshot:
        """Images alone, without a label."""
        return self._taken(takeSnapshot(images, name=_caseName(images[0])), None)

    def takeLabelled(self, images: list[Any], segmentation: Any, segmentIds: list[str] | None = None) -> CaseSnapshot:
        """The case of these nodes, with the voxels trusted so far."""
        snapshot = takeSnapshot(images, segmentation, segmentIds, _caseName(images[0]))
        self._drawn = snapshot.drawn
        return self._taken(snapshot, persistentId(segmentation))

    def sceneCase(self) -> Case:
        """As `takeScene`, made at once."""
        return self.takeScene().case()

    def segmentationSnapshot(self) -> LabelmapSnapshot:
        """The segments to judge as they are drawn now."""
        self._drawn = segmentationSnapshot(self.state.segmentation, self.images[0], self.segmentIds)
        return self._drawn

    @property
    def root(self) -> Path:
        """The place the user chose, or one among Slicer's temporary files; those too where the scene comes from another
        system, whose paths lead nowhere here."""
        chosen = Path(self.state.workFolder)
        return chosen if chosen.is_absolute() else Path(slicer.app.temporaryPath) / "DALESegment"

    def _taken(self, snapshot: Snapshot, owner: str | None) -> CaseSnapshot:
        folder, earlier = self.newFolder(CASE_FOLDER), self._folders(CASE_FOLDER)
        return CaseSnapshot(snapshot, self.root / "trusted", owner, folder, earlier)

    def _folders(self, kind: str) -> list[Path]:
        return [p for p in self.folder.glob(f"{kind}-*") if p.name[len(kind) + 1 :].isdigit()]


def loginName() -> str:
    """Who is logged in at this computer; "" where that is not known."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _caseName(image: Any) -> str:
    """The image's name as the name of a folder, on any system, and not too long for Windows."""
    name = re.sub(r"[^\w.-]+", "_", image.GetName() or "")[:_LONGEST_NAME].strip("._")
    return name if is_windows_name(name) else f"case_{name}".strip("_")
