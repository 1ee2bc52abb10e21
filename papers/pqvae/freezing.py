"""Freezing our own codes: a network and a head become a describer that ships with kinpack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from kinpack.describers.describer import Describer
from kinpack.describers.fitting import Fitting
from kinpack.errors import SourceError
from kinpack.learn.freezing.describer_file import freeze_describer
from papers.pqvae.backbone_training import load_backbone
from papers.pqvae.class_training import load_pooled
from papers.pqvae.heads import Head, HeadConfig
from papers.weights import load_weights

SIDE = 32
"""Of CIFAR-10's pictures."""


class Seer(nn.Module):
    """All that stands before the quantiser, as our codes are measured.

    ::

        picture ─┬─ network ─────────┐
                 └─ mirror ─ network ─┴─ sum ─ unit length ─ head ─ z_e (n, M·d)

    Args:
        network: gives descriptors (n, features) of pictures (n, 3, 32, 32), 0 to 1.
        head: trained on those descriptors.
    """

    def __init__(self, network: nn.Module, head: Head) -> None:
        super().__init__()
        self.network = network
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (n, 3, 32, 32), 0 to 1, to latents (n, M·d)."""
        h = self.network(x) + self.network(x.flip(3))
        return self.head.latent(normalize(h, dim=1))


def load_seer(checkpoint: Path, head: Path) -> Seer:
    """Read a trained network, with labels or without, and a head of it.

    Args:
        checkpoint: of the network's training.
        head: weights of the head.

    Raises:
        SourceError: one of them is missing or something else.
    """
    try:
        state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        network = load_backbone(checkpoint) if "backbone" in state else load_pooled(checkpoint)
    except Exception as error:  # a damaged file fails in many ways
        raise SourceError(
            f"{checkpoint}: no trained network can be read there ({type(error).__name__}); name a "
            "checkpoint of the experiment"
        ) from error
    features = network.config.features
    trained, _ = load_weights(head, lambda config: Head(features, HeadConfig(**config)))
    return Seer(network, trained).eval()


def freeze_seer(
    seer: Seer, *, name: str, version: int = 1, description: Mapping[str, Any] | None = None
) -> Describer:
    """Make a describer of a network and its head.

    Args:
        seer: both.
        name: of the describer.
        version: of the describer of this name.
        description: further values for the file's header.

    Raises:
        CodecError: a part of the network has no place in a describer file.
    """
    return freeze_describer(
        seer,
        seer.head.books(),
        name=name,
        version=version,
        side=SIDE,
        mirrored=True,
        fitting=Fitting(),  # it has learned on pictures enlarged in blocks
        description=description,
    )
