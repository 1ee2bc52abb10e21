"""A tiny learned codec, trained for a few steps on synthetic pictures."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from kinpack.codec.codec import Codec
from kinpack.learn.freezing.freeze import freeze
from kinpack.learn.models.config import NetworkConfig, Step, TrainingConfig
from kinpack.learn.models.model import CodecModel
from kinpack.learn.training.patches import PatchSampler
from kinpack.learn.training.training import train

Picture = NDArray[np.uint8]

NETWORK = NetworkConfig(
    wide=6,
    mid=8,
    latent=24,
    bottleneck_wide=4,
    bottleneck_mid=4,
    context=12,
    code_context=5,
    M=6,
    K=8,
    code_dim=3,
    steps=(Step(0, 6, 0), Step(0, 6, 1), Step(6, 24, -1)),
)
HEADER = {"name": "tiny", "data": ["synthetic"], "seed": 0, "note": "ü"}


def picture(height: int, width: int, seed: int = 0, channels: int = 3) -> Picture:
    """A picture of soft shapes, edges and some noise."""
    rng = np.random.default_rng((seed, height, width))
    rows, columns = np.arange(height)[:, None, None], np.arange(width)[None, :, None]
    waves = sum(
        rng.normal(size=3)
        * 30
        * np.cos(rng.normal() * rows / 9 + rng.normal() * columns / 9 + rng.uniform(0, 6))
        for _ in range(4)
    )
    edge = 60 * ((rows * rng.normal() + columns * rng.normal()) > rng.normal() * 10)
    levels = 110 + waves + edge + rng.normal(size=(height, width, 3)) * 5
    whole = levels.clip(0, 255).astype(np.uint8)
    if channels == 1:
        return np.ascontiguousarray(whole[:, :, :1])
    if channels == 4:
        alpha = (255 - 3 * columns - 2 * rows + rng.integers(0, 50)).clip(0, 255)
        alpha = np.broadcast_to(alpha, (height, width, 1))
        return np.concatenate([whole, alpha.astype(np.uint8)], axis=2)
    return whole


def patches(n: int, seed: int = 99, side: int = 32) -> Picture:
    """Pictures (n, 3, side, side) to calibrate with."""
    return np.stack([picture(side, side, seed + i).transpose(2, 0, 1) for i in range(n)])


@functools.cache
def tiny_model(network: NetworkConfig = NETWORK) -> CodecModel:
    sampler = PatchSampler([picture(40, 40, i) for i in range(40)], seed=0)
    with tempfile.TemporaryDirectory() as folder:
        model = train(
            sampler,
            network=network,
            training=TrainingConfig(steps=5, batch=16),
            folder=Path(folder),
            threads=1,
        )
    # Five steps leave the layers that start at zero almost there: all must have a say.
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if float(parameter.abs().max()) < 0.03:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.03)
            if name.startswith("context") and parameter.ndim == 4:
                parameter.mul_(1.5)
    return model


@functools.cache
def tiny_codec() -> Codec:
    return freeze(tiny_model(), patches(48), description=HEADER)
