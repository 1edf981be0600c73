"""Prepared cases that memory should not hold: their voxels lie in files, of which the machine keeps in memory what is
read at the moment.

The files have no name, or on Windows and network disks one that begins with a dot and goes with them, so nothing is
left behind even by a killed process.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..dale.label_state import LabelState
from ..memory import available_memory
from .prepare import PreparedCase

KEPT_FREE = 0.6
"""Of the memory that is free before the first case; once no more than that is left, cases go to files."""


class CaseCache:
    """folder: where there is room for the files: 10 bytes a voxel, 4 more for each channel after the first, and 2 for
    each corrector."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kept_free = KEPT_FREE * available_memory()

    def keep(self, case: PreparedCase) -> PreparedCase:
        """The same case, to be used instead of this one; what is written to its voxels stays as in memory. Where there
        is no room for files either, it stays in memory."""
        if available_memory() >= self._kept_free:
            return case
        try:
            arrays = {name: self._in_a_file(values) for name, values in case.labels.state_dict().items()}
            labels = LabelState.from_state_dict(arrays, self._new)
            return replace(case, image=self._in_a_file(case.image), labels=labels)
        except OSError:
            return case

    def _new(self, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
        """An array of zeros in a file; in memory where there is no room for it."""
        zeros = torch.zeros(shape, dtype=kind)
        try:
            return self._in_a_file(zeros)
        except OSError:
            return zeros

    def _in_a_file(self, voxels: Tensor) -> Tensor:
        array = voxels.contiguous().numpy()
        if not array.size:
            return voxels
        with tempfile.TemporaryFile(prefix=".case-", dir=self._folder) as file:  # the mapping keeps it open
            array.tofile(file)
            file.flush()
            return torch.from_numpy(np.memmap(file, array.dtype, "r+", shape=array.shape))
