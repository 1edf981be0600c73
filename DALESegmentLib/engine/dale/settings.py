"""What of DALE is switched on, and its few numbers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class DaleSettings(BaseModel):
    """The switches of the method's parts and their constants; the defaults are meant to be kept.

    confidence: weigh fuzzy voxels by label confidence (off: by 0).
    consistency: confidence needs today's loss and its history to agree (off: today's alone).
    partition: tell fuzzy from stable voxels (off: label confidence weighs every untrusted voxel, in every step).
    alternation: stable and fuzzy steps in turn (off: every step is a fuzzy step).
    alignment: draw the features of fuzzy voxels towards those of stable ones.
    third_opinion: draw outlines anew where the images side with the network against the labels. Off by default: it cost
        up to ten Dice points on patients that its constants had not been chosen on.
    left_out: learn objects that the labels of some cases left out.
    hand: undo elsewhere what trusted voxels show of the hand that drew the labels.
    """

    model_config = ConfigDict(extra="forbid")

    confidence: bool = True
    consistency: bool = True
    partition: bool = True
    alternation: bool = True
    alignment: bool = True
    third_opinion: bool = False
    left_out: bool = True
    hand: bool = True

    memory: float = Field(0.9, ge=0.0, le=0.9, description="share of the old disagreement kept at an update")
    temperature: float = Field(1.0, gt=0.0, description="T of the label confidence")
    sharpness: float = Field(0.05, gt=0.0, description="T_f of the soft partition")
    lowest_threshold: float = Field(0.8, ge=0.0, le=1.0, description="disagreement below this is never fuzzy")
    largest_fuzzy_share: float = Field(0.3, gt=0.0, le=1.0, description="of the voxels of a class")
    warm_up: float = Field(0.5, ge=0.0, lt=1.0, description="share of the training that is plain at most")
    alignment_weight: float = Field(0.01, ge=0.0)
    alignment_start: float = Field(0.6, ge=0.0, le=1.0, description="share of the training before alignment")

    @property
    def alternates(self) -> bool:
        """Without a partition no voxel is stable, and there is nothing to take turns with."""
        return self.alternation and self.partition

    @model_validator(mode="after")
    def _learns(self) -> DaleSettings:
        if not (self.partition or self.confidence):
            raise ValueError("without partition and confidence no voxel has a weight; keep one of them, or train plain")
        return self
