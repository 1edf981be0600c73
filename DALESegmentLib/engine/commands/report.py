"""Report what was done in a folder: as a page to be read and printed, as JSON, and with the images as DICOM SR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..bundle.lineage import read_lineage, weights_hash
from ..core.errors import EngineError
from ..core.files import read_json, replacing, write_json
from ..core.progress import Progress
from ..dale.issues import Region
from ..io.case_files import read_case, read_label_result
from ..review.audit import AUDIT_FILE, errors_left_by, read_audit
from ..review.decisions import Decision, History, read_regions_json
from ..review.dicom_review import Key, region_key
from ..review.log import read_history
from ..review.page import PAGE
from ..review.readers import SCORES, SignOff, file_stem, same_reader
from ..review.report_page import report_page
from ..review.verify import LIMITS, Verified, find_logs, verify_log
from .agreement import AGREEMENT, decisions_by_row, readers_in, state_of
from .parameters import CasesParameter, Parameters
from .result_files import UNKNOWN, ResultFiles, find_result, write_regions
from .reviewed_cases import REGIONS

REPORT_PAGE, REPORT_JSON, DICOM = "report.html", "report.json", "dicom"
SAME = ("rank", "case", "who", "verdict", "reason", "state")
"""Of the pieces of a row that were decided together."""


class ReportParameters(Parameters):
    folder: Path
    out: Path | None = None
    cases: CasesParameter | None = None
    """Of a review of DICOM series: its reports are written as DICOM, too."""
    overwrite: bool = False


def run(parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    asked = ReportParameters.model_validate(parameters)
    if not asked.folder.is_dir():
        raise EngineError("missing-folder", f"{asked.folder.name} is not there; name the folder that holds the review.")
    out = asked.out or asked.folder
    page, data = out / REPORT_PAGE, out / REPORT_JSON
    if page.exists() and not asked.overwrite:
        raise EngineError(
            "results-exist", f"{out.name} holds a report; choose another folder with --out, or give --overwrite."
        )
    told = FolderContents(asked.folder, progress).told(pages=asked.out is None)
    if not any(told[part] for part in ("logs", "reviews", "agreements", "audits", "models")):
        raise EngineError(
            "no-records", f"{asked.folder.name} holds no review, log or model; name the folder that holds the reviews."
        )
    items = [] if asked.cases is None else _dicom(asked, asked.cases, out, progress)
    with replacing(page) as temporary:
        temporary.write_text(report_page(told), encoding="utf-8", newline="\n")
    write_json(data, told)
    return {
        "html": str(page),
        "json": str(data),
        "items": items,
        "bad": sum(not log["holds"] for log in told["logs"]),
        "cases": len(told["cases"]),
        "readers": [reader["name"] for reader in told["readers"]],
        "decisions": sum(reader["decisions"] for reader in told["readers"]),
        "models": len(told["models"]),
    }


class FolderContents:
    """What lies in a folder. Paths are told as seen from it, so that a report holds where it is moved to. lists: the
    rows of each review list, by its folder."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.lists = {path.parent: _rows_of(path) for path in sorted(folder.rglob(REGIONS))}
        self._logs: dict[Path, Verified] = {}
        self._histories: dict[Path, History] = {}
        for path in sorted(set(find_logs(folder))):
            progress.check()
            self._logs[path] = verify_log(path, self.name(path))
            try:
                self._histories[path] = read_history(path)
            except EngineError:  # which the log's sentence says
                self._histories[path] = History()

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    def told(self, *, pages: bool) -> dict[str, Any]:
        histories = list(self._histories.values())
        entries = [e for path, history in self._histories.items() for e in self._entries(path, history)]
        return {
            "format": "dalesegment-report",
            "version": 1,
            "program": f"DALESegment {__version__}",
            "made": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "folder": self.folder.resolve().name,
            "pages": [self.name(path) for path in sorted(self.folder.rglob(PAGE))] if pages else [],
            "logs": [log.as_dict() for log in self._logs.values()],
            "limits": LIMITS,
            "reviews": [self._review(folder, rows) for folder, rows in self.lists.items()],
            "readers": [_reader(name, histories, entries) for name in readers_in(histories)],
            "cases": [case for folder, rows in self.lists.items() for case in self._cases(folder, rows)],
            "agreements": [self._agreement(path) for path in sorted(self.folder.rglob(AGREEMENT))],
            "audits": [self._audit(path) for path in sorted(self.folder.rglob(AUDIT_FILE))],
            "models": [self._model(p.parents[1]) for p in sorted(self.folder.rglob("configs/metadata.json"))],
            "history": entries,
        }

    def of(self, results: Path) -> list[History]:
        """The logs of a review: those below its folder."""
        return [history for path, history in self._histories.items() if results in path.parents]

    def _review(self, results: Path, rows: Sequence[Region]) -> dict[str, Any]:
        """A review list, and which program and model made it, where it says so."""
        try:
            made = read_json(results / REGIONS).get("made_by")
        except EngineError:
            made = None
        made = made if isinstance(made, dict) else {}
        known = {key: str(made.get(key, "")) for key in ("program", "weights")}
        return {"folder": self.name(results), "rows": len(rows), **known}

    def _cases(self, results: Path, rows: Sequence[Region]) -> list[dict[str, Any]]:
        histories = self.of(results)
        states = {name: state_of(histories, name) for name in readers_in(histories)}
        signed = [s for h in histories for s in h.sign_offs.values()]
        names = dict.fromkeys([*(row.case for row in rows), *(s.case for s in signed)])
        told = []
        for case in names:
            own = [row for row in rows if row.case == case]
            counts = {name: len(decisions_by_row(own, state)) for name, state in states.items()}
            scores = [_score(state.signed[case]) for state in states.values() if case in state.signed]
            known = {"folder": self.name(results), "name": case, "rows": len(own), "scores": scores}
            told.append({**known, "decided": {name: count for name, count in counts.items() if count}})
        return told

    def _entries(self, log: Path, history: History) -> list[dict[str, Any]]:
        """All that was ever decided, in its order, also what does not stand any more."""
        rows = next((rows for folder, rows in self.lists.items() if folder in log.parents), [])
        by_key: dict[Key, Region] = {region_key(piece): row for row in rows for piece in row.leaves}
        standing = {n for name in readers_in([history]) for n in history.state(name).standing}
        everything: dict[int, Decision | SignOff] = {**history.decided, **history.sign_offs}
        told: list[dict[str, Any]] = []
        for number, entry in sorted(everything.items()):
            one = _entry(number, entry, by_key, history, number in standing)
            if told and one["rank"] is not None and all(told[-1][key] == one[key] for key in SAME):
                told[-1]["pieces"] += 1
                told[-1]["voxels"] += one["voxels"]
            else:
                told.append({"log": self.name(log), "number": number, "pieces": 1, **one})
        return told

    def _agreement(self, path: Path) -> dict[str, Any]:
        try:
            told = read_json(path)
            sentences = [str(sentence) for sentence in told["sentences"]]
        except (EngineError, KeyError, TypeError):
            told, sentences = {}, ["It cannot be read; measure the agreement again."]
        keys = ("readers", "kappa", "same_verdict", "score_kappa", "dice", "distance_mm", "distance_px")
        return {"file": self.name(path), "sentences": sentences, **{k: told[k] for k in keys if k in told}}

    def _audit(self, path: Path) -> dict[str, Any]:
        try:
            left = errors_left_by(read_audit(path))
        except EngineError as problem:
            return {"file": self.name(path), "sentences": [problem.sentence]}
        return {"file": self.name(path), "sentences": [left.pop("sentence")], **left}

    def _model(self, bundle: Path) -> dict[str, Any]:
        told: dict[str, Any] = {"folder": self.name(bundle), "weights": weights_hash(bundle), "problem": ""}
        try:
            lineage = read_lineage(bundle)
        except EngineError as problem:
            lineage, told["problem"] = {}, problem.sentence
        cases, decided = lineage.get("cases", []), lineage.get("decisions", {})
        used = {use: sum(c["use"] == use for c in cases) for use in ("training", "validation", "replay")}
        images = {case["image"] for case in cases if case["use"] != "validation"}
        about = {
            d.case
            for history in self._histories.values()
            for d in history.state().standing.values()
            if d.voxels is not None and d.voxels.image in images
        }
        voxels = f"{decided.get('reviewed_voxels', 0):,} voxels of {decided.get('cases', 0)} cases"
        return {
            **told,
            "program": lineage.get("program", ""),
            "made": lineage.get("made", ""),
            "parents": [parent["weights"] for parent in lineage.get("parents", [])],
            "learned_from": f"{used['training']} cases, {used['validation']} to validate on, "
            f"{used['replay']} learned again"
            if lineage
            else "",
            "confirmed": f"{voxels}, {decided.get('corrected_voxels', 0):,} of them corrected" if lineage else "",
            "reviewed_here": sorted(about),
            "figures": lineage.get("figures", []),
            "lineage": lineage,
        }


def _rows_of(path: Path) -> list[Region]:
    try:
        return read_regions_json(path)
    except EngineError:  # of another program, or damaged: its decisions are still told
        return []


def _reader(name: str, histories: Sequence[History], told: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """told: the entries of the report, in which a decision about a row of several pieces is one."""
    decided = [d for h in histories for d in h.decided.values() if same_reader(d.annotator, name)]
    signed = [s for h in histories for s in h.sign_offs.values() if same_reader(s.annotator, name)]
    entries: list[Decision | SignOff] = [*decided, *signed]
    times = sorted(entry.at for entry in entries)
    return {
        "name": name,
        "roles": sorted({entry.role for entry in entries} - {""}),
        "instructions": sorted({entry.instruction for entry in entries} - {""}),
        "decisions": sum(same_reader(entry["who"], name) and "voxels" in entry for entry in told),
        "sign_offs": sum(s.score is not None for s in signed),
        "first": times[0],
        "last": times[-1],
    }


def _score(signed: SignOff) -> dict[str, Any]:
    words = SCORES[signed.score or 1]
    return {
        "reader": signed.annotator,
        "score": signed.score,
        "words": words,
        "at": signed.at,
        "reason": signed.reason,
        "for_all": signed.for_all,
    }


def _entry(
    number: int, entry: Decision | SignOff, rows: Mapping[Key, Region], history: History, stands: bool
) -> dict[str, Any]:
    told = {"case": entry.case, "who": entry.annotator, "role": entry.role, "instruction": entry.instruction}
    told |= {"at": entry.at, "reason": entry.reason}
    if isinstance(entry, SignOff):
        verdict = "opened again" if entry.score is None else f"signed off: {entry.score} ({SCORES[entry.score]})"
        verdict += ", locked for all readers" if entry.for_all else ""
        locked = history.signed(entry.annotator).get(entry.case) is entry
        state = "" if locked or entry.score is None else "no longer"
        return {**told, "rank": None, "class_name": "", "suspicion": "", "verdict": verdict, "state": state}
    row = rows.get(region_key(entry))
    voxels = 0 if entry.voxels is None else int(entry.voxels.runs[:, 1].sum())
    state = "" if stands else "taken back" if number in history.undone else "replaced later"
    known = {"rank": None if row is None else row.rank, "class_name": "" if row is None else row.class_name}
    suspicion = entry.suspicion or "edited elsewhere"
    return {**told, **known, "suspicion": suspicion, "verdict": entry.verdict, "voxels": voxels, "state": state}


def _dicom(asked: ReportParameters, cases: CasesParameter, out: Path, progress: Progress) -> list[dict[str, Any]]:
    """A structured report for each case and each reader who decided about it, with the regions that it refers to."""
    sources = cases.find()
    ResultFiles(out, "dicom").check(sources)
    found = FolderContents(asked.folder, progress)
    items = []
    for results, rows in found.lists.items():
        histories = found.of(results)
        for source in sources:
            path = find_result(results, source, "regions")
            listed = [row for row in rows if row.case == source.name]
            if path is None or not listed:
                continue
            progress.check()
            case = read_case(source.without_label())
            region_map = np.asarray(read_label_result(path, case))
            for name in readers_in(histories):
                standing = state_of(histories, name).standing.values()
                decided = {region_key(d): d for d in standing if d.case == source.name and d.verdict != "open"}
                if not decided:
                    continue
                folder = out / DICOM / (found.name(results) if len(found.lists) > 1 else "")
                files = ResultFiles(folder / file_stem(name), "dicom", replace(UNKNOWN, reviewer=name))
                written = write_regions(files, source, region_map, case.geometry, listed, decided)
                items.append({"name": source.name, "reader": name, **written})
    return items
