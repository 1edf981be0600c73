"""The model applied: to the chosen image, to all images of the scene, to a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from slicer.i18n import tr as _

from ..engine.core.errors import EngineError
from ..mrml.segmentations import PreparedLabel
from ..mrml.volumes import imagesOfScene
from .measurements import extents
from .review import requireUnmoved
from .workflow import Workflow


class Prediction:
    """Each image gets a new segmentation of its own; nothing that exists is touched."""

    def __init__(self, workflow: Workflow) -> None:
        self._workflow = workflow

    def chosen(self) -> None:
        """Segment the image chosen in the panel."""
        session, target = self._workflow.session, self._workflow.state.target
        self._predict(session.images if target is None else [target], self._workflow.onMessage)

    def all(self) -> None:
        """Segment every image of the scene, one after the other. Cancel leaves out those that are still to come.

        Raises EngineError "no-image".
        """
        waiting = imagesOfScene()
        if not waiting:
            raise EngineError("no-image", "There is no image in the scene; load one first.")
        said: list[str] = []

        def one() -> None:
            image = waiting.pop(0)
            if image.GetScene() is None:
                following("")
            else:
                self._predict([image], following)

        def following(sentence: str) -> None:
            said.extend([sentence] if sentence else [])
            if waiting:
                one()
            else:
                self._workflow.onMessage("\n".join(said))

        one()

    def folder(self, images: Path, out: Path) -> None:
        """Segment every image of a folder; files with the same names are written into another one.

        Raises EngineError "same-folder".
        """
        workflow = self._workflow
        if images.resolve() == out.resolve():
            raise EngineError("same-folder", "Choose another folder for the results than that of the images.")
        parameters = {
            "model": workflow.model(),
            "cases": {"folder": str(images)},
            "out": str(out),
            "overwrite": True,  # the engine keeps what was changed since
            **workflow.device(),
        }

        def done(answer: dict) -> None:
            text = _("{count} images were segmented into “{folder}”; extents.csv there holds volumes and diameters.")
            said = text.format(count=len(answer["items"]), folder=out.name)
            if answer.get("kept"):
                kept = _("Changed since the last time, and kept beside the new ones: {names}.")
                said = f"{said} {kept.format(names=', '.join(answer['kept'][:5]))}"
            workflow.onMessage(said)

        workflow.request("predict", parameters, done)

    def _predict(self, images: list[Any], say: Any) -> None:
        workflow = self._workflow
        parameters = {
            "model": workflow.model(),
            "out": str(workflow.session.newFolder("prediction")),
            **workflow.device(),
        }
        taken, sources = workflow.session.takeImages(images), (images[0], workflow.state.segmentation)

        def read(answer: dict) -> tuple:
            item = answer["items"][0]
            return item, PreparedLabel.of(np.load(item["segmentation"]), taken.geometry)

        def done(answered: tuple) -> None:
            item, label = answered
            requireUnmoved(images[0], taken.geometry)
            name = _("{image} predicted").format(image=images[0].GetName())
            node = workflow.showResult(label, item, taken.geometry, sources, name)
            found = extents(item) or _("nothing was found")
            say(_("New segmentation “{name}”: {found}.").format(name=node.GetName(), found=found))

        workflow.request("predict", parameters, done, taken.writeCase, read)
