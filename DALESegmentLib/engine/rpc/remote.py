"""An engine on a server, as if it were here: its jobs, with the files they need sent and their results fetched.

This process serves whoever started it as any engine does, and passes requests on over HTTP, see docs/server.md. No disk
is shared: files are carried by `transfer`.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

from ..bundle.run_folder import BUNDLE_FOLDER, RUN_FILE, check_run_folder, claim_run_folder
from ..commands.case_list import write_list
from ..commands.parameters import CasesParameter
from ..commands.results_folder import results_folder
from ..commands.score_files import check_scores_free, write_scores
from ..core.errors import Cancelled, EngineError
from ..core.files import read_json, write_json
from ..core.progress import Progress, Stage
from ..io.class_names import is_somebody_elses
from ..review.audit import AUDIT_FILE, check_not_begun
from .file_names import relative
from .http_client import ServerConnection, unusable
from .job_registry import GIVEN_PATHS, ITEM_PATHS, JOBS, PATHS, RECORDS, Job
from .protocol import PROTOCOL, bad_request
from .transfer import Carrier, plain_name

RUNS = {"train": "", "finetune": "", "refresh": "model"}
"""Where in `out` the jobs that train have their run folder."""
WAIT_SECONDS = 20
"""That the server holds back a question about a job."""
CANCEL_WAITS = 6
_LONGEST_MESSAGE = 200


class RemoteEngine:
    """address: of the server; the token is in the environment, see `http_client`."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._carrier: Carrier | None = None

    @property
    def jobs(self) -> dict[str, Job]:
        """What to serve instead of `JOBS`."""

        def job(name: str) -> Job:
            return lambda parameters, progress: self._do(name, parameters, progress)

        return {name: JOBS[name] if name in RECORDS else job(name) for name in JOBS}

    def examine(self, _folder: str | None = None) -> list[dict[str, Any]]:
        """What the server says of itself, as the doctor does of a machine."""
        server = ServerConnection(self._address)
        told = server.ask("GET", "/v1/status")
        try:
            queue, own, gpus = told["queue"], told["yours"], [str(name) for name in told["gpus"]]
            everyone, yours = (f"{each['running']} running, {each['waiting']} waiting" for each in (queue, own))
            found = {
                "Server": f"{server.host}, version {told['version']}, as {told['user']}",
                "GPU": ", ".join(gpus) or "none, the CPU is used",
                "Queue": f"{everyone}; yours: {yours}",
            }
        except (KeyError, TypeError):
            raise unusable() from None
        return [{"name": name, "ok": True, "value": value[:200], "advice": ""} for name, value in found.items()]

    def _do(self, name: str, asked: dict[str, Any], progress: Progress) -> dict[str, Any]:
        carrier = self._carrier = self._carrier or Carrier(ServerConnection(self._address))
        carrier.check, carrier.moved = progress.check, _telling(progress.part(0, 10), "reading")
        carrier.used = set()
        if name == "evaluate":
            return self._evaluate(asked, carrier, progress)
        out = Path(asked["out"]).absolute() if isinstance(asked.get("out"), str) else None
        _check_out(name, asked, out)
        if out is None or name in RUNS:
            return self._asked(name, asked, carrier, out, progress)
        with results_folder(out, overwrite=bool(asked.get("overwrite")), data=_folder_of(asked)) as files:
            return self._asked(name, asked, carrier, out, progress) | files.about()

    def _asked(
        self, name: str, asked: dict[str, Any], carrier: Carrier, out: Path | None, progress: Progress
    ) -> dict[str, Any]:
        parameters = _sent(asked, carrier)
        there = ""
        if out is not None:  # a name of its own for each request: what an earlier one left there is in nobody's way
            there = parameters["out"] = f"{uuid.uuid4().hex[:20]}/{plain_name(out)}"
            parameters.pop("overwrite", None)
        try:
            result = _Asking(carrier, progress, there, out).answer(name, parameters)
        except EngineError as problem:
            if out is not None and problem.code != "engine-gone":  # what was finished before is kept
                carrier.check = lambda: None
                self._fetch(name, asked, carrier, there, out, progress)
            raise
        if out is None:
            return result
        carrier.check = lambda: None  # it is done: who cancels now would lose it
        self._fetch(name, asked, carrier, there, out, progress)
        answer = local(result, PATHS.get(name, ()), there, out)
        if name == "simulate" and answer.get("list"):  # it names images over there
            sources = CasesParameter.model_validate(asked["cases"]).find()
            answer["list"] = write_list(sources, answer["items"], out)
        return answer

    def _evaluate(self, asked: dict[str, Any], carrier: Carrier, progress: Progress) -> dict[str, Any]:
        """Its only file is its answer, which is written here."""
        out = Path(asked["out"]) if isinstance(asked.get("out"), str) else None
        if out is not None:
            check_scores_free(out, overwrite=bool(asked.get("overwrite")))
        parameters = _sent({key: value for key, value in asked.items() if key != "out"}, carrier)
        result = _Asking(carrier, progress, "", None).answer("evaluate", parameters)
        return result if out is None else result | write_scores(out, result)

    @staticmethod
    def _fetch(name: str, asked: dict[str, Any], carrier: Carrier, there: str, out: Path, progress: Progress) -> None:
        carrier.moved = _telling(progress.part(90, 100), "writing")
        run = RUNS.get(name)
        if run is not None and asked.get("overwrite"):
            claim_run_folder(out / run, overwrite=True)
        carrier.fetch(there, out, leave=is_somebody_elses)
        if run is not None and (out / run / RUN_FILE).is_file():  # so that it can be resumed here
            record = read_json(out / run / RUN_FILE)
            write_json(out / run / RUN_FILE, {**record, "cases": asked.get("cases")})
        carrier.remember(out, there)


class _Asking:
    """One job on the server, from its request to its answer."""

    def __init__(self, carrier: Carrier, progress: Progress, there: str, out: Path | None) -> None:
        self._carrier, self._server, self._there, self._out = carrier, carrier.server, there, out
        self._progress, self._part = progress, progress.part(10, 90)

    def answer(self, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
        check, id = self._progress.check, uuid.uuid4().hex
        request = {"protocol": PROTOCOL, "id": id, "command": name, "parameters": parameters}
        self._server.ask("POST", "/v1/jobs", check, json=request)
        try:
            return self._followed(id)
        except Cancelled:
            self._server.ask("POST", f"/v1/jobs/{id}/cancel")
            self._part = Progress()
            return self._followed(id, CANCEL_WAITS)

    def _followed(self, id: str, waits: int | None = None) -> dict[str, Any]:
        """waits: how many questions are asked before it counts as cancelled."""
        after, check = 0, self._progress.check if waits is None else lambda: None
        asked = 0
        while waits is None or asked < waits:
            # short questions: who cancels does not wait for the answer of a long one
            told = self._server.ask("GET", f"/v1/jobs/{id}/events", check, params={"after": after, "wait": 0.5})
            asked += not told.get("events")
            for event in told.get("events", ()):
                if event.get("event") == "result" and isinstance(event.get("result"), dict):
                    return event["result"]
                if event.get("event") == "error":
                    raise EngineError(str(event.get("code"))[:60], str(event.get("sentence"))[:500])
                self._pass_on(event)
            if told.get("state") == "waiting":
                self._part.report(
                    0, "reading", f"Waiting in the server's queue, {told.get('before', 0)} of yours before it"
                )
            after = int(told.get("next", 0))
        raise Cancelled

    def _pass_on(self, event: dict[str, Any]) -> None:
        """A report from there, as far as it is one; the maps of a region that it names are fetched at once."""
        percent, stage, left = (event.get(name) for name in ("percent", "stage", "seconds_left"))
        if not _number(percent) or stage not in get_args(Stage):
            return
        values = event.get("values")
        values = values if isinstance(values, dict) else {}
        plain: dict[str, Any] = {str(k)[:40]: v for k, v in values.items() if _number(v)}
        for name in ("percent", "stage", "message", "seconds_left"):
            plain.pop(name, None)
        if isinstance(values.get("region"), dict) and self._out is not None:
            plain["region"] = self._region(values["region"], self._out)
        message = str(event.get("message", ""))[:_LONGEST_MESSAGE]
        self._part.report(float(percent), stage, message, float(left) if _number(left) else None, **plain)  # type: ignore[arg-type]

    def _region(self, region: dict[str, Any], out: Path) -> dict[str, Any]:
        maps = [key for key in ("segmentation", "confidence", "shown") if isinstance(region.get(key), str)]
        moved = local(region, maps, self._there, out)
        for folder in sorted({str(Path(moved[key]).parent.relative_to(out).as_posix()) for key in maps}):
            place, base = (self._there, out) if folder == "." else (f"{self._there}/{folder}", out / folder)
            self._carrier.fetch(place, base, only={Path(moved[key]).name for key in maps})
        return moved


def _sent(asked: dict[str, Any], carrier: Carrier) -> dict[str, Any]:
    """The parameters with names over there; `out` is left as it is."""
    parameters = dict(asked)
    for name in GIVEN_PATHS:
        if isinstance(asked.get(name), str) and name != "out":
            send = _send_model if name in ("model", "pretrained_weights") else lambda path, carrier: carrier.send(path)
            parameters[name] = send(Path(asked[name]), carrier)
    if isinstance(asked.get("cases"), dict):
        parameters["cases"] = _send_cases(asked["cases"], carrier)
    return parameters


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


def _check_out(name: str, asked: dict[str, Any], out: Path | None) -> None:
    """What the engine there cannot see: is the place here free?"""
    if asked.get("resume"):
        raise bad_request(
            "A training on a server cannot be resumed; start a new one, or resume here what came back of it."
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
        raise bad_request("A list of cases names files that the server does not have; name a folder of cases.")
    sent = dict(cases)
    if isinstance(cases.get("folder"), str):
        sent["folder"] = carrier.send(Path(cases["folder"]))
    if isinstance(cases.get("items"), list):
        sent["items"] = [_send_item(item, carrier) if isinstance(item, dict) else item for item in cases["items"]]
    return sent


def _send_item(item: dict[str, Any], carrier: Carrier) -> dict[str, Any]:
    sent = dict(item)
    for name in ITEM_PATHS:
        if isinstance(item.get(name), str):
            sent[name] = carrier.send(Path(item[name]))
    if isinstance(item.get("images"), list):
        sent["images"] = [carrier.send(Path(image)) for image in item["images"]]
    return sent


def _telling(progress: Progress, stage: Stage) -> Any:
    return lambda message, share: progress.report(100.0 * share, stage, message)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
