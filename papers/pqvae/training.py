"""Training of one PQ-VAE: L = −log q(x|z_q) + λ·(‖sg(z_e) − z_q‖² + β·‖z_e − sg(z_q)‖²).

With q(x|z) = N(x|x̂, 1) the first term is ½‖x − x̂‖² and a constant. The slides write +log q where
−log q is minimised. Both sums are over all numbers of a picture, and of its latent, as printed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from kinpack.learn.models.precision import reduced_precision
from papers.experiment import Progress
from papers.learning_rate import warmed_cosine
from papers.pqvae.models import ModelConfig
from papers.pqvae.network import NetworkConfig, QuantisedAutoencoder
from papers.weights import load_weights, save_weights

BATCH = 128
CLIP = 0.02
"""Longest gradient: what makes so large a learning rate safe."""
LEARNING_RATE = 1e-2
FIRST = 2048
"""Pictures on whose latents the words start."""


def network_of(config: ModelConfig, *, image_channels: int = 3) -> QuantisedAutoencoder:
    """Make the untrained network of a model."""
    shape = NetworkConfig(
        N=config.N,
        quantiser=config.quantiser,
        quantised=config.quantised,
        image_channels=image_channels,
    )
    return QuantisedAutoencoder(shape)


def loss_of(network: QuantisedAutoencoder, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, and its parts.

    Args:
        network: in training mode its words move.
        x: (n, C, 32, 32), 0 to 1.

    Returns:
        The loss L of the module's first lines, divided by half the numbers of a picture so that
        its first part is a mean squared error and steps are as large for any picture; and
        ``mse``, ``codebook``, ``commitment`` (sums of squares an item) and ``cross_entropy`` (bits
        an item).
    """
    with reduced_precision(x.device.type):
        y, out = network(x)
    mse = (y.float() - x).square().mean()
    if out is None:
        return mse, {"mse": mse}
    parts = {
        "mse": mse,
        "codebook": out.codebook,
        "commitment": out.commitment,
        "cross_entropy": out.cross_entropy,
    }
    return mse + out.loss * (2 / x[0].numel()), parts


def train(
    config: ModelConfig, pixels: NDArray[Any], *, progress: Progress | None = None
) -> tuple[QuantisedAutoencoder, dict[str, Any]]:
    """Train a model from scratch.

    Adam, the learning rate warmed up and then falling as a cosine; arithmetic of the convolutions
    in bfloat16 where the processor has it, of the quantiser and the losses in float32. The same
    configuration gives the same weights on one machine.

    Args:
        config: the model.
        pixels: uint8 (n, 32, 32, C), n ≥ 2.
        progress: called now and then with the share of the training that is done.

    Returns:
        The network in evaluation mode, and figures of the training: ``steps``, ``minutes``, the
        parts of the loss as means over the last tenth, and ``curve``, about twenty times on the
        way ``{step, mse, perplexity, perplexity_least, usage}`` (of the books; of their words).
    """
    torch.manual_seed(config.seed)
    network = network_of(config, image_channels=pixels.shape[3])
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(config.seed)
    held = torch.from_numpy(pixels)
    batch = min(BATCH, len(held))
    steps_an_epoch = len(held) // batch
    steps = steps_an_epoch * config.epochs
    began = time.monotonic()
    if config.quantised:
        some = torch.randperm(len(held), generator=generator)[:FIRST]
        with torch.no_grad():
            network.quantiser.start(network.encode(as_input(held[some])), generator)
    sums: dict[str, float] = {}
    curve: list[dict[str, float]] = []
    summed = 0
    for step in range(steps):
        if step % steps_an_epoch == 0:
            order = torch.randperm(len(held), generator=generator)
        place = step % steps_an_epoch * batch
        for group in optimiser.param_groups:
            group["lr"] = LEARNING_RATE * warmed_cosine(step, steps)
        loss, parts = loss_of(network, as_input(held[order[place : place + batch]]))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), CLIP)
        optimiser.step()
        if step >= steps * 9 // 10:
            summed += 1
            for key, value in parts.items():
                sums[key] = sums.get(key, 0.0) + float(value.detach())
        if step % max(1, steps // 20) == 0 or step == steps - 1:
            curve.append({"step": step, "mse": float(parts["mse"].detach()), **_use(network)})
        if progress and step % 50 == 49:
            progress((step + 1) / steps)
    means = {key: value / max(summed, 1) for key, value in sums.items()}
    minutes = (time.monotonic() - began) / 60
    return network.eval(), {"steps": steps, "minutes": minutes, **means, "curve": curve}


def as_input(pixels: Tensor) -> Tensor:
    """Turn pictures uint8 (n, H, W, C) into float32 (n, C, H, W), 0 to 1."""
    return pixels.permute(0, 3, 1, 2).float() / 255


def _use(network: QuantisedAutoencoder) -> dict[str, float]:
    if not network.config.quantised:
        return {}
    perplexity, usage = network.quantiser.perplexity(), network.quantiser.usage()
    return {
        "perplexity": float(perplexity.mean()),
        "perplexity_least": float(perplexity.min()),
        "usage": float(usage.mean()),
    }


def save(path: Path, network: QuantisedAutoencoder, figures: dict[str, Any]) -> None:
    """Write a trained model, whole or not at all."""
    save_weights(path, network, config=network.config.to_dict(), figures=figures)


def load(path: Path) -> tuple[QuantisedAutoencoder, dict[str, Any]]:
    """Read what ``save`` wrote.

    Raises:
        SourceError: there is no such file, or it is no trained model.
    """
    return load_weights(path, lambda config: QuantisedAutoencoder(NetworkConfig.from_dict(config)))
