"""Keep a small result folder of nnU-Net, an image, and what nnU-Net itself predicts for it, in Testing/kept/nnunet:
`python -m Testing.extras.keep_nnunet_sample TRAINED`, TRAINED being the folder of `nnunet_training`.

The optimiser's state is left out of the checkpoint; all else is as nnU-Net wrote it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

SAMPLE = Path(__file__).parents[1] / "kept" / "nnunet"
NAME = "nnUNetTrainer__nnUNetPlans__3d_fullres"


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

    image = sitk.ReadImage(str(trained / "raw" / "Dataset002_Thick" / "imagesTr" / "case_1_0000.nii.gz"))
    array = np.round(sitk.GetArrayFromImage(image)[:20, 8:32, 6:26]).astype(np.int16)
    small = sitk.GetImageFromArray(array)
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
