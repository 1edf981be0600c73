"""Commands that apply a model (predict, confidence, review), and those on data (inspect, evaluate, simulate)."""

from __future__ import annotations

from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from . import summaries
from .options import (
    RESULT,
    CaseList,
    ClassLabel,
    Data,
    Device,
    IgnoreLabel,
    Image,
    InstancesAsOne,
    Json,
    Label,
    Limit,
    Model,
    Out,
    Overwrite,
    Quiet,
    Rater,
    RaterSeed,
    Reference,
    Seed,
    SparseLabels,
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
    device: Device = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
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
        device=device,
        overwrite=overwrite or None,
    )
    perform("predict", parameters, as_json, summaries.predictions, quiet)


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
    rater: Rater = None,
    ignore_label: IgnoreLabel = None,
    class_label: ClassLabel = None,
    instances_as_one: InstancesAsOne = False,
    sparse_labels: SparseLabels = False,
    device: Device = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a map of label confidence for every labelled case."""
    named = cases(
        data,
        case_list,
        image,
        label,
        None,
        split,
        limit,
        rater_seed,
        rater=rater,
        ignore_label=ignore_label,
        class_label=class_label,
        instances_as_one=instances_as_one,
        sparse_labels=sparse_labels,
    )
    parameters = given(model=model, cases=named, out=out, device=device, overwrite=overwrite or None)
    perform("confidence", parameters, as_json, summaries.confidences, quiet)


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
    rater: Rater = None,
    ignore_label: IgnoreLabel = None,
    class_label: ClassLabel = None,
    instances_as_one: InstancesAsOne = False,
    sparse_labels: SparseLabels = False,
    regions: Annotated[
        int | None, typer.Option(min=1, help="Errors a case at most (20).", rich_help_panel=RESULT)
    ] = None,
    audit: Annotated[
        int | None,
        typer.Option(min=1, help="Also draw so many places at random, to judge yourself.", rich_help_panel=RESULT),
    ] = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the probable errors of labels, worst first."""
    named = cases(
        data,
        case_list,
        image,
        label,
        None,
        split,
        limit,
        rater_seed,
        rater=rater,
        ignore_label=ignore_label,
        class_label=class_label,
        instances_as_one=instances_as_one,
        sparse_labels=sparse_labels,
    )
    parameters = given(
        model=model,
        cases=named,
        out=out,
        device=device,
        limit=regions,
        audit=audit,
        seed=seed,
        overwrite=overwrite or None,
    )
    perform("review", parameters, as_json, summaries.regions, quiet)


def add_model_commands(app: typer.Typer) -> None:
    """Commands that use a model."""
    for command, example in (
        (predict, "predict -m runs/first --data new -o segmented"),
        (confidence, "confidence -m runs/first --data cases -o maps"),
        (review, "review -m runs/first --data cases --regions 5 -o review"),
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
    rater: Rater = None,
    ignore_label: IgnoreLabel = None,
    class_label: ClassLabel = None,
    instances_as_one: InstancesAsOne = False,
    sparse_labels: SparseLabels = False,
    every: Annotated[bool, typer.Option("--all", help="Print a row for every case.", rich_help_panel=RESULT)] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List cases with their files, geometry, classes and problems; ends with 1 where there is a problem."""
    named = cases(
        data,
        case_list,
        image,
        label,
        reference,
        split,
        limit,
        rater_seed,
        rater=rater,
        ignore_label=ignore_label,
        class_label=class_label,
        instances_as_one=instances_as_one,
        sparse_labels=sparse_labels,
    )
    show = partial(summaries.inspection, every=every)
    perform("inspect", {"cases": named}, as_json, show, quiet, is_bad=lambda result: bool(result["problems"]))


def evaluate(
    data: Data = None,
    case_list: CaseList = None,
    image: Image = None,
    label: Label = None,
    reference: Reference = None,
    split: SplitOption = Split.all,
    limit: Limit = None,
    rater_seed: RaterSeed = None,
    rater: Rater = None,
    ignore_label: IgnoreLabel = None,
    class_label: ClassLabel = None,
    instances_as_one: InstancesAsOne = False,
    sparse_labels: SparseLabels = False,
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
    only_the_audit = audit is not None and data is None and case_list is None
    named = (
        None
        if only_the_audit
        else cases(
            data,
            case_list,
            image,
            label,
            reference,
            split,
            limit,
            rater_seed,
            rater=rater,
            ignore_label=ignore_label,
            class_label=class_label,
            instances_as_one=instances_as_one,
            sparse_labels=sparse_labels,
        )
    )
    chosen = given(predictions=predictions, confidence=confidence, audit=audit, out=out, overwrite=overwrite or None)
    parameters = given(cases=named) | chosen
    perform("evaluate", parameters, as_json, summaries.evaluation, quiet)


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
    rater: Rater = None,
    ignore_label: IgnoreLabel = None,
    class_label: ClassLabel = None,
    instances_as_one: InstancesAsOne = False,
    sparse_labels: SparseLabels = False,
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
    named = cases(
        data,
        case_list,
        image,
        label,
        None,
        split,
        limit,
        rater_seed,
        rater=rater,
        ignore_label=ignore_label,
        class_label=class_label,
        instances_as_one=instances_as_one,
        sparse_labels=sparse_labels,
    )
    parameters = given(
        cases=named,
        out=out,
        kind=kind,
        amount=amount,
        relative=relative,
        share=share,
        seed=seed,
        overwrite=overwrite or None,
    )
    perform("simulate", parameters, as_json, summaries.simulation, quiet)


def add_data_commands(app: typer.Typer) -> None:
    """Commands that look at data."""
    for command, example in (
        (inspect, "inspect --data cases"),
        (evaluate, "evaluate --data cases --predictions segmented -o scores"),
        (simulate, "simulate --data cases --kind walk --amount 2 -o spoiled"),
    ):
        app.command(rich_help_panel="Look at data", epilog=f"Example: dalesegment {example}")(command)
