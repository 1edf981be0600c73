"""What docs/library_loop.md shows runs as it stands."""

from __future__ import annotations

import re

import torch

from DALESegmentLib.engine.dale.config import DaleConfig
from Testing.structure import REPOSITORY

EPOCHS, SIZE = 4, (20, 16, 12)


def blocks() -> list[str]:
    text = (REPOSITORY / "docs" / "library_loop.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def test_the_loop_and_the_patch_of_the_documentation_run():
    loop, patch = blocks()
    torch.manual_seed(0)
    cases = {f"case {n}": (torch.rand(1, *SIZE), torch.randint(0, 3, SIZE)) for n in range(3)}
    network = torch.nn.Conv3d(1, 3, 1)
    names = {"cases": cases, "network": network, "device": "cpu", "epochs": EPOCHS, "steps": 2 * EPOCHS}
    names |= {"optimizer": torch.optim.SGD(network.parameters(), 0.1), "asked": []}
    names["predict"] = lambda name: network(cases[name][0][None])[0].softmax(0)
    exec("from DALESegmentLib.engine.dale.patches import PatchIndex", names)
    index = names["PatchIndex"]("case 1", (4, 0, 0), (16, 16, 12))
    names["loader"] = [(index.take(cases["case 1"][0])[None], [index])] * 2
    before = network.weight.detach().clone()
    exec(loop, names)
    assert names["step"] == names["loss_fn"].steps == 2 * EPOCHS
    assert isinstance(names["config"], DaleConfig)
    assert int(names["memory"]["case 1"].seen.sum()) == 16 * 16 * 12
    assert not torch.equal(network.weight, before)
    exec(patch + "shape = images.shape", names := names | {"image": torch.rand(1, 80, 70, 40)})
    assert names["shape"] == (1, 64, 64, 32)
