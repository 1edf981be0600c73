"""A cell of the table: one training of one method on one set with one kind of noise."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .data_set import DataSet

ROOT = Path(__file__).parents[1]
Way = Literal["bench", "user"]


class Cell(BaseModel):
    """trusted: share of the foreground-band voxels that a clinician corrected before the training. length: how many
    times as long as the set says it is trained. draw: of training and test cases, noise and weights. path: "bench"
    trains with the benchmark's small plan, "user" by the command `train` with its defaults, on files (`user_path`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: DataSet
    noise: str
    level: float | None
    network: str
    method: str
    trusted: float
    draw: int
    length: int = Field(1, ge=1)
    path: Way = "bench"

    @property
    def trained_as(self) -> str:
        """clean is plain training on labels without noise."""
        return "plain" if self.method == "clean" else self.method

    @property
    def seed(self) -> int:
        """Of weights and batches; plain-again has others than plain, and everything else alike."""
        return self.draw + 1_000_003 if self.method == "plain-again" else self.draw

    @property
    def spoiled_by(self) -> tuple[str, float | None]:
        return ("none", 0.0) if self.method == "clean" else (self.noise, self.level)

    @property
    def title(self) -> str:
        trusted = f" trusted {100 * self.trusted:g} %" if self.trusted else ""
        long = f"{self.length}x" if self.path == "bench" else f"user's path {self.steps} steps"
        return f"{self.data.name} {self.noise} {self.network} {self.method}{trusted} {long} draw {self.draw}"

    @property
    def steps(self) -> int:
        return self.length * self.data.epochs * self.data.steps_per_epoch
