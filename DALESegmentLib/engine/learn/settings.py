"""What a training is asked to do. The plan says how the data wants it; this says what the user wants."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ..dale.config import DaleConfig

LARGEST_SEED = 2**31 - 1
"""The epochs' seeds are made of it and must fit 64 bits."""


class TrainSettings(BaseModel):
    """epochs × steps_per_epoch steps, or less where `seconds` (a time budget) ends first."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["dale", "plain"] = "dale"
    dale: DaleConfig = DaleConfig()
    epochs: int = Field(50, ge=1)
    steps_per_epoch: int = Field(50, ge=1)
    seconds: float | None = Field(None, gt=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)
    learning_rate: float = Field(3e-3, gt=0)
    focus_trusted: bool = False
    trusted_share: float = Field(0.0, ge=0.0, lt=1.0)

    @property
    def objective_settings(self) -> DaleConfig | None:
        return self.dale if self.method == "dale" else None
