"""Parameters that several jobs share. Unknown names and wrong types are refused by pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..cases.find_cases import find_cases
from ..cases.source import CaseSource


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


CaseItems = list[CaseItem]  # `list` is the name of a parameter below
Names = list[str]
Sources = list[CaseSource]


class CasesParameter(Parameters):
    """Which cases; see docs/protocol.md, "Naming cases"."""

    folder: Path | None = None
    list: Path | None = None
    items: CaseItems | None = None
    image: str | Names | None = None
    label: str | None = None
    reference: str | None = None
    split: Literal["train", "test", "all"] = "all"
    label_seed: int = 0
    limit: int | None = Field(None, ge=1)

    def find(self) -> Sources:
        """The cases' files. Raises EngineError where there are none or the folder is not understood."""
        values: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        if self.items is not None:
            values["items"] = [item.model_dump(exclude_none=True) for item in self.items]
        if isinstance(self.image, str):
            values["image"] = [part.strip() for part in self.image.split(",") if part.strip()]
        return find_cases(**values)


class ModelParameters(Parameters):
    """A model applied to cases, with the results in a folder."""

    model: Path
    cases: CasesParameter
    out: Path
    device: str = "auto"
