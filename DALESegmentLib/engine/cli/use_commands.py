"""Commands that apply a model (predict, confidence, review), and those on data (inspect, evaluate, simulate)."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import summaries
from .options import (
    RESULT,
    CaseList,
    Data,
    Device,
    Format,
    Image,
    Json,
    Label,
    Limit,
    Model,
    Out,
    RaterSeed,
    Reference,
    ResultFormat,
    Seed,
    Split,
    SplitOption,
    cases,
    given,
)
from .run import perform


class Mode(str, Enum):
    exact = "exact"
    foreground = "foreground"


def predict(
    model: Model,
    out: Out,
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    probabilities: Annotated[
        bool,
        typer.Option("--probabilities", help="Write the probability maps, too.", rich_help_panel=RESULT),
    ] = False,
    mode: Annotated[
        Mode | None,
        typer.Option(
            help="Run every window (exact), or first predict coarsely where something may be.", show_default="exact"
        ),
    ] = None,
    result_format: ResultFormat = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Segment images."""
    named = cases(data, case_list, image, split=split, limit=limit)
    parameters = given(
        model=model,
        cases=named,
        out=out,
        probabilities=probabilities,
        mode=mode and mode.value,
        format=result_format and result_format.value,
        device=device,
    )
    perform("predict", parameters, as_json, summaries.predictions)


def confidence(
    model: Model,
    out: Out,
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    rater_seed: RaterSeed = None,
    result_format: ResultFormat = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write a map of label confidence for every labelled case."""
    named = cases(data, case_list, image, label, None, split, limit, rater_seed)
    written = result_format and result_format.value
    parameters = given(model=model, cases=named, out=out, format=written, device=device)
    perform("confidence", parameters, as_json, summaries.confidences)


def review(
    model: Model,
    out: Out,
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    rater_seed: RaterSeed = None,
    regions: Annotated[
        int | None, typer.Option(min=1, help="Errors a case at most (20).", rich_help_panel=RESULT)
    ] = None,
    audit: Annotated[
        int | None,
        typer.Option(min=1, help="Also draw so many places at random, to judge yourself.", rich_help_panel=RESULT),
    ] = None,
    seed: Seed = None,
    result_format: ResultFormat = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """List the probable errors of labels, worst first."""
    named = cases(data, case_list, image, label, None, split, limit, rater_seed)
    written = result_format and result_format.value
    chosen = given(format=written, device=device, limit=regions, audit=audit, seed=seed)
    parameters = given(model=model, cases=named, out=out) | chosen
    perform("review", parameters, as_json, summaries.regions)


def export(
    results: Annotated[Path, typer.Option(help="Folder that predict, confidence or review wrote.")],
    out: Out,
    result_format: Annotated[Format, typer.Option("--format", help="What to write.", rich_help_panel=RESULT)],
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    decisions: Annotated[
        Path | None,
        typer.Option(help="Review log, or the JSON of Slicer's Export decisions.", rich_help_panel=RESULT),
    ] = None,
    reviewer: Annotated[
        str | None, typer.Option(help="Who reviewed the labels; else as the decisions say.", rich_help_panel=RESULT)
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="That the results are of; is named in DICOM.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write results in another format, with the decisions of a review."""
    named = cases(data, case_list, image, label, None, split, limit)
    chosen = given(decisions=decisions, reviewer=reviewer, model=model)
    parameters = given(cases=named, results=results, out=out, format=result_format.value) | chosen
    perform("export", parameters, as_json, summaries.exported)


def add_model_commands(app: typer.Typer) -> None:
    """Commands that use a model."""
    for command, example in (
        (predict, "predict -m runs/first --data new -o segmented"),
        (confidence, "confidence -m runs/first --data cases -o maps"),
        (review, "review -m runs/first --data cases --regions 5 -o review"),
        (export, "export --data cases --results review --decisions review.log --format dicom -o dicom"),
    ):
        app.command(rich_help_panel="Use a model", epilog=f"Example: dalesegment {example}")(command)


ANNOTATOR = "Annotator"


def inspect(
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    reference: Reference = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    rater_seed: RaterSeed = None,
    as_json: Json = False,
) -> None:
    """List cases with their geometry, classes and problems."""
    named = cases(data, case_list, image, label, reference, split, limit, rater_seed)
    perform("inspect", {"cases": named}, as_json, summaries.inspection)


def evaluate(
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    reference: Reference = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    rater_seed: RaterSeed = None,
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
    named = None if only_the_audit else cases(data, case_list, image, label, reference, split, limit, rater_seed)
    parameters = given(cases=named, predictions=predictions, confidence=confidence, audit=audit, out=out)
    perform("evaluate", parameters, as_json, summaries.evaluation)


def simulate(
    out: Out,
    kind: Annotated[
        str,
        typer.Option(help="erode, dilate, shift, walk, miss, biased or hurried.", rich_help_panel=ANNOTATOR),
    ],
    amount: Annotated[float, typer.Option(help="How much, in mm.", rich_help_panel=ANNOTATOR)],
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    rater_seed: RaterSeed = None,
    relative: Annotated[
        bool,
        typer.Option("--relative", help="The amount is a share of the lesion's radius.", rich_help_panel=ANNOTATOR),
    ] = False,
    share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of the cases to spoil (all).", rich_help_panel=ANNOTATOR),
    ] = None,
    seed: Seed = None,
    as_json: Json = False,
) -> None:
    """Spoil labels the way annotators do, for studies where the truth is known."""
    named = cases(data, case_list, image, label, None, split, limit, rater_seed)
    parameters = given(cases=named, out=out, kind=kind, amount=amount, relative=relative, share=share, seed=seed)
    perform("simulate", parameters, as_json, summaries.simulation)


def add_data_commands(app: typer.Typer) -> None:
    """Commands that look at data."""
    for command, example in (
        (inspect, "inspect --data cases"),
        (evaluate, "evaluate --data cases --split test --reference votes:2 --predictions segmented"),
        (simulate, "simulate --data cases --kind walk --amount 2 -o spoiled"),
    ):
        app.command(rich_help_panel="Look at data", epilog=f"Example: dalesegment {example}")(command)
