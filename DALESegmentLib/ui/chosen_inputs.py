"""What is chosen in the panel, as the parameters of a request: model or probabilities, cases, device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..engine.core.errors import EngineError
from .requests import Requests


class ChosenInputs(Requests):
    def model(self) -> str:
        """The model in use. Raises EngineError "no-model"."""
        if not self.state.model or not Path(self.state.model).is_dir():
            raise EngineError("no-model", "Train a model, or choose one under Learn, first.")
        return self.state.model

    def probabilities(self) -> str:
        """The folder of class probabilities that stand in the model's place. Raises EngineError "no-folder"."""
        folder = self.state.probabilities
        if not Path(folder).is_dir():
            raise EngineError("no-folder", "Choose the folder of the probabilities under Learn, or clear it.")
        return folder

    @property
    def canJudge(self) -> bool:
        """Whether there is a model, or probabilities in its place."""
        return bool(self.state.model or self.state.probabilities)

    def folderCases(self) -> dict[str, str]:
        """The cases of the chosen folder, with the raters whose labels are meant. Raises EngineError "no-folder"."""
        folder, raters = self.state.casesFolder, self.state.raters.strip()
        if not Path(folder).is_dir() or not folder:
            raise EngineError("no-folder", "Choose the folder of cases under Data first.")
        return {"folder": folder, **({"rater": raters} if raters else {})}

    def sources(self) -> tuple[Any, Any]:
        """The image and the segmentation that a result of now is about."""
        return self.state.image, self.state.segmentation

    def device(self) -> dict[str, str]:
        return {"device": self.state.device.name}

    def judging(self, kind: str) -> dict[str, Any]:
        """Parameters of a job that judges a label, by the model or by probabilities in files."""
        by = {"probabilities": self.probabilities()} if self.state.probabilities else {"model": self.model()}
        return {**by, "out": str(self.session.newFolder(kind)), **self.device()}
