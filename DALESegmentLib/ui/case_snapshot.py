"""A case taken from the scene: copied there in little time, completed and written beside the user interface."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..engine.geometry.grid import Geometry
from ..engine.io.array_cases import save_array_case
from ..engine.io.case import Case, image_fingerprint
from ..mrml.cases import Snapshot
from ..mrml.overlaps import overlaps, overlapSentence
from .reviewed_store import loadTrusted, storeTrusted


class CaseSnapshot:
    """Its methods touch no scene and may run on another thread, one at a time.

    trustFolder: where trusted voxels are kept between steps; owner: the lasting ID of the segmentation, None for
    images alone; folder: where the case is written, not made yet; earlier: folders of cases written before.
    """

    def __init__(
        self, snapshot: Snapshot, trustFolder: Path, owner: str | None, folder: Path, earlier: list[Path]
    ) -> None:
        self._snapshot, self._trustFolder, self._owner = snapshot, trustFolder, owner
        self._folder, self._earlier = folder, earlier
        self._case: Case | None = None
        self._fingerprint = ""
        self.overlap = ""  # a sentence where segments overlap; known once the case was made

    @property
    def geometry(self) -> Geometry:
        return self._snapshot.geometry

    @property
    def name(self) -> str:
        """Of the case, as the engine gets it."""
        return self._snapshot.name

    @property
    def fingerprint(self) -> str:
        """The hash of its image. Of the first channel: a second image may be chosen or left out while
        the trust stays."""
        if not self._fingerprint:
            self._fingerprint = image_fingerprint(self.case().image)
        return self._fingerprint

    def case(self) -> Case:
        """The case with the voxels trusted so far; made once."""
        if self._case is None:
            self._case = self._snapshot.case()
            if self._snapshot.drawn is not None:
                self.overlap = overlapSentence(overlaps(self._snapshot.drawn, self.geometry.voxel_volume))
            if self._owner is not None:
                self._case.trusted = loadTrusted(self._trustedFile, self._case, self.fingerprint)
        return self._case

    def storeTrusted(self) -> None:
        """Remember the case's trusted voxels for this segmentation, of this image."""
        storeTrusted(self._trustedFile, self.case(), self.fingerprint)

    def writeCase(self) -> dict[str, Any]:
        """Write the case into a folder of its own for the engine; returns the request's `cases`.

        Never over an earlier one: the engine may still have that mapped, and Windows then refuses to replace
        it. What can be removed of the earlier ones is removed.
        """
        for earlier in self._earlier:
            shutil.rmtree(earlier, ignore_errors=True)
        save_array_case(self.case(), self._folder)
        return {"items": [{"name": self.case().name, "arrays": str(self._folder)}]}

    @property
    def _trustedFile(self) -> Path:
        """Not in the scene's own folder: an import brings segmentations, and changes the scene's token."""
        return self._trustFolder / f"{self._owner}-{self.fingerprint}.npz"
