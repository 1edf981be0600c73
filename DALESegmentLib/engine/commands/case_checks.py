"""What can be known of cases before any work is done with them: which have no label, which do not fit the model or look
unlike its training cases, and whether the disk has room for the results."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import Cancelled, EngineError
from ..core.progress import Progress
from ..dale.agreement import Agreements, WeakClass, weak_classes
from ..inference.predictor import check_channels
from ..io.case import Case, CaseSource
from ..io.case_files import read_case
from ..planning.data_shift import ImageStatistics, data_shift
from ..planning.plan import Plan
from ..planning.preprocessing import label_classes
from .dataset import check_image_order, first_of, read_labelled

NAMED = 5
"""Cases that a sentence names; the others are counted."""
LEAST_BYTES = {"label": 1 / 200, "map": 1 / 4}
"""A voxel, of a compressed label map and of a compressed map of floats: less than either ever takes."""


def enumerated(names: Sequence[str]) -> str:
    """ "a, b and c", of many the first and how many more."""
    shown = [*names[:NAMED], *([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])]
    return " and ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def is_labelled(source: CaseSource) -> bool:
    if source.arrays is not None:
        return (source.arrays / "label.npy").is_file()
    return source.has_label


def labelled_alone(sources: Sequence[CaseSource], progress: Progress, found: CaseChecks) -> list[CaseSource]:
    """The cases with a label; the names of the others, which are told of, are put into `found`. Raises
    EngineError("no-label") where none has one."""
    labelled = [source for source in sources if is_labelled(source)]
    without = [source.name for source in sources if not is_labelled(source)]
    if sources and not labelled:
        raise EngineError("no-label", _no_label(without))
    if without:
        progress.report(0, "reading", left_out_sentence(without))
    found.left_out += without
    return labelled


def _no_label(names: Sequence[str]) -> str:
    if len(names) == 1:
        return f"{names[0]} has no label; say with --label which file it is."
    return f"None of the {len(names)} cases has a label; say with --label which file it is."


def left_out_sentence(names: Sequence[str]) -> str:
    verb = "is" if len(names) == 1 else "are"
    return f"{enumerated(names)} {verb} left out: no label was found"


@dataclass
class CaseChecks:
    """unlike: by case name, the sentences that say how it differs from the training cases; left_out: names of the cases
    without a label, where one is needed."""

    unlike: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def intervals_hold(self, case: str) -> bool:
        """Whether the case may be expected to be like those that intervals were calibrated on."""
        return not self.unlike.get(case)

    def of(self, case: str) -> dict[str, Any]:
        """For the answer's item of the case."""
        return {"unlike_training": self.unlike[case]} if self.unlike.get(case) else {}

    def about(self) -> dict[str, Any]:
        """For the answer as a whole."""
        return {"left_out": self.left_out} if self.left_out else {}


def examine(
    sources: Sequence[CaseSource],
    plan: Plan,
    progress: Progress,
    found: CaseChecks,
    *,
    labelled: bool,
    out: Path,
    maps: int = 0,
) -> None:
    """Read every case once before the work and check it; what it finds is put into `found`. labelled: whether labels
    are needed; maps: how many maps of floats will be written of each, beside a label map.

    Raises EngineError of the first case that cannot be used, with how many others there are, and ("disk-full") where
    the results are certain not to fit.
    """
    problems: dict[str, EngineError] = {}
    voxels = 0
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Looking at case {i + 1} of {len(sources)}")
        try:
            case = read_labelled(source, plan.class_names) if labelled else read_case(source)
            found.unlike[source.name] = check_case(case, plan, source.image_names)
            voxels += int(np.prod(case.geometry.size))
        except Cancelled:
            raise
        except EngineError as problem:
            problems[source.name] = problem
    if problems:
        raise first_of(problems, len(sources))
    check_room(out, int(voxels * (LEAST_BYTES["label"] + maps * LEAST_BYTES["map"])))
    tell_unlike(found, progress)


def check_case(case: Case, plan: Plan, image_names: Sequence[str] = ()) -> list[str]:
    """How it differs from the training cases, as sentences. image_names: see `CaseSource`.

    Raises EngineError("wrong-channels", "wrong-dimensions") and, of a label, ("unknown-class").
    """
    if plan.network:  # else no network looks at the image
        check_image_order(case.name, image_names, plan)
        check_channels(case, plan)
    if case.label is not None:
        label_classes(case, plan)
    signs = data_shift(ImageStatistics.of(case), plan.trained_on, fixed_units=plan.normalise == "ct")
    return [f"{case.name} looks unlike the cases that the model was trained on: {sign}." for sign in signs]


def tell_unlike(found: CaseChecks, progress: Progress) -> None:
    """Report the cases that look unlike the training cases."""
    names = [name for name, sentences in found.unlike.items() if sentences]
    if names:
        more = f"{len(names)} cases look unlike the training cases. " if len(names) > 1 else ""
        progress.report(100, "reading", f"{more}{found.unlike[names[0]][0]}")


def weak_since_training(
    agreed: Agreements, names: Mapping[int, str], told: Sequence[WeakClass]
) -> dict[str, list[str]]:
    """For an answer: what the training said of classes that it left too weak to be judged, as sentences, but of those
    that are told of anyway. Labels that it learned from agree with a model whatever it is worth.

    agreed: as stored with the model; names: of its classes, by label value.
    """
    known = {weak.label_value for weak in told}
    weak = [each for each in weak_classes(agreed, names) if each.label_value not in known]
    return {"weak_since_training": [f"As its training ended: {each.sentence}" for each in weak]} if weak else {}


def check_room(out: Path, least_bytes: int) -> None:
    """Raises EngineError("disk-full") where fewer bytes are free."""
    place = next((folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists()), None)
    try:
        free = shutil.disk_usage(place).free if place is not None else None
    except OSError:
        return
    if free is not None and free < least_bytes:
        raise EngineError(
            "disk-full",
            f"The results take {_size(least_bytes)} at least, but the disk of {out.name} has {_size(free)} free; "
            "free some space or choose another folder.",
        )


def _size(number: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if number < 1000 or unit == "GB":
            return f"{number:.3g} {unit}"
        number /= 1000
    return ""
