"""Commands that apply a model (predict, confidence, review), and those on data (inspect, evaluate, simulate)."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from . import data_summaries, summaries
from .options import (
    COMPUTING,
    RESULT,
    Backend,
    CaseChoice,
    Device,
    Format,
    Json,
    Model,
    OptionalModel,
    Out,
    Overwrite,
    ProbabilityFolder,
    Quiet,
    ResultFormat,
    Seed,
    given,
    on_cases,
)
from .run import perform


class Mode(str, Enum):
    exact = "exact"
    foreground = "foreground"


@on_cases(labels=False)
def predict(
    model: Model,
    out: Out,
    chosen: CaseChoice,
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
    part: Annotated[
        str | None,
        typer.Option(help="Of the cases, one of several parts: 2/4 is the second of four.", rich_help_panel=COMPUTING),
    ] = None,
    result_format: ResultFormat = None,
    device: Device = None,
    backend: Backend = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Segment images."""
    parameters = given(
        model=model,
        cases=chosen.parameter(),
        out=out,
        probabilities=probabilities,
        mode=mode and mode.value,
        part=part,
        format=result_format and result_format.value,
        device=device,
        backend=backend and backend.value,
        overwrite=overwrite or None,
    )
    perform("predict", parameters, as_json, summaries.predictions, quiet)


@on_cases()
def confidence(
    out: Out,
    chosen: CaseChoice,
    model: OptionalModel = None,
    probabilities: ProbabilityFolder = None,
    result_format: ResultFormat = None,
    device: Device = None,
    backend: Backend = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a map of label confidence for every labelled case."""
    written = result_format and result_format.value
    settings = given(format=written, device=device, backend=backend and backend.value, overwrite=overwrite or None)
    judge = given(model=model, probabilities=probabilities)
    parameters = judge | given(cases=chosen.parameter(), out=out) | settings
    perform("confidence", parameters, as_json, summaries.confidences, quiet)


@on_cases()
def review(
    out: Out,
    chosen: CaseChoice,
    model: OptionalModel = None,
    probabilities: ProbabilityFolder = None,
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
    backend: Backend = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the probable errors of labels, worst first."""
    written = result_format and result_format.value
    settings = given(
        format=written,
        device=device,
        backend=backend and backend.value,
        limit=regions,
        audit=audit,
        seed=seed,
        overwrite=overwrite or None,
    )
    judge = given(model=model, probabilities=probabilities)
    parameters = judge | given(cases=chosen.parameter(), out=out) | settings
    perform("review", parameters, as_json, summaries.regions, quiet)


@on_cases()
def export(
    results: Annotated[Path, typer.Option(help="Folder that predict, confidence or review wrote.")],
    out: Out,
    result_format: Annotated[Format, typer.Option("--format", help="What to write.", rich_help_panel=RESULT)],
    chosen: CaseChoice,
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
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write results in another format, with the decisions of a review."""
    settings = given(decisions=decisions, reviewer=reviewer, model=model, overwrite=overwrite or None)
    parameters = given(cases=chosen.parameter(), results=results, out=out, format=result_format.value) | settings
    perform("export", parameters, as_json, summaries.exported, quiet)


def export_onnx(
    model: Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file, NAME.onnx.", rich_help_panel=RESULT)],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it is there.", rich_help_panel=RESULT)
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a model's network as an ONNX file, checked against torch's answer."""
    parameters = given(model=model, out=out, overwrite=overwrite or None)
    perform("export_onnx", parameters, as_json, summaries.exported_network, quiet)


def add_model_commands(app: typer.Typer) -> None:
    """Commands that use a model."""
    for command, example in (
        (predict, "predict -m runs/first --data new -o segmented"),
        (confidence, "confidence -m runs/first --data cases -o maps"),
        (review, "review -m runs/first --data cases --regions 5 -o review"),
        (export, "export --data cases --results review --decisions review.log --format dicom -o dicom"),
        (export_onnx, "export-onnx -m runs/first -o liver.onnx"),
    ):
        app.command(rich_help_panel="Use a model", epilog=f"Example: dalesegment {example}")(command)


ANNOTATOR = "Annotator"


@on_cases(reference=True)
def inspect(
    chosen: CaseChoice,
    every: Annotated[bool, typer.Option("--all", help="Print a row for every case.", rich_help_panel=RESULT)] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List cases with their files, geometry, classes and problems; ends with 1 where there is a problem."""
    show = partial(data_summaries.inspection, every=every)
    perform(
        "inspect", {"cases": chosen.parameter()}, as_json, show, quiet, is_bad=lambda result: bool(result["problems"])
    )


@on_cases(reference=True)
def evaluate(
    chosen: CaseChoice,
    predictions: Annotated[Path | None, typer.Option(help="Folder that predict wrote.", rich_help_panel=RESULT)] = None,
    confidence: Annotated[
        Path | None, typer.Option(help="Folder that confidence wrote.", rich_help_panel=RESULT)
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="audit.csv of review, filled in: how many label errors are left.", rich_help_panel=RESULT),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for evaluate.json and evaluate.csv, or one of the files.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compare predictions, labels and confidence with a reference; say what an audit found."""
    only_the_audit = audit is not None and not chosen.is_given
    parameters = given(
        cases=None if only_the_audit else chosen.parameter(),
        predictions=predictions,
        confidence=confidence,
        audit=audit,
        out=out,
        overwrite=overwrite or None,
    )
    perform("evaluate", parameters, as_json, data_summaries.evaluation, quiet)


@on_cases()
def simulate(
    out: Out,
    kind: Annotated[
        str,
        typer.Option(help="erode, dilate, shift, walk, miss, biased or hurried.", rich_help_panel=ANNOTATOR),
    ],
    amount: Annotated[float, typer.Option(help="How much, in mm.", rich_help_panel=ANNOTATOR)],
    chosen: CaseChoice,
    relative: Annotated[
        bool,
        typer.Option("--relative", help="The amount is a share of the lesion's radius.", rich_help_panel=ANNOTATOR),
    ] = False,
    share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of the cases to spoil (all).", rich_help_panel=ANNOTATOR),
    ] = None,
    seed: Seed = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Spoil labels the way annotators do, for studies where the truth is known."""
    parameters = given(
        cases=chosen.parameter(),
        out=out,
        kind=kind,
        amount=amount,
        relative=relative,
        share=share,
        seed=seed,
        overwrite=overwrite or None,
    )
    perform("simulate", parameters, as_json, data_summaries.simulation, quiet)


@on_cases()
def raters(chosen: CaseChoice, quiet: Quiet = False, as_json: Json = False) -> None:
    """Compare several raters' labels of the same cases: bias, noise and Dice of each, without training."""
    perform("raters", {"cases": chosen.parameter()}, as_json, data_summaries.raters_compared, quiet)


def add_data_commands(app: typer.Typer) -> None:
    """Commands that look at data."""
    for command, example in (
        (inspect, "inspect --data cases"),
        (evaluate, "evaluate --data cases --predictions segmented -o scores"),
        (raters, "raters --data cases --rater all"),
        (simulate, "simulate --data cases --kind walk --amount 2 -o spoiled"),
    ):
        app.command(rich_help_panel="Look at data", epilog=f"Example: dalesegment {example}")(command)
