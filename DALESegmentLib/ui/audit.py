"""The audit of a review: places drawn at random, the reader's verdicts, and what follows for the whole label."""

from __future__ import annotations

import json
from typing import Any

from slicer.i18n import tr as _

from DALESegmentLib.engine.core.errors import EngineError
from DALESegmentLib.engine.io.case import Case
from DALESegmentLib.mrml.views import centreSliceViews, markPlace, unmarkPlace

PLACES = 20
FRAME_MM = 60.0


class Audit:
    """Kept as JSON in the parameter node: for whom, the places in RAS mm, the verdicts so far, voxels, ml each."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self._data: dict[str, Any] = json.loads(state.audit) if state.audit else {}

    def fits(self) -> bool:
        """Whether there is an audit, and it is about the chosen image and segmentation."""
        return bool(self._data) and self._data["about"] == self._about()

    @property
    def running(self) -> bool:
        """Whether a place still waits for its verdict."""
        return self.fits() and len(self._data["verdicts"]) < len(self._data["places"])

    def start(self, case: Case, seed: int) -> None:
        """Draw new places from the case. Raises EngineError "nothing-to-audit"."""
        from DALESegmentLib.engine.review.audit import auditable, draw_places  # brings scipy

        if case.label is None:
            raise EngineError("no-segmentation", "Choose the segmentation to judge under Data first.")
        where = auditable(case.label, case.geometry.array_spacing, case.trusted)
        places = draw_places(where, PLACES, seed)
        self._data = {
            "about": self._about(),
            "places": [[float(x) for x in case.geometry.index_to_ras(place)] for place in places],
            "verdicts": [],
            "voxels": int(where.sum()),
            "voxelMl": case.geometry.voxel_volume / 1000.0,
            "seed": seed,
        }
        self._keep()

    def show(self) -> None:
        """Bring the place that waits for its verdict to the middle of the views, and mark it."""
        if not self.running:
            unmarkPlace()
            return
        place = self._data["places"][len(self._data["verdicts"])]
        centreSliceViews(place, FRAME_MM)
        markPlace(place)

    def judge(self, right: bool) -> None:
        """The verdict about the place in the middle."""
        if self.running:
            self._data["verdicts"].append(bool(right))
            self._keep()

    def sentence(self) -> str:
        """What is to be done, or the result of the audit."""
        if not self.fits():
            return ""
        verdicts, places = self._data["verdicts"], self._data["places"]
        if self.running:
            return _("Place {number} of {count}: is the label right in the middle of the views?").format(
                number=len(verdicts) + 1, count=len(places)
            )
        from DALESegmentLib.engine.review.audit import errors_left

        left = errors_left(verdicts.count(False), len(verdicts), self._data["voxels"])
        best, low, high = (voxels * self._data["voxelMl"] for voxels in (left.wrong, left.low, left.high))
        text = _(
            "{wrong} of {count} places were wrong: about {best:.2f} ml of the {all:.2f} ml within 10 mm of an outline "
            "that nobody confirmed are wrong; between {low:.2f} and {high:.2f} ml with 95 % confidence."
        )
        return text.format(
            wrong=verdicts.count(False),
            count=len(verdicts),
            best=best,
            all=left.voxels * self._data["voxelMl"],
            low=low,
            high=high,
        )

    def record(self) -> dict[str, Any]:
        """For the export."""
        return dict(self._data) if self.fits() else {}

    def _about(self) -> list[str]:
        nodes = (self._state.image, self._state.segmentation)
        return [node.GetID() if node is not None else "" for node in nodes]

    def _keep(self) -> None:
        self._state.audit = json.dumps(self._data)
