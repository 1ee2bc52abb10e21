"""From pictures to latents and back: the framework's e and d, and the PSNR of what comes out."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from kinpack.metrics import EXACT_PSNR
from papers.datasets import LabelledPictures
from papers.variational import VariationalAutoencoder

AT_ONCE = 500

Floats = NDArray[np.float64]


def latents_of(network: VariationalAutoencoder, pictures: LabelledPictures) -> Floats:
    """Latents b_i = e(X_i) of each picture on its own (N, D), channel by channel, row by row."""
    rows = []
    with torch.inference_mode():
        for start in range(0, len(pictures), AT_ONCE):
            x = torch.from_numpy(pictures.pixels[start : start + AT_ONCE])
            rows.append(network.encode(x.permute(0, 3, 1, 2).float() / 255).flatten(1))
    return torch.cat(rows).double().numpy()


def psnr_of(network: VariationalAutoencoder, latents: Floats, pictures: LabelledPictures) -> Floats:
    """PSNR in dB of each picture decoded from its latent, against its 8-bit original (N,).

    Args:
        network: the decoder d.
        latents: (N, D), as ``latents_of`` gives them, or restored from a coder.
        pictures: the originals; padding does not count.
    """
    channels = network.config.latent
    side = round((latents.shape[1] / channels) ** 0.5)
    found = []
    with torch.inference_mode():
        for start in range(0, len(pictures), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            z = torch.from_numpy(latents[part]).float().reshape(-1, channels, side, side)
            y = network.decode(z).clamp(0, 1).mul(255).round().byte().permute(0, 2, 3, 1)
            decoded = pictures.cropped(y.numpy()).astype(np.float64)
            original = pictures.cropped(pictures.pixels[part])
            errors = np.square(decoded - original).mean(axis=(1, 2, 3))
            found.append(10 * np.log10(255.0**2 / np.maximum(errors, 1e-9)))
    psnr: Floats = np.minimum(np.concatenate(found), EXACT_PSNR)
    return psnr
