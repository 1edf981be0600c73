"""The recalibration of label confidence by review outcomes, stored with a run and passed on to the next."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from scipy import ndimage
from torch import Tensor

from ..bundle.run_folder import RECALIBRATION_FILE
from ..core.errors import EngineError
from ..core.files import read_json, write_json
from ..dale.label_state import LabelState
from ..dale.quality import Recalibration, confidence_of
from ..planning.preprocessing import PreparedCase


def with_outcome(
    known: Recalibration, case: PreparedCase, earlier: LabelState | None, probabilities: Tensor
) -> Recalibration:
    """`known`, and what was confirmed or corrected in a case since the model was trained.

    Of each voxel that is newly trusted: the confidence its label had, and whether it is still the label. case: as
    corrected; earlier: the labels the model learned from; probabilities: (K, x, y, z) of that model on its grid.
    """
    if earlier is None or earlier.shape != case.labels.shape:
        return known
    new = case.labels.reviewed & ~earlier.reviewed
    if not bool(new.any()):
        return known
    label = earlier.initial()
    disagreement = earlier.disagreement_of(label)
    confidence = confidence_of(probabilities, label.long(), disagreement, case.spacing)
    right = label == case.labels.target()
    places, _ = ndimage.label(new.numpy())
    return known.looked(confidence[new].numpy(), right[new].numpy(), places[new.numpy()])


def save_recalibration(run_folder: Path, known: Recalibration) -> None:
    if any(known.looks):
        write_json(run_folder / RECALIBRATION_FILE, asdict(known))


def load_recalibration(run_folder: Path) -> Recalibration:
    """With zero counts where there was no review. Raises EngineError("unreadable-file")."""
    path = run_folder / RECALIBRATION_FILE
    if not path.is_file():
        return Recalibration()
    stored = read_json(path)
    try:
        return Recalibration(tuple(stored["looks"]), tuple(stored["right"]))
    except (KeyError, TypeError, ValueError) as error:
        raise EngineError("unreadable-file", f"{path.name} does not hold what it should; delete it.") from error
