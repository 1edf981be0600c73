"""Before and after a training: both models on the same image, and what they do differently."""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

from DALESegmentLib.engine.cases.case import Case
from DALESegmentLib.engine.errors import EngineError
from DALESegmentLib.mrml import difference

from .review import requireUnmoved
from .workflow import Workflow


class Comparing:
    """Two predictions, one after the other, and the difference in the scene."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def compare(self) -> None:
        """Raises EngineError "no-previous-model"."""
        workflow = self._workflow
        if not workflow.state.previousModel:
            raise EngineError("no-previous-model", "There is no earlier model to compare with; fine-tune first.")
        case = workflow.session.sceneCase()
        cases = workflow.session.handOver(case)
        image = workflow.state.image

        def ask(model: str, onDone: Any) -> None:
            out = str(workflow.session.newFolder("prediction"))
            parameters = {"model": model, "cases": cases, "out": out, "device": workflow.state.device.name}
            workflow.request("predict", parameters, onDone)

        def first(before: dict) -> None:
            ask(workflow.model(), lambda after: self._show(before["items"][0], after["items"][0], case, image))

        ask(workflow.state.previousModel, first)

    def keep(self) -> None:
        """Keep the model in use: there is no way back from here, and no difference any more."""
        self._workflow.state.previousModel = ""
        self.clear()
        self._workflow.onMessage(_("The new model is kept."))

    def rollBack(self) -> None:
        self._workflow.rollBack()
        self.clear()

    def clear(self) -> None:
        difference.removeDifference()
        self._workflow.state.comparison = ""

    def _show(self, before: dict, after: dict, case: Case, image: Any) -> None:
        requireUnmoved(image, case)
        labels = [np.load(item["segmentation"]) for item in (before, after)]
        names = {int(value): name for value, name in after["classes"].items()}
        difference.showDifference(*labels, case.geometry, names, image)
        changes = difference.changes(*labels, names, case.geometry.voxel_volume)
        lines = [change.sentence() for change in changes]
        self._workflow.state.comparison = "\n".join([*lines, self._confirmed(case, labels[1], names)])
        self._workflow.onMessage(_("The difference is shown: what came in green, what went in purple."))

    def _confirmed(self, case: Case, prediction: np.ndarray, names: dict[int, str]) -> str:
        """Loud where the new model contradicts what was confirmed."""
        review = self._workflow.review
        if review.begun and not review.outOfPlace:
            case.trusted = review.decided(case)
        if case.trusted is None or not np.any(case.trusted):
            return _("Nothing was confirmed or corrected yet.")
        values = {name: value for value, name in names.items()}
        given = np.zeros(case.label.shape, np.int32)
        for value, name in case.class_names.items():
            given[case.label == value] = values.get(name, -1)
        violated = int(np.count_nonzero(case.trusted & (given != prediction)))
        total = int(np.count_nonzero(case.trusted))
        if not violated:
            return _("All {total} confirmed voxels are followed.").format(total=total)
        return _("ATTENTION: {violated} of {total} confirmed voxels are contradicted by the new model.").format(
            violated=violated, total=total
        )
