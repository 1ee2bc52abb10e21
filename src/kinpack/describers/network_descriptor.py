"""The network descriptor: what a small network gives for a picture's 32×32 area reduction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.networks.networks import Network
from kinpack.pictures.area_reduction import area_reduction
from kinpack.pictures.images import Image

_SIDE = 32
"""Cells along each side of the area reduction that the network sees."""

_BATCH = 256
"""Images in one run of the network."""


class NetworkDescriptor:
    """Describes images by a network of a codec file.

    Args:
        network: (n, 3, 32, 32) cells / 255 − 0.5, float32, to (n, D) float32.
        D: components of a vector.
    """

    def __init__(self, network: Network, D: int) -> None:
        self._network, self.D = network, D

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        """Describe images.

        Args:
            images: n images, uint8 (H, W, C) each, of any sizes.

        Returns:
            float32 (n, D); row i describes ``images[i]``.

        Raises:
            CodecError: the network does not run, or gives something else.
        """
        described = np.empty((len(images), self.D), np.float32)
        for first in range(0, len(images), _BATCH):
            cells = [area_reduction(image, _SIDE) for image in images[first : first + _BATCH]]
            x = np.stack(cells).transpose(0, 3, 1, 2).astype(np.float32)
            x = x / np.float32(255) - np.float32(0.5)
            described[first : first + _BATCH] = self._network(x, (len(x), self.D))
        return described
