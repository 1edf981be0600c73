"""Parameters that several jobs share. Unknown names and wrong types are refused by pydantic."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..inference.backend import BackendName
from ..io.case import CaseSource, UnusableCase
from ..io.find_cases import find_cases, find_each, held_out_for_test
from ..io.label_decision import LabelOptions


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CaseItem(Parameters):
    name: str
    images: list[Path] = []
    label: Path | None = None
    trusted: Path | None = None
    confidence: Path | None = None
    reference: Path | None = None
    arrays: Path | None = None
    patient: str | None = None


CaseItems = list[CaseItem]  # `list` is the name of a parameter below
Names = list[str]
Values = list[int]
Sources = list[CaseSource]
FoundCases = Sequence[CaseSource | UnusableCase]


class CasesParameter(Parameters):
    """Which cases; see docs/protocol.md, "Naming cases"."""

    folder: Path | None = None
    list: Path | None = None
    items: CaseItems | None = None
    image: str | Names | None = None
    label: str | None = None
    reference: str | None = None
    split: Literal["train", "test", "all"] | None = None
    rater_seed: int = 0
    rater: str | None = None
    limit: int | None = Field(None, ge=1)
    exclude: str | Names | None = None
    ignore_label: Values = []
    class_label: Values = []
    instances_as_one: bool = False
    sparse_labels: bool = False

    def find(self) -> Sources:
        """The cases' files; all, where no split is asked for. Raises EngineError where there are none or the folder
        is not understood."""
        return find_cases(**self._values(), **self._choice("all"))

    def find_each(self) -> FoundCases:
        """As `find`, with what is wrong with a case in its place."""
        return find_each(**self._values(), **self._choice("all"))

    def find_to_learn(self) -> Sources:
        """As `find`, without the cases that are kept for tests, where no split is asked for."""
        return find_cases(**self._values(), **self._choice("learn"))

    def label_options(self) -> LabelOptions:
        """What is said of the values in the labels."""
        return LabelOptions(
            tuple(self.ignore_label), tuple(self.class_label), self.instances_as_one, self.sparse_labels
        )

    def held_out_for_test(self) -> int:
        """How many cases `find_to_learn` leaves out because they are held out for testing."""
        return held_out_for_test(**self._values()) if self.split is None else 0

    def _values(self) -> dict[str, Any]:
        items = None if self.items is None else [item.model_dump(exclude_none=True) for item in self.items]
        return {"folder": self.folder, "list": self.list, "items": items, "image": self.image, "exclude": self.exclude}

    def _choice(self, split: str) -> dict[str, Any]:
        names = ("label", "reference", "rater_seed", "rater", "limit")
        return {"split": self.split or split, **{name: getattr(self, name) for name in names}}


class ModelParameters(Parameters):
    """A model applied to cases, with the results in a folder."""

    model: Path
    cases: CasesParameter
    out: Path
    device: str = "auto"
    backend: BackendName = "auto"
    overwrite: bool = False
    """Replace what an earlier call wrote there; what was changed since is kept beside it."""
