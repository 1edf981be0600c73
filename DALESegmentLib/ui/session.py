"""The files of one scene's work: cases handed over, models, results."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import slicer

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.cases.exchange import save_array_case
from DALESegmentLib.engine.cases.geometry import Geometry
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.mrml.cases import caseFromNodes


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
        root = Path(self.state.workFolder or Path(slicer.app.temporaryPath) / "DALESegment")
        folder = root / f"scene-{self.state.token}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                "cannot-write", f"The folder {root} cannot be written; choose another one under Data."
            ) from error
        return folder

    def newFolder(self, kind: str) -> Path:
        """A folder for the next result of a kind, not made yet: model-1, model-2, …"""
        taken = [int(p.name.split("-")[-1]) for p in self.folder.glob(f"{kind}-*")]
        return self.folder / f"{kind}-{max(taken, default=0) + 1}"

    @property
    def caseFolder(self) -> Path:
        """Where the chosen image and segmentation are handed over; what is trusted stays with them."""
        nodes = (self.state.image, self.state.secondImage, self.state.segmentation)
        return self.folder / "-".join(["case", *(_serial(node) for node in nodes)])

    def sceneCase(self, labelled: bool = True) -> Case:
        """What is chosen in the scene: with its label and the voxels trusted so far, or the image alone.

        Raises EngineError "no-image", "no-segmentation" and those of `caseFromNodes`.
        """
        state = self.state
        if state.image is None:
            raise EngineError("no-image", "Choose an image under Data first.")
        if labelled and state.segmentation is None:
            raise EngineError("no-segmentation", "Choose the segmentation to judge under Data first.")
        volumes = [node for node in (state.image, state.secondImage) if node is not None]
        name = re.sub(r"[^\w.-]+", "_", state.image.GetName()).strip("._") or "case"
        if not labelled:
            return caseFromNodes(volumes, name=name)
        case = caseFromNodes(volumes, state.segmentation, name=name)
        case.trusted = self._trustedSoFar(case)
        return case

    def handOver(self, case: Case, folder: Path | None = None) -> dict[str, Any]:
        """Write the case for the engine; returns the request's `cases`."""
        target = folder or self.caseFolder
        save_array_case(case, target)
        return {"items": [{"name": case.name, "arrays": str(target)}]}

    def _trustedSoFar(self, case: Case) -> np.ndarray | None:
        """What was trusted when these nodes were handed over last, if they still lie on the same voxels."""
        trusted, description = self.caseFolder / "trusted.npy", self.caseFolder / "case.json"
        if not trusted.exists():
            return None
        earlier = Geometry.from_dict(json.loads(description.read_text(encoding="utf-8"))["geometry"])
        return None if case.geometry.difference(earlier) else np.load(trusted)


def _serial(node: Any) -> str:
    """What tells a node from the others of its class: the end of its ID."""
    return "0" if node is None else re.sub(r"\D", "", node.GetID()) or node.GetID()
