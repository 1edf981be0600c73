"""Models of nnU-Net and MONAI from anywhere are data, too: whatever they hold, nothing of it is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from DALESegmentLib.engine.bundle.open_model import open_model, open_plan
from DALESegmentLib.engine.core.errors import EngineError
from Testing.reliability import hostile_imports

CPU = torch.device("cpu")
NEEDS_PACKAGE = ("weights under other keys", "a layer of another package", "a layer with a path", "a million stages")
"""Refused when the network is built, or before that where nothing can build it."""


def refused(model: Path) -> EngineError:
    with pytest.raises(EngineError) as caught:
        open_model(model, CPU)
    return caught.value


def check(error: EngineError, mark: Path, *, may_lack_package: bool = False) -> None:
    codes = {"model-unusable", "foreign-model", "model-leads-out", "unreadable-file"}
    assert error.code in codes | ({"package-missing"} if may_lack_package else set())
    assert error.sentence.endswith(".")
    assert "\n" not in error.sentence
    assert len(error.sentence) < 400
    assert not mark.exists(), "was executed"


@pytest.mark.parametrize("name", hostile_imports.on_nnunet(Path()))
def test_an_nnunet_folder_is_refused_and_not_run(name, tmp_path):
    model = hostile_imports.good_nnunet(tmp_path)
    hostile_imports.on_nnunet(tmp_path / "executed")[name](model)
    check(refused(model), tmp_path / "executed", may_lack_package=name in NEEDS_PACKAGE)


@pytest.mark.parametrize("name", hostile_imports.on_monai(Path()))
def test_a_monai_bundle_is_refused_and_not_run(name, tmp_path):
    model = hostile_imports.good_monai(tmp_path)
    hostile_imports.on_monai(tmp_path / "executed")[name](model)
    check(refused(model), tmp_path / "executed")


def test_the_good_ones_they_are_made_of_are_read(tmp_path):
    assert open_plan(hostile_imports.good_nnunet(tmp_path)).network == "PlainConvUNet"
    assert open_model(hostile_imports.good_monai(tmp_path), CPU)[1].network == "UNet"
