"""What review outcomes say about the confidence of a model's labels, kept with its run and handed on to the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from scipy import ndimage

from ..errors import EngineError
from ..process.progress import Progress
from ..review.recalibration import Recalibration
from .confidence_map import confidence_of
from .folder import RECALIBRATION_FILE, read_json, write_json
from .predictor import Predictor
from .prepare import PreparedCase
from .remembered import Remembered


def outcomes(
    known: Recalibration,
    cases: Iterable[PreparedCase],
    remembered: Mapping[str, Remembered],
    predictor: Predictor,
    progress: Progress,
) -> Recalibration:
    """`known`, and what was confirmed or corrected since the model was trained.

    Of each voxel that is newly trusted: the confidence its label had, and whether it is still the label. cases: as
    corrected; remembered: the labels the model learned from.
    """
    for case in cases:
        earlier = remembered.get(case.name)
        if earlier is None or earlier.label.shape != case.label.shape:
            continue
        new = case.trusted & ~earlier.trusted
        if not bool(new.any()):
            continue
        progress.check()
        p = torch.as_tensor(predictor.prepared_probabilities(case.image, progress))
        confidence = confidence_of(p, earlier.label.long(), earlier.disagreement.float(), progress.check)
        right = earlier.label == case.label
        places, _ = ndimage.label(new.numpy())
        known = known.looked(confidence[new].numpy(), right[new].numpy(), places[new.numpy()])
    return known


def save_recalibration(run_folder: Path, known: Recalibration) -> None:
    if any(known.looks):
        write_json(run_folder / RECALIBRATION_FILE, asdict(known))


def load_recalibration(run_folder: Path) -> Recalibration:
    """Without looks where there was no review. Raises EngineError("unreadable-file")."""
    path = run_folder / RECALIBRATION_FILE
    if not path.is_file():
        return Recalibration()
    stored = read_json(path)
    try:
        return Recalibration(tuple(stored["looks"]), tuple(stored["right"]))
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError("unreadable-file", f"{path.name} does not hold what it should; delete it.") from error
