"""plan, train, finetune."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from . import summaries
from .options import (
    COMPUTING,
    CaseChoice,
    Device,
    Json,
    Model,
    Out,
    Overwrite,
    Quiet,
    Seed,
    given,
    on_cases,
)
from .run import perform

METHOD = "Method"


class Method(str, Enum):
    dale = "dale"
    plain = "plain"


class Submit(str, Enum):
    slurm = "slurm"
    local = "local"
    debug = "debug"


class Logger(str, Enum):
    tensorboard = "tensorboard"
    mlflow = "mlflow"


class Normalise(str, Enum):
    case = "case"
    slice = "slice"
    ct = "ct"


Network = Annotated[
    str | None,
    typer.Option(
        help="UNet, AttentionUnet, SegResNet, DynUNet or SwinUNETR; UNet by default.",
        rich_help_panel=METHOD,
    ),
]
Dims = Annotated[
    int | None,
    typer.Option(min=2, max=3, help="2D or 3D network; chosen from the images by default.", rich_help_panel=METHOD),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="Epochs at most (train 50, finetune 10).", rich_help_panel=COMPUTING)
]
Steps = Annotated[
    int | None, typer.Option(min=1, help="Steps an epoch (train 50, finetune 20).", rich_help_panel=COMPUTING)
]
Seconds = Annotated[
    float | None,
    typer.Option(min=0.1, help="Time budget for the training itself.", rich_help_panel=COMPUTING),
]
LearningRate = Annotated[
    float | None,
    typer.Option(min=1e-9, help="Step length of the optimiser; chosen by default.", rich_help_panel=COMPUTING),
]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Patches a step; chosen from the images by default.", rich_help_panel=COMPUTING),
]
LoggerOption = Annotated[
    Logger | None,
    typer.Option("--logger", help="Also log for this program, besides metrics.csv.", rich_help_panel=COMPUTING),
]
Part = Annotated[bool | None, typer.Option(help="A part of DALE, on by default.", rich_help_panel=METHOD)]
OptionalPart = Annotated[
    bool | None,
    typer.Option(
        help="Refine outlines where the images side with the model; off by default, for it can do harm.",
        rich_help_panel=METHOD,
    ),
]
EarlyStopping = Annotated[
    bool | None,
    typer.Option(
        help="End long trainings where they agree best with labels not learned from, the validation cases' or, where "
        "those are fewer than ten, a third of the others' by turns; on by default.",
        rich_help_panel=METHOD,
    ),
]
CrossFitting = Annotated[
    bool | None,
    typer.Option(
        help="First find out on cases not learned from whether DALE helps at all; takes up to eight times as long. "
        "Off by default.",
        rich_help_panel=METHOD,
    ),
]
BiasCorrection = Annotated[
    bool | None,
    typer.Option(
        help="Undo elsewhere the systematic bias that corrections in many places show; on by default.",
        rich_help_panel=METHOD,
    ),
]


@on_cases(learning=True)
def plan(
    chosen: CaseChoice,
    network: Network = None,
    dims: Dims = None,
    device: Device = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show the network, patch size and spacing a training would use, without training."""
    perform(
        "plan",
        given(cases=chosen.parameter(), network=network, dims=dims, device=device),
        as_json,
        summaries.plan,
        quiet,
    )


@on_cases(learning=True)
def train(
    out: Out,
    chosen: CaseChoice,
    pretrained_weights: Annotated[
        Path | None,
        typer.Option(
            "--pretrained-weights",
            help="Start from this model: a run, a bundle, nnU-Net's result folder; classes new to it are added, its "
            "others kept.",
            show_default=False,
            rich_help_panel=METHOD,
        ),
    ] = None,
    validation: Annotated[
        float | None,
        typer.Option(min=0.0, max=0.99, help="Share of the cases to validate on (0.2).", rich_help_panel=METHOD),
    ] = None,
    folds: Annotated[
        int | None,
        typer.Option(min=2, help="Train once for each of so many parts of the patients.", rich_help_panel=METHOD),
    ] = None,
    submit: Annotated[
        Submit | None,
        typer.Option(
            help="Folds as jobs: of SLURM, processes of this machine (local), or in turn here (debug).",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    submit_parameter: Annotated[
        list[str] | None,
        typer.Option(
            help="Of submitit, such as slurm_partition=gpu; may be given several times.", rich_help_panel=COMPUTING
        ),
    ] = None,
    method: Annotated[
        Method | None,
        typer.Option(help="plain: without label confidence (dale).", show_default=False, rich_help_panel=METHOD),
    ] = None,
    network: Network = None,
    dims: Dims = None,
    normalise: Annotated[
        Normalise | None,
        typer.Option(help="How intensities are scaled; chosen by default.", rich_help_panel=METHOD),
    ] = None,
    early_stopping: EarlyStopping = None,
    cross_fitting: CrossFitting = None,
    partition: Part = None,
    confidence: Part = None,
    consistency: Part = None,
    alternation: Part = None,
    alignment: Part = None,
    image_evidence: OptionalPart = None,
    missed_objects: Part = None,
    volume_calibration: Part = None,
    epochs: Epochs = None,
    steps_per_epoch: Steps = None,
    batch_size: BatchSize = None,
    seconds: Seconds = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    device: Device = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the run in --out, as it was started; other settings are refused.",
            rich_help_panel=COMPUTING,
        ),
    ] = False,
    overwrite: Overwrite = False,
    logger: LoggerOption = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model that learns how far each label voxel can be trusted."""
    switches = given(
        early_stopping=early_stopping,
        cross_fitting=cross_fitting,
        partition=partition,
        confidence=confidence,
        consistency=consistency,
        alternation=alternation,
        alignment=alignment,
        image_evidence=image_evidence,
        missed_objects=missed_objects,
        volume_calibration=volume_calibration,
    )
    parameters = given(
        cases=chosen.parameter(optional=resume) or None,
        out=out,
        pretrained_weights=pretrained_weights,
        method=None if method is None else method.value,
        network=network,
        dims=dims,
        normalise=None if normalise is None else normalise.value,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        batch_size=batch_size,
        seconds=seconds,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        dale=switches or None,
        validation=validation,
        resume=resume,
        overwrite=overwrite,
        logger=None if logger is None else logger.value,
    )
    wrong = [text for text in submit_parameter or [] if "=" not in text]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is no parameter of submitit; write slurm_partition=gpu")
    if folds is None:
        if submit is not None or submit_parameter:
            raise typer.BadParameter("--submit is for folds; say with --folds how many")
        perform("train", parameters, as_json, summaries.training, quiet)
        return
    more = dict(text.split("=", 1) for text in submit_parameter or [])
    parameters |= given(folds=folds, submit=submit and submit.value, submit_parameters=more or None)
    perform("train_folds", parameters, as_json, summaries.folds, quiet)


@on_cases(learning=True)
def finetune(
    model: Model,
    out: Out,
    chosen: CaseChoice,
    epochs: Epochs = None,
    steps_per_epoch: Steps = None,
    seconds: Seconds = None,
    learning_rate: LearningRate = None,
    seed: Seed = None,
    device: Device = None,
    overwrite: Overwrite = False,
    logger: LoggerOption = None,
    bias_correction: BiasCorrection = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Go on from a model with corrected cases; confirmed voxels count fully."""
    parameters = given(
        model=model,
        cases=chosen.parameter(),
        out=out,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        seconds=seconds,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
        overwrite=overwrite,
        logger=None if logger is None else logger.value,
        bias_correction=bias_correction,
    )
    perform("finetune", parameters, as_json, summaries.finetuning, quiet, summaries.refusal)


def add_training_commands(app: typer.Typer) -> None:
    """Commands that plan and train."""
    for command, example in (
        (plan, "plan --data cases"),
        (train, "train --data cases --label rater1 --seconds 600 -o runs/first"),
        (finetune, "finetune -m runs/first --data corrected --seconds 60 -o runs/second"),
    ):
        app.command(rich_help_panel="Learn", epilog=f"Example: dalesegment {example}")(command)
