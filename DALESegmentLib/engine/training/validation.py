"""The validation score of a model, the record of its validation cases, and what review found out about its confidence.

The cases are chosen at the first training and kept by every fine-tune. run.json holds their names and stays with the
run. docs/held_out.json in the bundle holds hashes of their images, so that a case is recognised under another name.
recalibration.json holds the recalibration of the label confidence by review outcomes, passed on to the next run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from ..bundle.run_folder import BUNDLE_FOLDER, HELD_OUT_FILE, RECALIBRATION_FILE, RUN_FILE
from ..core.distributed import Ranks
from ..core.errors import EngineError
from ..core.files import read_json, write_json
from ..core.progress import Progress
from ..dale.config import CrossFittingConfig
from ..dale.label_state import IGNORED, LabelState
from ..dale.quality import Recalibration, confidence_of
from ..inference.predictor import Predictor
from ..metrics.segmentation import dice, mean_dice
from ..planning.preprocessing import PreparedCase
from .sampling import Batch, DrawnPatch, PatchSampler


def validation_dice(
    cases: Sequence[PreparedCase], predictor: Predictor, progress: Progress, ranks: Ranks | None = None
) -> float | None:
    """Mean Dice over classes and cases against their given labels, where these are annotated; None without such cases.
    cases: the rank's own; the mean is that of all."""
    scores = []
    for case in cases:
        progress.check()
        label = case.labels.target()
        drawn = torch.as_tensor(predictor.prepared_classes(case.image, progress))
        scores.append(mean_dice(drawn.masked_fill(label == IGNORED, 0), label))
    scores = (ranks or Ranks()).all_gather(scores)
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class HeldOut:
    """names: of the cases, as far as the run's own record is there; images: `image_fingerprint` of each."""

    names: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()

    def with_images(self, cases: Iterable[tuple[str, str]]) -> HeldOut:
        """cases: name and fingerprint of each."""
        names, images = zip(*cases, strict=True) if (cases := list(cases)) else ((), ())
        return HeldOut(self.names | set(names), self.images | set(images))

    def check_unseen(self, training: Iterable[PreparedCase]) -> None:
        """Raises EngineError("validation-leak") where a case to learn from holds an image that is validated on."""
        for case in training:
            if case.fingerprint in self.images:
                raise EngineError(
                    "validation-leak",
                    f"{case.name} holds the same image as a validation case, so the validation would prove nothing; "
                    "leave it out, or name a patient's cases in the list's column patient.",
                )


def save_held_out(run_folder: Path, held_out: HeldOut) -> None:
    """The hashes, where the bundle takes them from."""
    write_json(run_folder / HELD_OUT_FILE, {"version": 1, "images": sorted(held_out.images)})


def load_held_out(bundle: Path) -> HeldOut:
    """Of the model in this bundle folder. Raises EngineError("unreadable-file")."""
    run = bundle.parent / RUN_FILE
    record = read_json(run) if bundle.name == BUNDLE_FOLDER and run.is_file() else {}
    return _held_out(record, bundle / "docs" / HELD_OUT_FILE)


def held_out_of_run(run_folder: Path) -> HeldOut:
    """Of a run that may have no bundle yet. Raises EngineError("unreadable-file")."""
    return _held_out(read_json(run_folder / RUN_FILE), run_folder / HELD_OUT_FILE)


def _held_out(record: dict[str, Any], hashes: Path) -> HeldOut:
    images = read_json(hashes).get("images", []) if hashes.is_file() else []
    names = record.get("held_out", record.get("validation", []))
    if not all(isinstance(part, list) and all(isinstance(x, str) for x in part) for part in (names, images)):
        raise EngineError("unreadable-file", f"{HELD_OUT_FILE} or {RUN_FILE} is damaged; copy the model again.")
    return HeldOut(frozenset(names), frozenset(images))


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


def with_outcomes_of_all(known: Recalibration, own: Recalibration, ranks: Ranks) -> Recalibration:
    """`known`, and what each rank found in its own cases. own: `known` with this rank's."""
    if ranks.size == 1:
        return own
    first = np.array([known.looks, known.right])
    added = [np.array([each.looks, each.right]) - first for each in ranks.gather_all(own)]
    looks, right = np.maximum(first + np.sum(added, axis=0), 0.0).tolist()
    return Recalibration(tuple(looks), tuple(right))


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


OFFSETS = np.linspace(-8.0, 8.0, 129)
"""Upper edges of the bins of -margin, of the log-odds of the likeliest class against the background."""


@dataclass(frozen=True)
class Predicted:
    """What a network draws in the windows of a case, for every offset. C classes but the background.

    sizes, both: (C, bins) voxels whose likeliest class this is, and of these those that are labelled so, by the bin of
    the offset from which on they are drawn; given: (C,) labelled voxels.
    """

    sizes: np.ndarray
    both: np.ndarray
    given: np.ndarray

    def drawn(self, offset: float) -> int:
        """Voxels of all these classes."""
        return int(self.sizes[:, : int(np.searchsorted(OFFSETS, offset, "right"))].sum())

    def offset(self, times: float = 1.0) -> float | None:
        """With which so many times as many voxels are drawn as are labelled; None where nothing is labelled."""
        total = times * int(self.given.sum())
        if not total:
            return None
        drawn = self.sizes.sum(0).cumsum()
        return float(OFFSETS[min(int(np.searchsorted(drawn, total)), len(OFFSETS) - 1)])

    def dice(self, offset: float) -> float:
        """The mean of the classes that are drawn or labelled; 1 where there are none."""
        n = int(np.searchsorted(OFFSETS, offset, "right"))
        sizes, both = self.sizes[:, :n].sum(1), self.both[:, :n].sum(1)
        pairs = zip(both.tolist(), (sizes + self.given).tolist(), strict=True)
        scores = [score for hits, size in pairs if (score := dice(hits, size)) is not None]
        return float(np.mean(scores)) if scores else 1.0


def agreement_of(cases: Sequence[Predicted]) -> list[float]:
    """Dice of each case, all with the offset that makes their median size that of the labels."""
    offsets = [offset for case in cases if (offset := case.offset()) is not None]
    middle = float(np.median(offsets)) if offsets else 0.0
    return [case.dice(middle) for case in cases]


@torch.no_grad()
def predicted(network: nn.Module, batches: Iterable[Batch], device: torch.device) -> Predicted:
    """Of a case, over all its batches."""
    was = network.training
    network.eval()
    sizes = both = given = np.zeros((), np.int64)
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits: Tensor = network(batch.image.to(device)).float().cpu()
        valid = batch.valid > 0
        margin, found = (logits[:, 1:] - logits[:, :1]).max(1)
        found, margin, label = found[valid], margin[valid], batch.target[valid]
        count, bins = logits.shape[1] - 1, len(OFFSETS)
        place = found * bins + torch.bucketize(-margin, torch.from_numpy(OFFSETS).float()).clamp_max(bins - 1)
        hit = label == found + 1
        counts = [torch.bincount(p, minlength=count * bins).reshape(count, bins) for p in (place, place[hit])]
        drawn = torch.bincount(label.flatten(), minlength=count + 1)[1:]
        sizes, both, given = sizes + counts[0].numpy(), both + counts[1].numpy(), given + drawn.numpy()
    network.train(was)
    return Predicted(sizes, both, given)


@dataclass(frozen=True)
class CaseWindows:
    """Windows of a case, cut anew as batches on the CPU whenever they are gone through: all of them would be large."""

    sampler: PatchSampler
    windows: Sequence[DrawnPatch]

    def __iter__(self) -> Iterator[Batch]:
        size = max(self.sampler.plan.batch_size, 1)
        for start in range(0, len(self.windows), size):
            yield self.sampler.take(self.windows[start : start + size], torch.device("cpu"))


def evaluation_windows(sampler: PatchSampler, config: CrossFittingConfig) -> list[CaseWindows]:
    """For each of the sampler's cases some windows as the sliding window has them: at most `windows` of it, half
    of them with something labelled, where there are such. At most `cases` cases in all are evenly taken, on each rank
    alike."""
    found = []
    for n in range(0, len(sampler.cases), max(1, -(-len(sampler.outlines) // config.cases))):
        windows = sampler.windows_of(sampler.numbers[n])
        labels = sampler.cases[n].labels
        inside = [w for w in windows if bool((labels.initial(w.coverage(labels.shape).where) > 0).any())]
        if len(windows) > config.windows:
            some = _evenly(inside, config.windows // 2)
            others = [w for w in windows if w not in some]
            windows = [*some, *_evenly(others, config.windows - len(some))]
        found.append(CaseWindows(sampler, windows))
    return found


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    return list(items) if len(items) <= most else [items[round(i)] for i in np.linspace(0, len(items) - 1, most)]
