"""The decoder of `look`: a small picture of what its code names, the PQ-VAE's way back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinpack.describers.describer import PLACEHOLDER

_INNER = 256


class PlaceholderNetwork(nn.Module):
    """Words (n, D) to pictures (n, 3, 16, 16), 0 to 1 where they are not clipped yet.

    Args:
        size: D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(size, _INNER),
            nn.ReLU(),
            nn.Linear(_INNER, _INNER),
            nn.ReLU(),
            nn.Linear(_INNER, 3 * PLACEHOLDER**2),
        )

    def forward(self, words: Tensor) -> Tensor:
        """Draw."""
        drawn: Tensor = self.layers(words).view(-1, 3, PLACEHOLDER, PLACEHOLDER)
        return drawn


def learn_placeholder(
    words: NDArray[np.float32], pictures: NDArray[np.float32], *, steps: int, seed: int = 0
) -> PlaceholderNetwork:
    """Learn to draw pictures of the words that their codes name.

    Args:
        words: (n, D).
        pictures: (n, 3, 16, 16), 0 to 1.
        steps: of training.
        seed: of weights and batches.
    """
    torch.manual_seed(seed)
    network = PlaceholderNetwork(words.shape[1])
    last = network.layers[-1]
    if isinstance(last, nn.Linear):
        with torch.no_grad():  # to begin with every picture is the mean of all
            last.bias.copy_(torch.from_numpy(pictures.mean(0)).flatten())
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    given, wanted = torch.from_numpy(words), torch.from_numpy(pictures)
    for _ in range(steps):
        rows = torch.randint(len(given), (256,))
        loss = (network(given[rows]) - wanted[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()
