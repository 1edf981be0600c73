"""Result: the new segmentation, what a training changed, the way back, and what leaves the scene."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from . import folders
from .export import Exporter
from .model_comparison import ModelComparison
from .prediction import Prediction
from .signals import connect
from .workflow import Workflow


class ResultPanel:
    def __init__(self, ui: Any, workflow: Workflow) -> None:
        self._ui, self._workflow = ui, workflow
        comparing, exporting, predicting = ModelComparison(workflow), Exporter(workflow), Prediction(workflow)
        self._predicting = predicting
        for button, slot in (
            (ui.predictButton, predicting.chosen),
            (ui.predictAllButton, predicting.all),
            (ui.predictFolderButton, self._predictFolder),
            (ui.compareButton, comparing.compare),
            (ui.keepButton, comparing.keep),
            (ui.rollBackButton, comparing.rollBack),
            (ui.saveModelButton, _into(_("Save the model in"), exporting.model)),
            (ui.exportMapsButton, _into(_("Write the maps into"), exporting.maps)),
            (ui.exportDecisionsButton, _into(_("Write the decisions into"), exporting.decisions)),
        ):
            connect(button, "clicked()", slot)

    def refresh(self) -> None:
        state, ui = self._workflow.state, self._ui
        free, model = not self._workflow.busy, bool(state.model)
        anImage = state.image is not None or state.target is not None
        ui.predictButton.enabled = free and model and anImage
        ui.predictAllButton.enabled = ui.predictFolderButton.enabled = free and model
        ui.exportMapsButton.enabled = free and model and state.image is not None
        ui.saveModelButton.enabled = model
        ui.exportDecisionsButton.enabled = state.regionTable is not None
        for button in (ui.compareButton, ui.keepButton, ui.rollBackButton):
            button.enabled = free and bool(state.previousModel or state.candidate)
        ui.comparisonLabel.setText(state.comparison)
        ui.comparisonLabel.visible = bool(state.comparison)

    def _predictFolder(self) -> None:
        images = folders.askForFolder(_("Images to segment"))
        out = folders.askForFolder(_("Write the segmentations into")) if images is not None else None
        if out is not None:
            self._predicting.folder(images, out)


def _into(title: str, write: Callable[[Path], None]) -> Callable[[], None]:
    """A slot that asks for the folder first."""

    def ask() -> None:
        folder = folders.askForFolder(title)
        if folder is not None:
            write(folder)

    return ask
