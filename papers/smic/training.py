"""Training of one model: eq. 6, or C-VAE's rate–distortion loss."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from kinpack.learn.models.precision import reduced_precision
from kinpack.learn.training.losses import correlation_matrix_distance, same_class_matrix
from papers.datasets import LabelledPictures
from papers.experiment import Progress
from papers.learning_rate import warmed_cosine
from papers.smic.losses import gaussian_divergence, log_det_gram
from papers.smic.models import ModelConfig
from papers.variational import VaeConfig, VariationalAutoencoder
from papers.weights import load_weights, save_weights

BATCH = 128
CLIP = 0.02
"""Longest gradient: what makes so large a learning rate safe."""
LEARNING_RATE = 1e-2
RANDOM_CLASSES = 10
"""Classes of rMIC's random labelling: as many as CIFAR-10 has."""
STABILISER = 1e-2
"""White noise under gMIC's log det, relative to a latent of length 1."""


def alignment(z: Tensor, labels: Tensor, config: ModelConfig, *, redraw: Tensor) -> Tensor:
    """Alignment term of the variant: what λ weighs in eq. 6.

    Args:
        z: (n, D) latents of a batch.
        labels: (n,) int64, the target's classes: true ones in ``s``, random ones in ``r``.
        config: variant, reading and form of the Gram matrix.
        redraw: (n,) int64, random classes that this batch alone sees.

    Returns:
        A scalar.
    """
    rows = normalize(z, dim=1) if config.gram == "normalised" else z
    G = rows @ rows.mT
    if config.reading == "log-det":
        return log_det_gram(G, stabiliser=STABILISER)
    if config.variant == "g":
        target = torch.ones_like(G)
    else:
        target = same_class_matrix(redraw if config.reading == "redrawn" else labels).to(G)
    return correlation_matrix_distance(G, target)


def target_labels(pictures: LabelledPictures, config: ModelConfig) -> Tensor:
    """Classes of the target Gram matrix: the pictures' own, or in rMIC one random labelling."""
    if config.variant != "r":
        return torch.from_numpy(pictures.labels)
    generator = torch.Generator().manual_seed(1000 + config.seed)
    return torch.randint(RANDOM_CLASSES, (len(pictures),), generator=generator)


def train(
    config: ModelConfig,
    pictures: LabelledPictures,
    *,
    progress: Progress | None = None,
) -> tuple[VariationalAutoencoder, dict[str, Any]]:
    """Train a model from scratch.

    Adam, the learning rate warmed up and then falling as a cosine; arithmetic in bfloat16 where it
    is safe, losses in float32. The same configuration gives the same weights on one machine.

    Args:
        config: the model.
        pictures: what it learns from.
        progress: called now and then with the share of the training that is done.

    Returns:
        The network, and figures of the training: ``steps``, ``minutes``, and ``loss``, ``mse``,
        ``align`` and ``kl`` (nats a pixel), means over the last tenth.
    """
    torch.manual_seed(config.seed)
    shape = VaeConfig(
        image_channels=pictures.pixels.shape[3], latent=config.channels, middle=config.middle
    )
    network = VariationalAutoencoder(shape)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(config.seed)
    labels = target_labels(pictures, config)
    pixels = torch.from_numpy(pictures.pixels)
    steps_an_epoch = len(pixels) // BATCH
    steps = steps_an_epoch * config.epochs
    began, sums, summed = time.monotonic(), torch.zeros(4), 0
    for step in range(steps):
        if step % steps_an_epoch == 0:
            order = torch.randperm(len(pixels), generator=generator)
        place = step % steps_an_epoch * BATCH
        index = order[place : place + BATCH]
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * warmed_cosine(step, steps)
        x = pixels[index].permute(0, 3, 1, 2).float() / 255
        redraw = torch.randint(RANDOM_CLASSES, (BATCH,), generator=generator)
        terms = _terms(network, x, labels[index], config, redraw=redraw, generator=generator)
        optimiser.zero_grad()
        terms[0].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        if step >= steps * 9 // 10:
            sums += torch.stack(terms).detach()
            summed += 1
        if progress and step % 50 == 49:
            progress((step + 1) / steps)
    names = ("loss", "mse", "align", "kl")
    figures = dict(zip(names, (sums / max(summed, 1)).tolist(), strict=True))
    return network.eval(), {"steps": steps, "minutes": (time.monotonic() - began) / 60, **figures}


def _terms(
    network: VariationalAutoencoder,
    x: Tensor,
    labels: Tensor,
    config: ModelConfig,
    *,
    redraw: Tensor,
    generator: torch.Generator,
) -> list[Tensor]:
    """Loss of a batch and its parts: mean squared error, alignment, divergence (nats a pixel)."""
    align = divergence = x.new_zeros(())
    with reduced_precision():
        if config.kl_weight:
            posterior = network.posterior(x)
            mean, z = posterior.mean, posterior.sample(generator)
        else:
            mean = z = network.encode(x)
        y = network.decode(z)
    if config.kl_weight:
        posterior = type(posterior)(*(part.float() for part in posterior))
        divergence = gaussian_divergence(posterior).mean() / (x.shape[2] * x.shape[3])
    if config.lam:
        align = alignment(mean.float().flatten(1), labels, config, redraw=redraw)
    mse = mse_loss(y.float(), x)
    return [mse + config.lam * align + config.kl_weight * divergence, mse, align, divergence]


def save(path: Path, network: VariationalAutoencoder, figures: dict[str, Any]) -> None:
    """Write a trained model, whole or not at all."""
    save_weights(path, network, config=network.config.to_dict(), figures=figures)


def load(path: Path) -> tuple[VariationalAutoencoder, dict[str, Any]]:
    """Read what ``save`` wrote.

    Raises:
        SourceError: there is no such file, or it is no trained model.
    """
    return load_weights(path, lambda config: VariationalAutoencoder(VaeConfig.from_dict(config)))
