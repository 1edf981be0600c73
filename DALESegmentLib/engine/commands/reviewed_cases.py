"""The cases of a review with their labels and maps of regions, and the readers' logs in its folder of results."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..core.errors import EngineError
from ..core.files import read_json
from ..core.progress import Progress
from ..dale.issues import Region
from ..io.case import Case, CaseSource, image_fingerprint, label_fingerprint
from ..io.case_files import read_case, read_label_result
from ..io.class_names import names_in_folder
from ..review.decisions import Decision, History, ReviewState, read_regions_json
from ..review.dicom_review import Key, region_key
from ..review.log import read_history
from ..review.readers import LOGS, SignOff, check_open
from ..review.verify import find_logs
from .dataset import find_labelled, names_of_all
from .parameters import CasesParameter
from .result_files import find_named, find_result

REGIONS = "regions.json"
CORRECTED = ("reviewed", "label", "segmentation", "corrected")
"""Names that a corrected label may have in the folder of its case."""


@dataclass(frozen=True)
class ReviewedCase:
    """label, region_map: (*grid); names: {value: name}; fingerprint: of the image."""

    source: CaseSource
    case: Case
    label: np.ndarray
    region_map: np.ndarray
    names: Mapping[int, str]
    fingerprint: str

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def spacing(self) -> tuple[float, ...]:
        return tuple(self.case.geometry.array_spacing)

    def label_of(self, state: ReviewState) -> np.ndarray:
        """The label as a reader left it: with what the decisions vouch for. (*grid)."""
        trusted, given = state.trusted(self.name, self.fingerprint, self.label.shape)
        return np.where(trusted, given, self.label)

    def corrected_in(self, folder: Path) -> np.ndarray | None:
        """(*grid); None where the folder has no label of this case."""
        found = [find_named(folder, self.name), *(find_result(folder, self.source, stem) for stem in CORRECTED)]
        path = next((each for each in found if each is not None), None)
        if path is None:
            return None
        encoding = self.source.encoding
        return read_label_result(path, self.case, self.names, *([] if encoding is None else [encoding]))


def listed_regions(results: Path) -> list[Region]:
    """The rows of the review list. Raises EngineError("no-results", "bad-regions-file")."""
    path = results / REGIONS
    if not path.is_file():
        raise EngineError(
            "no-results", f"{results.name} holds no review list; give the folder that dalesegment review wrote."
        )
    return read_regions_json(path)


def reviewed_cases(
    asked: CasesParameter, results: Path, rows: Sequence[Region], progress: Progress, wanted: Collection[str]
) -> Iterator[ReviewedCase]:
    """Of the cases `wanted` those that have a label and a map of regions, one after the other. Raises
    EngineError("other-label") where a label is not the one that was reviewed."""
    reviewed = read_json(results / REGIONS).get("labels", {})
    known = {row.label_value: row.class_name for row in rows if row.label_value} | names_in_folder(results)
    sources = [source for source in find_labelled(asked, progress, asked.find(), known) if source.name in wanted]
    names = names_of_all(sources, known)
    for i, source in enumerate(sources):
        progress.check()
        progress.report(100.0 * i / len(sources), "reading", f"Case {i + 1} of {len(sources)}")
        path = find_result(results, source, "regions")
        case = read_case(source, names or None)
        if case.label is None or path is None:
            continue
        label, region_map = np.asarray(case.label), np.asarray(read_label_result(path, case))
        if reviewed.get(source.name, now := label_fingerprint(label)) != now:
            raise EngineError(
                "other-label",
                f"The label of {source.name} is not the one that was reviewed; give the reviewed labels by --data, and "
                "changed ones by --corrected.",
            )
        called = {**names, **case.class_names}
        yield ReviewedCase(source, case, label, region_map, called, image_fingerprint(case.image))


def decision_about(row: Region, decided: Mapping[Key, Decision]) -> Decision | None:
    """What a reader decided about a row: of its pieces, which the log knows one by one, where it is the same of all.
    decided: what stands, by `region_key`."""
    found = [decided.get(region_key(piece)) for piece in row.leaves]
    known = [each for each in found if each is not None and each.verdict != "open"]
    return known[0] if len(known) == len(found) and len({each.verdict for each in known}) == 1 else None


def reader_histories(results: Path) -> dict[Path, History]:
    """Of all logs in a folder of results. Raises EngineError("review-log-damaged")."""
    folder = results / LOGS
    return {path: read_history(path) for path in find_logs(folder)} if folder.is_dir() else {}


def locked_for_all(results: Path) -> dict[str, SignOff]:
    """The sign-offs that lock a case for every reader. Nothing else of the other readers is looked at."""
    found: dict[str, SignOff] = {}
    for history in reader_histories(results).values():
        found |= {case: signed for case, signed in history.signed().items() if signed.for_all}
    return found


def check_cases_open(results: Path, cases: Collection[str]) -> None:
    """Raises EngineError("case-signed-off") for the first that is locked for every reader."""
    locked = locked_for_all(results)
    for case in cases:
        check_open(locked.get(case))
