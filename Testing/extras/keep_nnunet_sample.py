"""Keep a small result folder of nnU-Net, a made-up image, and what nnU-Net itself predicts for it, in
Testing/kept/nnunet: `python -m Testing.extras.keep_nnunet_sample TRAINED`, of what `nnunet_training` made.

The optimiser's state is left out of the checkpoint; all else is as nnU-Net wrote it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

SAMPLE = Path(__file__).parents[1] / "kept" / "nnunet"
NAME = "nnUNetTrainer__nnUNetPlans__3d_fullres"


def made_up_image() -> np.ndarray:
    """(k, j, i) int16: smooth noise of about the intensities that the network was trained on, with a brighter ball."""
    size = (20, 24, 20)
    noise = gaussian_filter(np.random.default_rng(0).normal(size=size), 2.0)
    away = sum(((axis - n / 2) / (n / 4)) ** 2 for axis, n in zip(np.indices(size), size, strict=True))
    return np.round(-160 + 60 * noise / noise.std() + 90 * np.exp(-away)).astype(np.int16)


def main(trained: Path) -> None:
    """Replace the sample."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference import predict_from_raw_data as theirs

    source = trained / "results" / "Dataset002_Thick" / NAME
    shutil.rmtree(SAMPLE, ignore_errors=True)
    (SAMPLE / NAME / "fold_0").mkdir(parents=True)
    for part in ("plans.json", "dataset.json"):
        shutil.copy(source / part, SAMPLE / NAME / part)
    checkpoint = torch.load(source / "fold_0" / "checkpoint_final.pth", weights_only=False)
    torch.save({**checkpoint, "optimizer_state": {}}, SAMPLE / NAME / "fold_0" / "checkpoint_final.pth")

    small = sitk.GetImageFromArray(made_up_image())
    small.SetSpacing((4.0, 1.2, 1.0))
    small.SetDirection((-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0))
    sitk.WriteImage(small, str(SAMPLE / "image.nii.gz"), useCompression=True)
    predictor = theirs.nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(SAMPLE / NAME), (0,), "checkpoint_final.pth")
    read, properties = SimpleITKIO().read_images([str(SAMPLE / "image.nii.gz")])
    _, found = predictor.predict_single_npy_array(read, properties, None, None, True)
    np.savez_compressed(SAMPLE / "expected.npz", probabilities=found.astype(np.float16))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
