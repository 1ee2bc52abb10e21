"""Latents of the shipped transforms, worked out once: what the ladder's context networks learn on.

The transforms stay as they are, so the latents of a picture at a quality are the same for each rung
and each step of learning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kinpack.describers.describer import Describer
from kinpack.describers.describing import product_codes
from kinpack.learn.models.model import CodecModel
from kinpack.pictures.images import Image

BATCH = 250
KIN = Path(__file__).parents[2] / "papers" / "pqvae" / "results" / "kin.kine"
"""The describer aligned by class, which `papers/pqvae` made."""
CODES = ("own", "kin")
"""Product codes that may be context: the codec's, and that of the describer aligned by class."""


@dataclass(frozen=True)
class Latents:
    """Latents of pictures, each at a quality.

    Attributes:
        y: (n, channels, h, w) float32.
        quality: (n,) float32.
        codes: of each name of ``CODES``, (n, D) float32, the words of each picture's code.
    """

    y: Tensor
    quality: Tensor
    codes: dict[str, Tensor]

    def __len__(self) -> int:
        return len(self.y)

    def rows(self, rows: Tensor | slice) -> Latents:
        """Some of them."""
        return Latents(
            self.y[rows],
            self.quality[rows],
            {name: words[rows] for name, words in self.codes.items()},
        )


@torch.no_grad()
def latents(model: CodecModel, images: Sequence[Image], quality: NDArray[np.int64]) -> Latents:
    """Work latents out.

    Args:
        model: whose transforms and code are used.
        images: n, uint8 (32, 32, 3) each.
        quality: (n,) of each.
    """
    describer = Describer.load(KIN)
    # Words of one size, so that networks learn from both at the same pace.
    size = float(model.product.words.std()) / float(describer.quantiser.codebooks.std())
    y, own = [], []
    q = torch.from_numpy(quality).float()
    for first in range(0, len(images), BATCH):
        pictures = torch.from_numpy(np.stack(images[first : first + BATCH])).permute(0, 3, 1, 2)
        pictures = pictures.float() / 255 - 0.5
        y.append(model.latent(pictures, q[first : first + BATCH]).contiguous())
        own.append(model.product.decode(model.product.indices(model.descriptor(pictures))))
    kin = torch.from_numpy(describer.quantiser.decode(product_codes(describer, list(images))))
    return Latents(torch.cat(y), q, {"own": torch.cat(own), "kin": kin * size})
