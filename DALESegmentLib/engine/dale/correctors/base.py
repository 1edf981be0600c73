"""What a label corrector is and what it is told of a case: arrays, a spacing and labels, nothing of the training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from ..label_state import LabelState

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
