"""predict, confidence, review: a model applied to cases."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from . import summaries
from .options import (
    RESULT,
    CaseList,
    Data,
    Device,
    Image,
    Json,
    Label,
    LabelSeed,
    Limit,
    Model,
    Out,
    Split,
    SplitOption,
    cases,
    given,
)
from .perform import perform


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
        typer.Option(help="Run every window (exact), or look first where something may be.", show_default="exact"),
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Segment images."""
    named = cases(data, case_list, image, split=split, limit=limit)
    parameters = given(
        model=model, cases=named, out=out, probabilities=probabilities, mode=mode and mode.value, device=device
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
    label_seed: LabelSeed = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Write a map of label confidence for every labelled case."""
    named = cases(data, case_list, image, label, None, split, limit, label_seed)
    parameters = given(model=model, cases=named, out=out, device=device)
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
    label_seed: LabelSeed = None,
    regions: Annotated[
        int | None, typer.Option(min=1, help="Regions a case at most (20).", rich_help_panel=RESULT)
    ] = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """List the doubtful regions of labels, worst first."""
    named = cases(data, case_list, image, label, None, split, limit, label_seed)
    parameters = given(model=model, cases=named, out=out, device=device, limit=regions)
    perform("review", parameters, as_json, summaries.regions)


def add_to(app: typer.Typer) -> None:
    for command, example in (
        (predict, "predict -m runs/first --data new -o segmented"),
        (confidence, "confidence -m runs/first --data cases -o maps"),
        (review, "review -m runs/first --data cases --regions 5 -o review"),
    ):
        app.command(rich_help_panel="Use a model", epilog=f"Example: dalesegment {example}")(command)
