"""Probabilities in files in place of a model: what `confidence` and `review` need of one, without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from monai.data import MetaTensor

from ..core.errors import EngineError
from ..core.progress import Progress
from ..dale.agreement import ClassAgreement
from ..inference.predictor import Mode
from ..io.case import Case, CaseSource
from ..io.probabilities import count_classes, find_probabilities, read_probabilities
from ..planning.plan import Plan
from .dataset import read_labelled

UNLIKE = 0.3
"""Mean Dice over the classes below which probabilities and label hardly are of one case, in one order of axes."""


class ProbabilityFiles:
    """In the place of a `Predictor`. plan: of the classes alone; it names no network."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder = folder
        self.plan = plan

    @staticmethod
    def of(folder: Path, sources: Sequence[CaseSource], progress: Progress) -> ProbabilityFiles:
        """Look at all the cases: each has a file, and its channels are the classes of the labels.

        Raises EngineError("no-folder", "no-probabilities", "probabilities-classes") and what reading raises.
        """
        if not folder.is_dir():
            raise EngineError("no-folder", f"{folder.name} is no folder; name the folder of the probabilities.")
        files = {source.name: find_probabilities(folder, source.name) for source in sources}
        values, planar = {0}, False
        names: dict[int, str] = {}
        for i, source in enumerate(sources):
            progress.check()
            progress.report(100.0 * i / len(sources), "reading", f"Looking at case {i + 1} of {len(sources)}")
            case = read_labelled(source)
            values |= {int(value) for value in np.unique(np.asarray(case.label))}
            names |= {value: name for value, name in case.class_names.items() if value}
            planar = case.geometry.dims == 2
        first = files[sources[0].name]
        classes = _class_values(sorted(values), sorted({0, *names}), count_classes(first), first.name)
        return ProbabilityFiles(folder, _plan_of(classes, names, planar=planar))

    def prepare(self, case: Case, progress: Progress) -> MetaTensor | None:
        """Nothing: no network looks at the image."""
        return None

    def probabilities(
        self,
        case: Case,
        progress: Progress,
        mode: Mode = "exact",
        image: MetaTensor | None = None,
        message: str = "",
    ) -> np.ndarray:
        """(K, *geometry.array_shape) float32. Raises as `read_probabilities`."""
        path = find_probabilities(self.folder, case.name)
        return read_probabilities(path, case.geometry, case.name, self.plan.classes)


def unlike_labels(agreements: Mapping[str, Mapping[int, ClassAgreement]]) -> dict[str, list[str]]:
    """For an answer: a sentence about the cases whose probabilities hardly overlap their labels, or nothing.

    agreements: by name of the case, then by label value.
    """
    dice = {name: [one.dice for one in of.values() if one.labelled] for name, of in agreements.items()}
    names = [name for name, found in dice.items() if found and sum(found) / len(found) < UNLIKE]
    if not names:
        return {}
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    sentence = (
        f"The probabilities of {', '.join(names[:3])}{more} overlap the labels by a Dice below {UNLIKE}; check that "
        "they are of the same case, that their classes come in the order of the label values, and that their axes are "
        "slice, row, column, as in the image's file."
    )
    return {"unlike_labels": [sentence]}


def _class_values(in_labels: Sequence[int], named: Sequence[int], channels: int, file: str) -> list[int]:
    """The label value of each channel: those with a name or those that occur, in order, where there are as many; else
    the numbers of the channels. Raises EngineError("probabilities-classes")."""
    for values in (sorted({*in_labels, *named}), in_labels):
        if len(values) == channels:
            return list(values)
    if max(in_labels) < channels:
        return list(range(channels))
    raise EngineError(
        "probabilities-classes",
        f"{file} has {channels} channels, but the labels have the values {', '.join(map(str, in_labels))}; "
        "give one channel for each of these.",
    )


def _plan_of(values: list[int], names: dict[int, str], *, planar: bool) -> Plan:
    return Plan(
        network="",
        network_arguments={},
        dims=2 if planar else 3,
        planar=planar,
        slice_axis=2,
        patch_size=(1, 1, 1),
        spacing=None,
        channels=1,
        class_values=values,
        class_names={value: names.get(value, f"class {value}") for value in values if value},
        normalise="case",
        ct_window=None,
        batch_size=1,
    )
