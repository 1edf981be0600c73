"""Before and after a training: both models on the same image, and what they do differently."""

from __future__ import annotations

from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..engine.geometry.grid import Geometry
from ..engine.io.case import Case
from ..mrml import difference
from .review import requireUnmoved
from .training_messages import confirmed
from .workflow import Workflow


class ModelComparison:
    """Two predictions, one after the other, and the difference in the scene."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def compare(self) -> None:
        """The previous model and the one in use; where a new one waits to be kept, the one in use and that.

        Raises EngineError "no-previous-model".
        """
        workflow, state = self._workflow, self._workflow.state
        before, after = (state.model, state.candidate) if state.candidate else (state.previousModel, state.model)
        if not before:
            raise EngineError("no-previous-model", "There is no earlier model to compare with; fine-tune first.")
        taken, image, decided = workflow.session.takeScene(), state.image, None
        if workflow.review.begun and not workflow.review.isForOtherNodes:
            decided = workflow.review.deferTrustedVoxels()

        def ask(model: str, onDone: Any, read: Any) -> None:
            parameters = {"model": model, "out": str(workflow.session.newFolder("prediction")), **workflow.device()}
            workflow.request("predict", parameters, onDone, taken.writeCase, read)

        def first(was: np.ndarray) -> None:
            ask(after, lambda found: self._show(*found, taken.geometry, image), lambda answer: second(was, answer))

        def second(was: np.ndarray, answer: dict) -> tuple:
            item, case = answer["items"][0], taken.case()
            names = {int(value): name for value, name in item["classes"].items()}
            label = np.load(item["segmentation"])
            if decided is not None:
                case.trusted = decided(case)
            lines = [change.sentence() for change in difference.changes(was, label, names, case.geometry.voxel_volume)]
            return was, label, names, "\n".join([*lines, _confirmed(case, label, names)])

        ask(before, first, lambda answer: np.load(answer["items"][0]["segmentation"]))

    def keep(self) -> None:
        """Go on with the new model; the difference goes."""
        self._workflow.keep()
        self.clear()

    def rollBack(self) -> None:
        self._workflow.rollBack()
        self.clear()

    def clear(self) -> None:
        difference.removeDifference()
        self._workflow.state.comparison = ""

    def _show(
        self, before: np.ndarray, after: np.ndarray, names: dict[int, str], text: str, geometry: Geometry, image: Any
    ) -> None:
        requireUnmoved(image, geometry)
        difference.showDifference(before, after, geometry, names, image)
        self._workflow.state.comparison = text
        self._workflow.onMessage(_("The difference is shown: what came in green, what went in purple."))


def _confirmed(case: Case, prediction: np.ndarray, names: dict[int, str]) -> str:
    """Loud where the new model contradicts what was confirmed."""
    if case.trusted is None or not np.any(case.trusted):
        return _("Nothing was confirmed or corrected yet.")
    values = {name: value for value, name in names.items()}
    given = np.zeros(case.label.shape, np.int32)
    for value, name in case.class_names.items():
        given[case.label == value] = values.get(name, -1)
    violated = int(np.count_nonzero(case.trusted & (given != prediction)))
    return confirmed(violated, int(np.count_nonzero(case.trusted)))
