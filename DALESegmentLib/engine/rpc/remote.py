"""An engine on another machine, as if it were here: its jobs, with the files they need sent and their results fetched.

The other engine is started by a command of the user's own, such as `ssh gpu-host python -m DALESegmentLib.engine
serve`. This process serves whoever started it as any engine does, and passes requests on. No disk is shared: files go
through the lines, see `file_transfer`.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from ..bundle.run_folder import BUNDLE_FOLDER, RUN_FILE, check_run_folder, claim_run_folder
from ..commands.case_list import write_list
from ..commands.parameters import CasesParameter
from ..commands.results_folder import results_folder
from ..commands.score_files import check_scores_free, write_scores
from ..core.errors import Cancelled, Check, EngineError
from ..core.files import read_json, write_json
from ..core.progress import Progress, Stage
from ..io.class_names import is_somebody_elses
from ..review.audit import AUDIT_FILE, check_not_begun
from .client import EngineClient
from .file_transfer import Carrier, relative, unusable
from .job_registry import JOBS, PATHS, RECORDS, Job
from .protocol import bad_request

RUNS = {"train": "", "finetune": "", "refresh": "model"}
"""Where in `out` the jobs that train have their run folder."""
FOLDERS = ("predictions", "confidence", "results")
FILES = ("label", "trusted", "confidence", "reference")
CANCEL_SECONDS, FETCH_SECONDS = 30.0, 600.0
"""Where a step was cancelled or failed: how long to wait for its end, and for what was finished before."""
_LONGEST_MESSAGE = 200


class RemoteEngine:
    """command: what starts the engine there, split as a shell would, but run without one."""

    def __init__(self, command: str) -> None:
        self._command = split(command)
        self._client: EngineClient | None = None
        self._carrier: Carrier | None = None

    @property
    def jobs(self) -> dict[str, Job]:
        """What to serve instead of `JOBS`."""

        def job(name: str) -> Job:
            return lambda parameters, progress: self._do(name, parameters, progress)

        return {name: JOBS[name] if name in RECORDS else job(name) for name in JOBS}

    def examine(self, _folder: str | None = None) -> list[dict[str, Any]]:
        """What the doctor says over there."""
        return self._engine().call("doctor")["checks"]

    def _engine(self) -> EngineClient:
        if self._client is None or self._client.gone:
            try:
                self._client, self._carrier = EngineClient(self._command), None
            except EngineError as error:
                raise EngineError(
                    "engine-not-started",
                    "The engine on the other machine did not answer; run the engine command in a terminal, where it "
                    "has to end in a line with 'ready' without asking for anything.",
                ) from error
        return self._client

    def _do(self, name: str, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
        engine = self._engine()
        carrier = self._carrier or Carrier(engine, progress.check, lambda *_: None)
        self._carrier = carrier
        carrier.begin(progress.check, _telling(progress.part(0, 10), "reading"))
        if name == "evaluate":
            return self._evaluate(engine, asked, carrier, progress)
        out = Path(asked["out"]).absolute() if isinstance(asked.get("out"), str) else None
        _check_out(name, asked, out)
        if out is None or name in RUNS:
            return self._asked(engine, name, asked, carrier, out, progress)
        with results_folder(out, overwrite=bool(asked.get("overwrite")), data=_folder_of(asked)) as files:
            return self._asked(engine, name, asked, carrier, out, progress) | files.about()

    def _asked(
        self,
        engine: EngineClient,
        name: str,
        asked: dict[str, Any],
        carrier: Carrier,
        out: Path | None,
        progress: Progress,
    ) -> dict[str, Any]:
        parameters, there = self._sent(asked, carrier, out)
        try:
            result = _answer(engine, name, parameters, progress)
        except EngineError:
            if out is not None and there is not None and not engine.gone:  # what was finished before is kept
                carrier.check = _patience(FETCH_SECONDS)
                self._fetch(name, asked, carrier, there, out, progress)
            raise
        if out is None or there is None:
            return result
        carrier.check = lambda: None  # it is done: who cancels now would lose it
        path = self._fetch(name, asked, carrier, there, out, progress)
        answer = local(result, PATHS.get(name, ()), path, out)
        if name == "simulate" and answer.get("list"):  # it names images over there
            sources = CasesParameter.model_validate(asked["cases"]).find()
            answer["list"] = write_list(sources, answer["items"], out)
        return answer

    def _evaluate(
        self, engine: EngineClient, asked: dict[str, Any], carrier: Carrier, progress: Progress
    ) -> dict[str, Any]:
        """Its only file is its answer, which is written here."""
        out = Path(asked["out"]) if isinstance(asked.get("out"), str) else None
        if out is not None:
            check_scores_free(out, overwrite=bool(asked.get("overwrite")))
        parameters, _ = self._sent({key: value for key, value in asked.items() if key != "out"}, carrier, None)
        result = _answer(engine, "evaluate", parameters, progress)
        return result if out is None else result | write_scores(out, result)

    def _sent(self, asked: dict[str, Any], carrier: Carrier, out: Path | None) -> tuple[dict[str, Any], str | None]:
        """The parameters with paths over there, and the name there of `out`."""
        parameters, there = dict(asked), None
        for name in FOLDERS:
            if isinstance(asked.get(name), str):
                parameters[name] = carrier.send(Path(asked[name]))
        for name in ("audit", "probabilities", "decisions"):
            if isinstance(asked.get(name), str):
                parameters[name] = carrier.send(Path(asked[name]))
        for name in ("model", "pretrained_weights"):
            if isinstance(asked.get(name), str):
                parameters[name] = _send_model(Path(asked[name]), carrier)
        if isinstance(asked.get("cases"), dict):
            parameters["cases"] = _send_cases(asked["cases"], carrier)
        if out is not None:
            there = carrier.new_name(out.name)
            parameters["out"] = carrier.path_of(there)
        return parameters, there

    @staticmethod
    def _fetch(name: str, asked: dict[str, Any], carrier: Carrier, there: str, out: Path, progress: Progress) -> str:
        carrier.moved = _telling(progress.part(90, 100), "writing")
        path, run = carrier.path_of(there), RUNS.get(name)
        if run is not None and asked.get("overwrite") and carrier.holds(there):
            claim_run_folder(out / run, overwrite=True)
        carrier.fetch(there, out, is_somebody_elses)
        if run is not None and (out / run / RUN_FILE).is_file():  # so that it can be resumed here
            record = read_json(out / run / RUN_FILE)
            write_json(out / run / RUN_FILE, {**record, "cases": asked.get("cases")})
        carrier.remember(out, path)
        return path


def split(command: str) -> list[str]:
    """Raises EngineError("bad-engine-command")."""
    try:
        parts = shlex.split(command, posix=sys.platform != "win32")
        if sys.platform == "win32":  # where a backslash is no escape, and quotation marks stay
            parts = [part[1:-1] if len(part) > 1 and part[0] == part[-1] == '"' else part for part in parts]
    except ValueError:
        parts = []
    if not parts:
        raise EngineError(
            "bad-engine-command",
            "The engine command is empty or has an open quotation mark; write it as in a terminal, for instance: "
            "ssh gpu-host python -m DALESegmentLib.engine serve",
        )
    return parts


def local(result: dict[str, Any], paths: Iterable[str], there: str, here: Path) -> dict[str, Any]:
    """The result of a job with the paths below `there` as paths below `here`. paths: which of its values are paths, see
    `PATHS`. Raises EngineError("remote-answer") where one of them is none, or leads anywhere else."""
    moved = dict(result)
    inside = [name.split(".", 1)[1] for name in paths if "." in name]
    for name in paths:
        if moved.get(name) is not None:
            moved[name] = _local(moved[name], there, here)
    items = moved.get("items")
    if inside and items is not None:
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise unusable()
        moved["items"] = [local(item, inside, there, here) for item in items]
    return moved


def _local(path: Any, there: str, here: Path) -> str:
    if not isinstance(path, str) or not path.startswith(there):
        raise unusable()
    rest = path[len(there) :].replace("\\", "/")
    if not rest:
        return str(here)
    if not rest.startswith("/"):
        raise unusable()
    return str(here.joinpath(*relative(rest[1:]).parts))


def _answer(engine: EngineClient, name: str, parameters: dict[str, Any], progress: Progress) -> dict[str, Any]:
    progress.check()
    pending = engine.start(name, parameters)
    part = progress.part(10, 90)
    try:
        return pending.wait(lambda event: _pass_on(event, part), progress.check)
    except Cancelled:
        pending.cancel()
        try:
            return pending.wait(lambda event: _pass_on(event, part), _patience(CANCEL_SECONDS))
        except _Stalled:
            engine.kill()
            raise Cancelled from None


class _Stalled(EngineError):
    """The other machine does not answer any more."""


def _patience(seconds: float) -> Check:
    """Raises _Stalled once so much time is over."""
    until = time.monotonic() + seconds

    def check() -> None:
        if time.monotonic() > until:
            raise _Stalled("engine-gone", "The engine on the other machine does not answer; start the step again.")

    return check


def _check_out(name: str, asked: dict[str, Any], out: Path | None) -> None:
    """What the engine there cannot see: is the place here free?"""
    if asked.get("resume"):
        raise bad_request(
            "A training on another machine cannot be resumed from here; start a new one, or resume it there."
        )
    if out is not None and name in RUNS:
        check_run_folder(out / RUNS[name], overwrite=bool(asked.get("overwrite")))
    if out is not None and name == "review" and asked.get("audit"):
        check_not_begun(out / AUDIT_FILE)


def _folder_of(asked: dict[str, Any]) -> Path | None:
    cases = asked.get("cases")
    folder = cases.get("folder") if isinstance(cases, dict) else None
    return Path(folder) if isinstance(folder, str) else None


def _send_model(path: Path, carrier: Carrier) -> str:
    """A bundle with the run it lies in, which knows more about the labels."""
    if path.name == BUNDLE_FOLDER and (path.parent / RUN_FILE).is_file():
        return f"{carrier.send(path.parent)}/{BUNDLE_FOLDER}"
    return carrier.send(path)


def _send_cases(cases: dict[str, Any], carrier: Carrier) -> dict[str, Any]:
    if cases.get("list") is not None:
        raise bad_request("A list of cases names files that the other machine does not have; name a folder of cases.")
    sent = dict(cases)
    if isinstance(cases.get("folder"), str):
        sent["folder"] = carrier.send(Path(cases["folder"]))
    if isinstance(cases.get("items"), list):
        sent["items"] = [_send_item(item, carrier) if isinstance(item, dict) else item for item in cases["items"]]
    return sent


def _send_item(item: dict[str, Any], carrier: Carrier) -> dict[str, Any]:
    sent = dict(item)
    for name in (*FILES, "arrays"):
        if isinstance(item.get(name), str):
            sent[name] = carrier.send(Path(item[name]))
    if isinstance(item.get("images"), list):
        sent["images"] = [carrier.send(Path(image)) for image in item["images"]]
    return sent


def _telling(progress: Progress, stage: Stage) -> Any:
    return lambda message, share: progress.report(100.0 * share, stage, message)


def _pass_on(event: dict[str, Any], progress: Progress) -> None:
    """A report from there, as far as it is one."""
    percent, stage, left = (event.get(name) for name in ("percent", "stage", "seconds_left"))
    if not _number(percent) or stage not in get_args(Stage):
        return
    values = event.get("values")
    plain = {str(k)[:40]: v for k, v in values.items() if _number(v)} if isinstance(values, dict) else {}
    for name in ("percent", "stage", "message", "seconds_left"):
        plain.pop(name, None)
    message = str(event.get("message", ""))[:_LONGEST_MESSAGE]
    progress.report(float(percent), stage, message, float(left) if _number(left) else None, **plain)  # type: ignore[arg-type]


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
