"""The options that several commands share, and the parameters of docs/protocol.md they stand for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

DATA, RESULT, COMPUTING = "Data", "Results", "Computing"


class Split(str, Enum):
    train = "train"
    test = "test"
    all = "all"


class Format(str, Enum):
    nifti = "nifti"
    nrrd = "nrrd"
    segmentation = "seg.nrrd"
    dicom = "dicom"
    bids = "bids"


class BackendChoice(str, Enum):
    auto = "auto"
    torch = "torch"
    openvino = "openvino"


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
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        help="Names of cases to leave out, with commas; * stands for any letters.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
RaterSeed = Annotated[
    int | None,
    typer.Option("--rater-seed", help="Draws labels and limited cases (0).", show_default=False, rich_help_panel=DATA),
]

Rater = Annotated[
    str | None,
    typer.Option(
        "--rater",
        help="Of several labels a case: number or name; all, or some with commas or *: each of them.",
        show_default=False,
        rich_help_panel=DATA,
    ),
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
ResultFormat = Annotated[
    Format | None,
    typer.Option(
        "--format",
        help="Of the results of a case; by default as its image (DICOM: nrrd).",
        show_default=False,
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

MODEL_HELP = "A run folder, a bundle, a result folder of nnU-Net, or a bundle of MONAI's model zoo."
Model = Annotated[Path, typer.Option("--model", "-m", help=MODEL_HELP)]
OptionalModel = Annotated[
    Path | None,
    typer.Option("--model", "-m", help=MODEL_HELP, show_default=False),
]
ProbabilityFolder = Annotated[
    Path | None,
    typer.Option(
        "--probabilities",
        help="Folder of class probabilities of any program (.npz, NIfTI, NRRD), in place of a model.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        "--device", help="auto, cpu, cuda, cuda:N or mps (auto).", show_default=False, rich_help_panel=COMPUTING
    ),
]
Backend = Annotated[
    BackendChoice | None,
    typer.Option(
        "--backend",
        help="What computes on a processor: the faster one, which is measured once (auto), torch, or OpenVINO.",
        show_default="auto",
        rich_help_panel=COMPUTING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", min=0, help="Seed of all chance (0).", show_default=False, rich_help_panel=COMPUTING),
]


_IMAGES = {
    "data": Data,
    "case_list": CaseList,
    "image": Image,
    "split": SplitOption,
    "limit": Limit,
    "exclude": Exclude,
}
_LABELS = {
    "label": Label,
    "rater_seed": RaterSeed,
    "rater": Rater,
    "ignore_label": IgnoreLabel,
    "class_label": ClassLabel,
    "instances_as_one": InstancesAsOne,
    "sparse_labels": SparseLabels,
}
_DEFAULTS = {"split": Split.all, "instances_as_one": False, "sparse_labels": False}


@dataclass(frozen=True)
class CaseChoice:
    """The options by which cases were named, by parameter of docs/protocol.md, "Naming cases"."""

    values: dict[str, Any]

    @property
    def is_given(self) -> bool:
        return "folder" in self.values or "list" in self.values

    def parameter(self, *, optional: bool = False) -> dict[str, Any]:
        """The `cases` parameter. Raises typer.BadParameter unless exactly one of --data and --list was given, or none
        where they are optional."""
        if ("folder" in self.values) == ("list" in self.values) and not (optional and not self.is_given):
            both = "give --data or --list, not both" if self.is_given else "name the cases by --data or by --list"
            raise typer.BadParameter(both)
        return self.values


def on_cases(
    *, labels: bool = True, reference: bool = False, learning: bool = False
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that works on cases: typer sees the options that name them in place of its parameter
    `chosen: CaseChoice`.

    labels, reference: whether options about these are among them; learning: whether the split is by default what the
    data says is for training.
    """
    options: dict[str, Any] = _IMAGES | (_LABELS if labels else {}) | ({"reference": Reference} if reference else {})
    defaults = _DEFAULTS | ({"split": None} if learning else {})
    if learning:
        options["split"] = LearningSplit

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def with_options(**values: Any) -> None:
            named = {name: values.pop(name) for name in options}
            command(chosen=CaseChoice(_parameters(**named)), **values)

        types = get_type_hints(command, include_extras=True)
        parameters: list[Parameter] = []
        for own in signature(command).parameters.values():
            if own.name == "chosen":
                parameters += [
                    Parameter(name, Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=annotation)
                    for name, annotation in options.items()
                ]
            else:
                parameters.append(own.replace(kind=Parameter.KEYWORD_ONLY, annotation=types[own.name]))
        with_options.__name__, with_options.__doc__ = command.__name__, command.__doc__
        with_options.__annotations__ = {each.name: each.annotation for each in parameters}
        with_options.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        return with_options

    return decorate


def _parameters(data: Path | None, case_list: Path | None, split: Split | None, **others: Any) -> dict[str, Any]:
    """Only what was given: no options given several times, and switches that are on."""
    asked = given(folder=data, list=case_list, split=None if split is None else split.value)
    return asked | {
        name: value for name, value in others.items() if value is not None and value != [] and value is not False
    }


def given(**values: Any) -> dict[str, Any]:
    """Only what was given: the engine knows the defaults."""
    return {name: value for name, value in values.items() if value is not None}
