"""inspect, evaluate, simulate: data and results looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import summaries
from .options import (
    RESULT,
    CaseList,
    Data,
    Image,
    Json,
    Label,
    LabelSeed,
    Limit,
    Out,
    Reference,
    Seed,
    Split,
    SplitOption,
    cases,
    given,
)
from .perform import perform

HAND = "Annotator"


def inspect(
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    reference: Reference = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    label_seed: LabelSeed = None,
    as_json: Json = False,
) -> None:
    """List cases with their geometry, classes and problems."""
    named = cases(data, case_list, image, label, reference, split, limit, label_seed)
    perform("inspect", {"cases": named}, as_json, summaries.inspection)


def evaluate(
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    reference: Reference = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    label_seed: LabelSeed = None,
    predictions: Annotated[Path | None, typer.Option(help="Folder that predict wrote.", rich_help_panel=RESULT)] = None,
    confidence: Annotated[
        Path | None, typer.Option(help="Folder that confidence wrote.", rich_help_panel=RESULT)
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="audit.csv of review, filled in: how many label errors are left.", rich_help_panel=RESULT),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="JSON file for the scores.", rich_help_panel=RESULT)
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare predictions, labels and confidence with a reference; say what an audit found."""
    only_the_audit = audit is not None and data is None and case_list is None
    named = None if only_the_audit else cases(data, case_list, image, label, reference, split, limit, label_seed)
    parameters = given(cases=named, predictions=predictions, confidence=confidence, audit=audit, out=out)
    perform("evaluate", parameters, as_json, summaries.evaluation)


def simulate(
    out: Out,
    kind: Annotated[
        str,
        typer.Option(help="erode, dilate, shift, walk, miss, biased or hurried.", rich_help_panel=HAND),
    ],
    amount: Annotated[float, typer.Option(help="How much, in mm.", rich_help_panel=HAND)],
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    label_seed: LabelSeed = None,
    relative: Annotated[
        bool,
        typer.Option("--relative", help="The amount is a share of the lesion's radius.", rich_help_panel=HAND),
    ] = False,
    share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of the cases to spoil (all).", rich_help_panel=HAND),
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Spoil labels the way annotators do, for studies where the truth is known."""
    named = cases(data, case_list, image, label, None, split, limit, label_seed)
    parameters = given(cases=named, out=out, kind=kind, amount=amount, relative=relative, share=share, seed=seed)
    perform("simulate", parameters, as_json, summaries.simulation)


def add_to(app: typer.Typer) -> None:
    for command, example in (
        (inspect, "inspect --data cases"),
        (evaluate, "evaluate --data cases --split test --reference votes:2 --predictions segmented"),
        (simulate, "simulate --data cases --kind walk --amount 2 -o spoiled"),
    ):
        app.command(rich_help_panel="Look at data", epilog=f"Example: dalesegment {example}")(command)
