"""What a label corrector is and what it is told of a case: arrays, a spacing and labels, nothing of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ...core.errors import EngineError
from ..label_state import LabelState

Predict = Callable[[Any], "Tensor | np.ndarray"]
"""Takes the name of a case, gives its (K, *grid) probabilities."""
Gather = Callable[[Any], list[Any]]
"""What each of the processes that train together found, for all of them; each calls it with its own."""


class LabelledImage(Protocol):
    """image: (C, *grid) float32; labels: on the same grid; spacing: mm along the axes of the grid."""

    @property
    def name(self) -> str: ...
    @property
    def image(self) -> Tensor: ...
    @property
    def labels(self) -> LabelState: ...
    @property
    def spacing(self) -> tuple[float, ...]: ...


class Predictions(Protocol):
    """The network's answers as it is now; asked for only where a corrector needs them."""

    def classes(self, case: LabelledImage) -> np.ndarray:
        """(*grid) whole numbers, the most probable class."""

    def probabilities(self, case: LabelledImage) -> np.ndarray:
        """(K, *grid) float32, summing to 1 over K."""


class LabelCorrector(Protocol):
    """name: whose proposals these are, see `LabelState`; is_active: whether it may still propose anything."""

    @property
    def name(self) -> str: ...
    @property
    def is_active(self) -> bool: ...

    def fit(self, cases: Iterable[LabelledImage], predictions: Predictions) -> None:
        """Conclude from all cases together what is to be corrected, as far as that is not settled."""

    def propose(self, case: LabelledImage, predictions: Predictions) -> np.ndarray | None:
        """(*grid) classes to be learned, IGNORED for none, NO_PROPOSAL where the label stays; None where all of it
        does. What ranks below it has been proposed already (`LabelState.below`)."""

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON values."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class NoPredictions:
    """For correctors that need no network."""

    def classes(self, case: LabelledImage) -> np.ndarray:
        raise RuntimeError(f"there is no network yet to predict {case.name}")

    def probabilities(self, case: LabelledImage) -> np.ndarray:
        raise RuntimeError(f"there is no network yet to predict {case.name}")


def alone(value: Any) -> list[Any]:
    """The `Gather` of a process on its own."""
    return [value]


@dataclass
class PredictedBy:
    """The predictions of a function; classes are kept, probabilities are not."""

    predict: Predict
    kept: dict[Any, np.ndarray] = field(default_factory=dict)

    def classes(self, case: LabelledImage) -> np.ndarray:
        if case.name not in self.kept:
            self.kept[case.name] = self.probabilities(case).argmax(0).astype(np.int16)
        return self.kept[case.name]

    def probabilities(self, case: LabelledImage) -> np.ndarray:
        with torch.no_grad():
            found: np.ndarray = torch.as_tensor(self.predict(case.name)).float().cpu().numpy()
        if found.ndim != len(case.labels.shape) + 1 or found.shape[1:] != case.labels.shape:
            raise EngineError(
                "bad-shape",
                f"The prediction of {case.name!r} has the shape {found.shape}; give the probabilities of the classes "
                f"on the label's grid, {('K', *case.labels.shape)}.",
            )
        return found
