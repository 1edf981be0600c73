"""DALE in a Lightning module: the loss is a submodule, and the memory of the labels is kept in the checkpoint.

    python examples/lightning_module.py      (needs pytorch-lightning)

The dataset gives each image with the place it was cut from; only `own_loop.make_cases` is taken from the other example.
"""

import pytorch_lightning as pl
import torch
from monai.networks.nets import UNet
from own_loop import make_cases
from torch.utils.data import DataLoader, Dataset

from dalesegment import DaleConfig, DaleLoss, LabelMemory, PatchIndex, label_correctors


class Patches(Dataset):
    """Random patches of the cases; 0 <= item < length is their number in an epoch."""

    def __init__(self, cases, length):
        self.cases, self.length = cases, length

    def __len__(self):
        return self.length

    def __getitem__(self, item):
        name = list(self.cases)[item % len(self.cases)]
        index = PatchIndex(name, tuple(torch.randint(17, (2,)).tolist()), (48, 48), flips=(item % 2,))
        return index.take(self.cases[name][0]), index


class DaleModule(pl.LightningModule):
    def __init__(self, cases, config):
        super().__init__()
        self.network = UNet(2, 1, 2, channels=(8, 16, 32), strides=(2, 2))
        self.loss_fn, self.memory, self.cases = DaleLoss(num_classes=2, config=config), LabelMemory(), cases
        for name, (_, _, label) in cases.items():
            self.memory.add(name, label)
        self.correctors = label_correctors(self.memory, 2, config) if config else []

    def on_train_epoch_start(self):
        self.loss_fn.update_thresholds(self.memory)
        if 0.35 <= self.progress < 0.85:
            self.memory.refine(self.correctors, self.predict)

    def training_step(self, batch, _):
        images, where = batch
        return self.loss_fn(self.network(images), self.memory.at(where, self.device), self.progress)

    def configure_optimizers(self):
        return torch.optim.AdamW(self.network.parameters(), lr=5e-3)

    def on_save_checkpoint(self, checkpoint):
        checkpoint["memory"] = self.memory.state_dict()

    def on_load_checkpoint(self, checkpoint):
        self.memory.load_state_dict(checkpoint["memory"])

    @property
    def progress(self):
        return self.global_step / self.trainer.estimated_stepping_batches

    def predict(self, name):
        logits = self.network.eval()(self.cases[name][0][None].to(self.device))
        self.network.train()
        return logits[0].softmax(0)


def collate(batch):
    images, where = zip(*batch, strict=True)
    return torch.stack(images), list(where)


if __name__ == "__main__":
    cases = make_cases(seed=0)
    loader = DataLoader(Patches(cases, 48), batch_size=4, shuffle=True, collate_fn=collate)
    pl.Trainer(max_epochs=20, accelerator="cpu", logger=False).fit(DaleModule(cases, DaleConfig()), loader)
