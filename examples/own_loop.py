"""DALE in a training loop of one's own: PyTorch, a MONAI network, and labels that are wrong in a known way.

    python examples/own_loop.py

The images are MONAI's `create_test_image_2d`, of 64 x 64 pixels. Every fourth label lacks its objects, and every other
one is shifted by two pixels. The same loop trains plain (`config=None`) and with DALE; both are held to the truth of
other images.
"""

import numpy as np
import torch
from monai.data import create_test_image_2d
from monai.networks.nets import UNet

from dalesegment import DaleConfig, DaleLoss, LabelMemory, PatchIndex, label_correctors


def make_cases(seed):
    """By name: image (1, 64, 64) float32, truth and label (64, 64)."""
    random, cases = np.random.RandomState(seed), {}
    for n in range(16):
        image, truth = create_test_image_2d(64, 64, 3, 10, 5, 0.4, num_seg_classes=1, random_state=random)
        label = 0 * truth if n % 4 == 0 else np.roll(truth, 2 * (n % 2), axis=0)
        cases[f"case {n}"] = torch.from_numpy(image[None]).float(), truth, label
    return cases


def train(cases, config, steps=240):
    """The network, and the memory with what was found out about the labels."""
    torch.manual_seed(0)
    network = UNet(2, 1, 2, channels=(8, 16, 32), strides=(2, 2))
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    memory, loss_fn = LabelMemory(), DaleLoss(num_classes=2, config=config)
    for name, (image, _, label) in cases.items():
        memory.add(name, label, image=image)
    correctors = label_correctors(memory, 2, config) if config else []
    for step in range(steps):
        if step % (steps // 20) == 0:  # an epoch begins
            loss_fn.update_thresholds(memory)
        if step in [round(share * steps) for share in (0.35, 0.5, 0.65, 0.8)]:
            memory.refine(correctors, lambda name: network.eval()(cases[name][0][None])[0].softmax(0))
        drawn = zip(torch.randint(16, (4,)).tolist(), torch.randint(17, (4, 2)).tolist(), strict=True)
        where = [PatchIndex(f"case {n}", tuple(start), (48, 48), flips=(n % 2,)) for n, start in drawn]
        images = torch.stack([index.take(cases[index.case][0]) for index in where])
        loss_fn(network.train()(images), memory.at(where), progress=step / steps).backward()
        optimizer.step()
        optimizer.zero_grad()
    return network, memory


if __name__ == "__main__":
    for name, config in {"plain": None, "DALE": DaleConfig()}.items():
        network, _ = train(make_cases(seed=0), config)
        wrong = [network.eval()(image[None])[0].argmax(0).numpy() != t for image, t, _ in make_cases(seed=1).values()]
        print(f"{name}: {100 * np.mean(wrong):.2f} % of the pixels of other images are wrong")
