"""Small trainings with the real nnU-Net v2, on cases made from hippocampi: `python nnunet_training.py FOLDER DATA`.

Writes FOLDER/raw (images and labels) and FOLDER/results, with networks that are narrow and trained for two short
epochs: what they find does not matter, only that it is found alike.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

CASES = 6
DATASETS = {
    # name: (channel name, spacing of each case along i, j, k; labels; regions_class_order)
    "Dataset001_Turned": (
        "MRI",
        [(1, 1, 1), (1, 1, 1), (1.3, 0.9, 1.1)],
        {"background": 0, "head": 1, "tail": 2},
        None,
    ),
    "Dataset002_Thick": ("CT", [(3.5, 1, 1), (4, 1, 1), (1.1, 0.9, 1)], {"background": 0, "head": 1, "tail": 2}, None),
    "Dataset003_Regions": (
        "noNorm",
        [(1, 1, 3.5), (1, 1, 1.5), (1, 1, 3.2)],
        {"background": 0, "whole": [1, 2], "tail": 2},
        [1, 2],
    ),
}
TRAININGS = (
    ("Dataset001_Turned", "3d_fullres", (0, 1)),
    ("Dataset002_Thick", "3d_fullres", (0,)),
    ("Dataset002_Thick", "2d", (0,)),
    ("Dataset003_Regions", "3d_fullres", (0,)),
)


def make_raw(folder: Path, data: Path) -> None:
    """The data sets in nnU-Net's layout; spacing differs from case to case, and the last case lies turned."""
    found = sorted(path for path in data.iterdir() if (path / "label.nii.gz").is_file())[:CASES]
    for name, (channel, spacings, labels, order) in DATASETS.items():
        for part in ("imagesTr", "labelsTr"):
            (folder / name / part).mkdir(parents=True)
        for i, case in enumerate(found):
            spacing = tuple(float(s) for s in spacings[i % len(spacings)])
            for part, file, ending in (("imagesTr", "image", "_0000"), ("labelsTr", "label", "")):
                image = sitk.ReadImage(str(case / f"{file}.nii.gz"))
                array = sitk.GetArrayFromImage(image)
                array = array.astype(np.uint8 if file == "label" else np.float32)
                if file == "image" and name == "Dataset002_Thick":
                    array = array / array.max() * 600 - 300
                    array[:4] = array[:, -3:] = 0  # outside, for the crop
                if i == CASES - 1:
                    array = np.ascontiguousarray(array.transpose(2, 0, 1)[:, ::-1])
                made = sitk.GetImageFromArray(array)
                made.SetSpacing(spacing)
                if i % 2:
                    made.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
                sitk.WriteImage(made, str(folder / name / part / f"case_{i}{ending}.nii.gz"))
        about = {"channel_names": {"0": channel}, "labels": labels, "numTraining": CASES, "file_ending": ".nii.gz"}
        if order:
            about["regions_class_order"] = order
        (folder / name / "dataset.json").write_text(json.dumps(about))


def train(folder: Path) -> None:
    """Plan, preprocess and train, as nnU-Net's own commands do."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprints,
        plan_experiments,
        preprocess_dataset,
    )
    from nnunetv2.run.run_training import get_trainer_from_args

    for name in DATASETS:
        number = int(name[7:10])
        extract_fingerprints([number], num_processes=1, check_dataset_integrity=False, verbose=False)
        plan_experiments([number])
        plans = folder / "preprocessed" / name / "nnUNetPlans.json"
        plans.write_text(json.dumps(narrowed(json.loads(plans.read_text()))))
        chosen = sorted({configuration for training, configuration, _ in TRAININGS if training == name})
        preprocess_dataset(number, configurations=chosen, num_processes=[1] * len(chosen))
    os.environ.update(nnUNet_n_proc_DA="0")  # planning takes none for a number of threads
    for name, configuration, folds in TRAININGS:
        for fold in folds:
            trainer = get_trainer_from_args(str(int(name[7:10])), configuration, fold, device=_cpu())
            trainer.num_epochs, trainer.num_iterations_per_epoch, trainer.num_val_iterations_per_epoch = 2, 4, 1
            trainer.run_training()


def narrowed(plans: dict) -> dict:
    """Networks of a few channels, and small patches, so that several windows cover an image."""
    for configuration in plans["configurations"].values():
        if "architecture" not in configuration:
            continue
        arguments = configuration["architecture"]["arch_kwargs"]
        stages = min(3, arguments["n_stages"])
        for key, value in arguments.items():
            if isinstance(value, list):
                arguments[key] = value[: stages - 1] if key.endswith("decoder") else value[:stages]
        arguments["n_stages"] = stages
        arguments["features_per_stage"] = [6, 8, 12][:stages]
        configuration["batch_size"] = 2
        strides = np.prod(arguments["strides"], axis=0)
        patch = np.maximum(np.array(configuration["patch_size"]) * 2 // 3 // strides, 1) * strides
        configuration["patch_size"] = [int(n) for n in patch]
    return plans


def _cpu():
    import torch

    return torch.device("cpu")


def main(folder: Path, data: Path) -> None:
    """Everything; nnU-Net reads its folders from the environment when it is imported."""
    for part in ("raw", "preprocessed", "results"):
        (folder / part).mkdir(parents=True, exist_ok=True)
        os.environ[f"nnUNet_{part}"] = str(folder / part)
    os.environ.update(nnUNet_n_proc_DA="1", nnUNet_def_n_proc="1", nnUNet_compile="f")
    make_raw(folder / "raw", data)
    train(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
