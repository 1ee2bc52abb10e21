"""Freezing a describer: a trained network and its books become one file that needs no torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kinpack.describers.describer import Describer
from kinpack.describers.fitting import Fitting
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import CodecError
from kinpack.learn.freezing.traced_graph import EXACT_BELOW, traced_graph
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.pictures.images import Image

SMOOTH = Fitting(enlarge="smooth")
"""How new describers are given pictures."""
_BATCH = 256


@dataclass(frozen=True)
class FreezingError:
    """How far a frozen describer is from the network that it was made of, over some pictures.

    Attributes:
        largest: largest difference of a component of the latents.
        root_mean_square: of all these differences.
        same_words: share of the sub-indices that are the same, 0 to 1.
    """

    largest: float
    root_mean_square: float
    same_words: float


def freeze_describer(
    network: nn.Module,
    books: NDArray[np.float32],
    *,
    name: str,
    version: int = 1,
    side: int = 32,
    mirrored: bool = False,
    fitting: Fitting = SMOOTH,
    description: Mapping[str, Any] | None = None,
    exact_below: int = EXACT_BELOW,
) -> Describer:
    """Turn a trained network and the books of its code into a describer.

    The network may be any that ``torch.fx`` traces, of convolutions and zeros before them, batch
    norms, linear maps, ReLU, ReLU6, GELU, maxima, means, unit lengths, sums and mirror images.
    Weights of 8,192 numbers or more are stored in eight bits: some 2 MB for two million.

    Args:
        network: maps pictures (n, 3, side, side), 0 to 1, to latents z_e (n, M·d); not changed.
        books: float32 (M, K, d), the words.
        name: of the describer.
        version: of the describer of this name, from 1.
        side: of the pictures that the network sees.
        mirrored: whether the network sees each picture and its mirror image alike, so that both
            have the same latents; noted in the file.
        fitting: how pictures become what the network sees; by default they are made square, and
            small ones enlarged smoothly, which networks that learned on larger pictures need.
        description: further plain values for the header: data, licence, command and so on.
        exact_below: weights of fewer numbers stay float32.

    Returns:
        The describer; ``to_bytes`` gives the file.

    Raises:
        CodecError: the network cannot be traced, does something that has no place in the file, or
            does not fit the books.
    """
    quantiser = ProductQuantiser(books)
    graph = traced_graph(network, side=side, exact_below=exact_below)
    header = {
        **(description or {}),
        **fitting.to_dict(),
        "name": name,
        "version": version,
        "side": side,
        "mirrored": mirrored,
    }
    describer = Describer.from_container(
        Container(
            header,
            {"network": graph},
            {"codebooks": quantiser.codebooks},
            kind=DESCRIBER_FILE,
        )
    )
    grey = np.full((side, side, 3), 128, np.uint8)
    describer.describe([grey], threads=1)  # refuses latents that do not fit the books
    return describer


def freezing_error(
    describer: Describer, network: nn.Module, pictures: Sequence[Image]
) -> FreezingError:
    """Measure how far a frozen describer is from its network.

    Args:
        describer: frozen.
        network: what it was made of; not changed.
        pictures: n ≥ 1 images, uint8 (H, W, C) each.

    Raises:
        CodecError: there are no pictures, or the describer does not run.
    """
    if not pictures:
        raise CodecError("a describer is compared with its network on one picture or more")
    network = copy.deepcopy(network).cpu().float().eval()
    true = []
    for first in range(0, len(pictures), _BATCH):
        part = pictures[first : first + _BATCH]
        cells = np.stack([describer.fitting.cells(picture, describer.side) for picture in part])
        x = torch.from_numpy(cells.transpose(0, 3, 1, 2) / np.float32(255))
        with torch.inference_mode():
            true.append(network(x).numpy())
    z = np.concatenate(true)
    frozen = describer.describe(pictures)
    difference = frozen.astype(np.float64) - z
    same = describer.quantiser.encode(frozen) == describer.quantiser.encode(z)
    return FreezingError(
        largest=float(np.abs(difference).max()),
        root_mean_square=float(np.sqrt((difference**2).mean())),
        same_words=float(same.mean()),
    )
