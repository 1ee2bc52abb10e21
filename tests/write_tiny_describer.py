"""Write ``tests/golden/tiny.kine``: once, for the format's version 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from fakes.tiny_describer import GOLDEN, soft_picture
from kinpack.describers.describer import Describer
from kinpack.describers.descriptor import area_reduction
from kinpack.describers.fitting import Fitting
from kinpack.learn.freezing.describer_file import freeze_describer

M, K, D = 4, 16, 4


class TinyNetwork(nn.Module):
    """One of each layer that describers have, on a picture and its mirror image."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 2)
        self.body = nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1, bias=False),
            nn.MaxPool2d(2),
            nn.BatchNorm2d(6),
            nn.GELU(),
            nn.Conv2d(6, 6, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(6),
        )
        self.head = nn.Sequential(
            nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, M * D)
        )
        self.register_buffer("mean", torch.tensor([0.5, 0.45, 0.4]).view(1, 3, 1, 1))

    def describe(self, x: Tensor) -> Tensor:
        places = self.body(gelu(self.first((x - self.mean) / 0.25)))  # type: ignore[operator]
        described: Tensor = places.amax(dim=(2, 3)) + 0.5 * places.mean((2, 3))
        return described

    def forward(self, x: Tensor) -> Tensor:
        h = normalize(self.describe(x) + self.describe(x.flip(3)), dim=1)
        return normalize(self.head(h).unflatten(1, (M, D)), dim=2).flatten(1)


def tiny_network(seed: int = 0) -> TinyNetwork:
    """Random weights, the norms fitted to some pictures: else all would have one code."""
    torch.manual_seed(seed)
    network = TinyNetwork()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.momentum = None
    cells = np.stack([area_reduction(soft_picture(seed)) for seed in range(200)])
    with torch.no_grad():
        network.train()(torch.from_numpy(cells.transpose(0, 3, 1, 2) / np.float32(255)))
    return network.eval()


def frozen(network: TinyNetwork, **options: Any) -> Describer:
    words = normalize(torch.randn(M, K, D, generator=torch.Generator().manual_seed(5)), dim=2)
    return freeze_describer(
        network,
        words.numpy(),
        name="tiny",
        mirrored=True,
        fitting=Fitting(),
        description={"data": ["none: random weights"], "seed": 0},
        **options,
    )


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_bytes(frozen(tiny_network()).to_bytes())
