"""The options that several commands share, and the parameters of docs/protocol.md they stand for."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

DATA, RESULT, COMPUTING = "Data", "Results", "Computing"


class Split(str, Enum):
    train = "train"
    test = "test"
    all = "all"


Data = Annotated[
    Path | None,
    typer.Option("--data", help="Folder of cases, one case, or one image.", show_default=False, rich_help_panel=DATA),
]
CaseList = Annotated[
    Path | None,
    typer.Option("--list", help="CSV or decathlon JSON instead of a folder.", show_default=False, rich_help_panel=DATA),
]
Image = Annotated[
    str | None,
    typer.Option(
        "--image",
        help="Image files by name without extension, one a channel, with commas; found by default.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        help="Name of the label file. With commas or *: one is drawn for each case.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        help="Name of the reference label; 'votes:2' means 'value at least 2'.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
SplitOption = Annotated[Split, typer.Option("--split", help="Which cases.", rich_help_panel=DATA)]
LearningSplit = Annotated[
    Split | None,
    typer.Option(
        "--split",
        help="Which cases; by default those for training where the data says so, else all.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="At most so many cases.", show_default=False, rich_help_panel=DATA),
]
RaterSeed = Annotated[
    int | None,
    typer.Option("--rater-seed", help="Draws labels and limited cases (0).", show_default=False, rich_help_panel=DATA),
]

Rater = Annotated[
    str | None,
    typer.Option("--rater", help="Of several labels a case: number or name.", show_default=False, rich_help_panel=DATA),
]
IgnoreLabel = Annotated[
    list[int] | None,
    typer.Option(
        "--ignore-label",
        help="A label value that means not annotated; may be given several times.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
ClassLabel = Annotated[
    list[int] | None,
    typer.Option(
        "--class-label",
        help="A label value that is a class, in spite of its looks; may be given several times.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
InstancesAsOne = Annotated[
    bool, typer.Option("--instances-as-one", help="Numbered objects are one class.", rich_help_panel=DATA)
]
SparseLabels = Annotated[
    bool,
    typer.Option("--sparse-labels", help="Slices without any label are not annotated.", rich_help_panel=DATA),
]

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", rich_help_panel=RESULT)]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace what an earlier call wrote to --out; what was changed there since is kept beside it.",
        rich_help_panel=RESULT,
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON and nothing else.", rich_help_panel=RESULT)
]

Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print the paths of the results alone, and errors.", rich_help_panel=RESULT),
]

Model = Annotated[Path, typer.Option("--model", "-m", help="A bundle folder, or the run folder of a training.")]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", help="auto, cpu, cuda, cuda:N or mps (auto).", show_default=False, rich_help_panel=COMPUTING
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of all chance (0).", show_default=False, rich_help_panel=COMPUTING),
]


def cases(
    data: Path | None,
    case_list: Path | None,
    image: str | None = None,
    label: str | None = None,
    reference: str | None = None,
    split: Split | None = Split.all,
    limit: int | None = None,
    rater_seed: int | None = None,
    *,
    optional: bool = False,
    rater: str | None = None,
    ignore_label: list[int] | None = None,
    class_label: list[int] | None = None,
    instances_as_one: bool = False,
    sparse_labels: bool = False,
) -> dict[str, Any]:
    """The `cases` parameter. Raises typer.BadParameter unless exactly one of data and case_list is given, or none
    where they are optional."""
    if (data is None) == (case_list is None) and not (optional and data is None):
        raise typer.BadParameter("name the cases by --data or by --list")
    return given(
        folder=data,
        list=case_list,
        image=image,
        label=label,
        reference=reference,
        split=None if split is None else split.value,
        limit=limit,
        rater_seed=rater_seed,
        rater=rater,
        ignore_label=ignore_label or None,
        class_label=class_label or None,
        instances_as_one=instances_as_one or None,
        sparse_labels=sparse_labels or None,
    )


def given(**values: Any) -> dict[str, Any]:
    """Only what was given: the engine knows the defaults."""
    return {name: value for name, value in values.items() if value is not None}
