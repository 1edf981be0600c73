"""The files of one scene's work: cases handed over, models, results."""

from __future__ import annotations

import getpass
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

import slicer

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.exchange import save_array_case
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.mrml.cases import caseFromNodes
from DALESegmentLib.mrml.heat_map import heatMapIds
from DALESegmentLib.mrml.scene import lastingId
from DALESegmentLib.mrml.segmentations import lastingSegmentIds

from .trust import imageFingerprint, keepTrust, trustKept

HANDED_OVER = "case"


class Session:
    """Where the work on the present scene lies, and what is handed to the engine.

    state: the module's parameter node. A scene has a token of its own: two scenes never share a folder.
    """

    def __init__(self, state: Any) -> None:
        self.state = state
        if not state.token:
            state.token = uuid.uuid4().hex[:12]

    @property
    def folder(self) -> Path:
        """The folder of this scene, in the place the user chose or among Slicer's temporary files."""
        folder = self._root / f"scene-{self.state.token}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                "cannot-write", f"The folder {self._root} cannot be written; choose another one under Data."
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
        there = lastingSegmentIds(self.state.segmentation)
        return [self.state.segment] if self.state.segment in there else there

    def sceneCase(self) -> Case:
        """What is chosen in the scene, with its label and the voxels trusted so far.

        Raises EngineError "no-image", "not-an-image", "no-segmentation" and those of `caseFromNodes`.
        """
        images = self.images
        if self.state.segmentation is None:
            raise EngineError("no-segmentation", "Choose the segmentation to judge under Data first.")
        return self.labelledCase(images, self.state.segmentation, self.segmentIds)

    def imageCase(self, images: list[Any]) -> Case:
        """Images alone, without a label."""
        return caseFromNodes(images, name=_caseName(images[0]))

    def labelledCase(self, images: list[Any], segmentation: Any, segmentIds: list[str] | None = None) -> Case:
        """The case of these nodes, with the voxels trusted so far."""
        case = caseFromNodes(images, segmentation, segmentIds, name=_caseName(images[0]))
        case.trusted = trustKept(self._trustFile(segmentation, case), case)
        return case

    def keepTrust(self, case: Case, segmentation: Any) -> None:
        """Remember case.trusted for this segmentation, of this image."""
        keepTrust(self._trustFile(segmentation, case), case)

    def handOver(self, case: Case) -> dict[str, Any]:
        """Write the case into a folder of its own for the engine; returns the request's `cases`.

        Never over an earlier one: the engine may still have that mapped, and Windows then refuses to replace
        it. What can be removed of the earlier ones is removed.
        """
        target = self.newFolder(HANDED_OVER)
        for earlier in self._folders(HANDED_OVER):
            shutil.rmtree(earlier, ignore_errors=True)
        save_array_case(case, target)
        return {"items": [{"name": case.name, "arrays": str(target)}]}

    def _folders(self, kind: str) -> list[Path]:
        return [p for p in self.folder.glob(f"{kind}-*") if p.name[len(kind) + 1 :].isdigit()]

    @property
    def _root(self) -> Path:
        return Path(self.state.workFolder or Path(slicer.app.temporaryPath) / "DALESegment")

    def _trustFile(self, segmentation: Any, case: Case) -> Path:
        """Not in the scene's own folder: an import brings segmentations, and changes the scene's token."""
        return self._root / "trusted" / f"{lastingId(segmentation)}-{imageFingerprint(case)}.npz"


def loginName() -> str:
    """Who is logged in at this computer; "" where it does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def _caseName(image: Any) -> str:
    """The image's name as the name of a folder."""
    return re.sub(r"[^\w.-]+", "_", image.GetName() or "").strip("._") or "case"
