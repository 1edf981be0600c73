"""Commands about what readers decided: decisions, sign-off, agreement, report, verify."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..review.readers import SCORES
from .options import RESULT, CaseChoice, Json, Overwrite, Quiet, given, on_cases
from .run import perform
from .tables import console, print_table

Result = dict[str, Any]


def verify(
    folder: Annotated[Path, typer.Argument(help="Where the reviews lie, also in folders below it; or one log.")],
    against: Annotated[
        Path | None,
        typer.Option(help="What verify --json or report wrote earlier, to be still so.", rich_help_panel=RESULT),
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Check that review logs are as they were written; ends with 1 where one is not."""
    parameters = given(folder=folder, against=against)
    perform("verify", parameters, as_json, _verified, quiet, is_bad=lambda result: bool(result["bad"]))


def _verified(result: Result) -> None:
    for log in result["logs"]:
        console.print(log["sentence"])
    console.print(result["limits"])


def _decided(result: Result) -> None:
    rows = [
        (row["rank"], row["case"], row["class_name"], row["suspicion"], row["state"], row["when"][:16], row["reason"])
        for row in result["rows"]
    ]
    print_table(("Rank", "Case", "Class", "Suspected", "Verdict", "When (UTC)", "Reason"), rows, "--json")
    for signed in result["signed_off"]:
        console.print(f"{signed['case']} is signed off with {signed['score']}")
    if result["written"]:
        console.print(f"Written for {result['reader']}: {result['written']}; in {result['log']}")
    if result["first"]:
        console.print(
            f"These are the first decisions of a reader {result['reader']} here; whoever decided before under another "
            "spelling is taken for somebody else: take them back with --undo, and write the name as then."
        )
    console.print(f"{result['open']} of {len(rows)} rows are open")


READING = "Reader"
Folder = Annotated[Path, typer.Argument(help="Folder that review wrote.")]
ReaderName = Annotated[str, typer.Option("--reader", help="Name of the reader.", rich_help_panel=READING)]
Role = Annotated[
    str | None,
    typer.Option(help="As what they read; kept for later calls.", show_default=False, rich_help_panel=READING),
]
Instruction = Annotated[
    str | None,
    typer.Option(
        help="Version of the reading instruction; kept for later calls.", show_default=False, rich_help_panel=READING
    ),
]
Reason = Annotated[
    str | None,
    typer.Option(help="Why; asked for where something is changed.", show_default=False, rich_help_panel=READING),
]


class VerdictChoice(str, Enum):
    confirmed = "confirmed"
    accepted = "accepted"
    corrected = "corrected"
    unsure = "unsure"
    open = "open"


@on_cases()
def decisions(
    folder: Folder,
    reader: ReaderName,
    chosen: CaseChoice,
    role: Role = None,
    instruction: Instruction = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Row to decide about.", rich_help_panel=READING)] = None,
    verdict: Annotated[VerdictChoice | None, typer.Option(help="What of it.", rich_help_panel=READING)] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(help="CSV with the columns rank, verdict and reason, instead.", rich_help_panel=READING),
    ] = None,
    corrected: Annotated[
        Path | None,
        typer.Option(help="Folder of the labels as this reader corrected them.", rich_help_panel=READING),
    ] = None,
    reason: Reason = None,
    undo: Annotated[
        int | None, typer.Option(min=1, help="Number of a decision to take back.", rich_help_panel=READING)
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show what one reader decided about a review list, and add to it; other readers' decisions stay hidden."""
    parameters = given(
        results=folder,
        reader=reader,
        role=role,
        instruction=instruction,
        rank=rank,
        verdict=verdict and verdict.value,
        verdicts=verdicts,
        corrected=corrected,
        reason=reason,
        undo=undo,
        cases=chosen.parameter(optional=True) if chosen.is_given else None,
    )
    perform("decisions", parameters, as_json, _decided, quiet)


def sign_off(
    case: Annotated[str, typer.Argument(help="Name of the case.")],
    results: Annotated[Path, typer.Option(help="Folder that review wrote.")],
    reader: ReaderName,
    score: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=5,
            help=", ".join(f"{score} {words}" for score, words in SCORES.items()) + ".",
            rich_help_panel=READING,
        ),
    ] = None,
    role: Role = None,
    instruction: Instruction = None,
    reason: Reason = None,
    for_all: Annotated[
        bool, typer.Option("--for-all", help="Lock the case for every reader.", rich_help_panel=READING)
    ] = False,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Open the case again; needs a reason.", rich_help_panel=READING)
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Give a case its verdict and lock it: decisions about it are refused until it is opened again."""
    parameters = given(
        case=case,
        results=results,
        reader=reader,
        score=score,
        role=role,
        instruction=instruction,
        reason=reason,
        for_all=for_all or None,
        reopen=reopen or None,
    )
    perform("sign_off", parameters, as_json, lambda result: console.print(result["sentence"]), quiet)


@on_cases()
def agreement(
    folder: Folder,
    chosen: CaseChoice,
    reader: Annotated[
        list[str] | None,
        typer.Option("--reader", help="One of the two; needed where there are more.", rich_help_panel=READING),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for agreement.json and adjudication.csv (FOLDER).", rich_help_panel=RESULT
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure how far two readers agree, and list their disagreements for a third; --data to compare outlines, too."""
    parameters = given(
        results=folder,
        readers=reader or None,
        cases=chosen.parameter(optional=True) if chosen.is_given else None,
        out=out,
        overwrite=overwrite or None,
    )
    perform("agreement", parameters, as_json, _agreed, quiet)


def _agreed(result: Result) -> None:
    for sentence in result["sentences"]:
        console.print(sentence)
    console.print(f"Disagreements: {result['csv']}")


@on_cases(labels=False)
def report(
    folder: Annotated[Path, typer.Argument(help="Where reviews, models and audits lie, also in folders below it.")],
    chosen: CaseChoice,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for report.html and report.json (FOLDER).", rich_help_panel=RESULT),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write what was done as a page and as JSON; --data with DICOM series adds structured reports (DICOM SR)."""
    parameters = given(
        folder=folder,
        cases=chosen.parameter(optional=True) if chosen.is_given else None,
        out=out,
        overwrite=overwrite or None,
    )
    perform("report", parameters, as_json, _reported, quiet, is_bad=lambda result: bool(result["bad"]))


def _reported(result: Result) -> None:
    readers = ", ".join(result["readers"]) or "nobody"
    console.print(f"{result['cases']} cases, {result['decisions']} decisions by {readers}, {result['models']} models")
    if result["bad"]:
        console.print(f"{result['bad']} of the logs {'does' if result['bad'] == 1 else 'do'} not hold; see the report")
    console.print(f"Report: {result['html']}")
    for item in result["items"]:
        console.print(f"DICOM report of {item['name']} by {item['reader']}: {item.get('report', 'no region')}")


def add_record_commands(app: typer.Typer) -> None:
    """Commands about what readers decided."""
    for name, command, example in (
        ("decisions", decisions, "decisions review --reader Anna --rank 3 --verdict confirmed --data cases"),
        ("sign-off", sign_off, "sign-off case7 --results review --reader Anna --score 4"),
        ("agreement", agreement, "agreement review --reader Anna --reader Ben --data cases"),
        ("report", report, "report review"),
        ("verify", verify, "verify review"),
    ):
        app.command(name, rich_help_panel="Readers and records", epilog=f"Example: dalesegment {example}")(command)
