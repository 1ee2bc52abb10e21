"""Evaluation of one trained model: its codes searched, its bits, and its pictures."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.measuring import machine
from kinpack.describers.product_books import learn_books
from kinpack.describers.product_code import ProductQuantiser
from kinpack.metrics import EXACT_PSNR
from papers.datasets import LabelledPictures
from papers.experiment import Progress
from papers.pqvae.measures import (
    code_information,
    distortion_bits,
    nearest_pictures,
    neighbour_measures,
    separation_db,
)
from papers.pqvae.models import ModelConfig
from papers.pqvae.network import QuantisedAutoencoder
from papers.pqvae.retrieval import product_hits, score
from papers.pqvae.training import as_input

AT_ONCE = 500
CLOSELY = 2000
"""Queries, the first of the file, whose neighbours are looked at."""


@dataclass(frozen=True, eq=False)
class Coder:
    """A trained network with the books its codes are made of.

    Attributes:
        network: in evaluation mode.
        quantiser: N·M books, those of position p at p·M to (p + 1)·M − 1; learned by k-means where
            the network has no bottleneck.
    """

    network: QuantisedAutoencoder
    quantiser: ProductQuantiser

    def codes(self, z: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Sub-indices (n, N·M) of latents (n, N·D): nearest words, or as r(z) makes them cost."""
        quantiser = self.network.config.quantiser
        if not self.network.config.quantised or not quantiser.epsilon:
            return self.quantiser.encode(z)
        N = self.network.config.N
        rows = [
            self.network.quantiser.indices(_by_position(z[start : start + AT_ONCE], N)).flatten(1)
            for start in range(0, len(z), AT_ONCE)
        ]
        found: NDArray[np.uint8] = torch.cat(rows).byte().numpy()
        return found


def coder_of(network: QuantisedAutoencoder, latents: NDArray[np.float32]) -> Coder:
    """Make the coder of a trained network.

    Args:
        network: in evaluation mode.
        latents: float32 (n, N·D), of the database; k-means learns from them where the network has
            no bottleneck.
    """
    c = network.config
    if c.quantised:
        return Coder(network, ProductQuantiser(network.quantiser.books(c.N).numpy()))
    M, K = c.N * c.quantiser.M, c.quantiser.K
    return Coder(network, learn_books(latents, M=M, K=K, seed=0, iterations=10))


def latents_of(network: QuantisedAutoencoder, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Latents z_e(x) of pictures (n, H, W, C): float32 (n, N·D), a position after the other."""
    with torch.inference_mode():
        rows = [
            network.encode(as_input(torch.from_numpy(pixels[start : start + AT_ONCE]))).flatten(1)
            for start in range(0, len(pixels), AT_ONCE)
        ]
    found: NDArray[np.float32] = torch.cat(rows).numpy()
    return found


def drawn_again(network: QuantisedAutoencoder, z: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pictures uint8 (n, H, W, C) that the decoder draws of latents (n, N·D)."""
    with torch.inference_mode():
        rows = [
            network.decode(_by_position(z[start : start + AT_ONCE], network.config.N))
            .clamp(0, 1)
            .mul(255)
            .round()
            .byte()
            .permute(0, 2, 3, 1)
            for start in range(0, len(z), AT_ONCE)
        ]
    found: NDArray[np.uint8] = torch.cat(rows).numpy()
    return found


def evaluate(
    config: ModelConfig,
    network: QuantisedAutoencoder,
    figures: dict[str, Any],
    database: LabelledPictures,
    queries: LabelledPictures,
    *,
    protocol: str,
    asymmetric: bool = True,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Measure a model.

    Args:
        config: the model.
        network: trained, in evaluation mode.
        figures: of its training.
        database: pictures that are searched, in the order of the file.
        queries: pictures that are searched for.
        protocol: name of the two, for the result file.
        asymmetric: whether queries that are not quantised are tried too.
        progress: called with the share that is done.

    Returns:
        What its result file holds: the configuration; mAP@1000 in percent, ``symmetric`` and
        ``asymmetric``, each over ``all`` queries and the ``first`` 1,000; the information measures
        of the database's codes; PSNR of the queries; where neighbours among the first 2,000
        queries are put; figures of the training.
    """
    tell = progress or (lambda share: None)
    began = time.monotonic()
    z = latents_of(network, database.pixels)
    asked = latents_of(network, queries.pixels)
    coder = coder_of(network, z)
    codes, asked_codes = coder.codes(z), coder.codes(asked)
    tell(0.3)
    searched: dict[str, NDArray[Any]] = {"symmetric": asked_codes}
    if asymmetric:
        searched["asymmetric"] = asked
    maps: dict[str, dict[str, float]] = {}
    for i, (kind, q) in enumerate(searched.items()):
        hits = product_hits(coder.quantiser, q, queries.labels, codes, database.labels)
        found = score(hits)
        maps[kind] = {"all": found.all_queries, "first": found.first_queries}
        tell(0.3 + 0.6 * (i + 1) / len(searched))
    return {
        **config.to_dict(),
        "name": config.name,
        "bits": config.bits,
        "d_used": config.quantiser.d,
        "protocol": protocol,
        "database": len(database),
        "queries": len(queries),
        "map_at_1000": maps,
        **_information(config, network, codes),
        **_pictures(coder, asked, asked_codes, queries),
        **_closely(coder, asked[:CLOSELY], asked_codes[:CLOSELY], queries.pixels[:CLOSELY]),
        "training": figures,
        "minutes": {
            "training": figures["minutes"],
            "evaluation": (time.monotonic() - began) / 60,
        },
        "machine": machine.machine(),
        "torch": version("torch"),
    }


def _by_position(z: NDArray[np.float32], N: int) -> torch.Tensor:
    return torch.from_numpy(z).reshape(len(z), N, -1)


def _information(
    config: ModelConfig, network: QuantisedAutoencoder, codes: NDArray[np.uint8]
) -> dict[str, float]:
    M, K = config.M, config.K
    if config.quantised:
        log_prior = network.quantiser.log_prior().double().numpy()
    else:
        log_prior = np.full((M, K), -math.log(K))
    return code_information(codes, M=M, K=K, log_prior=log_prior)


def _pictures(
    coder: Coder, z: NDArray[np.float32], codes: NDArray[np.uint8], pictures: LabelledPictures
) -> dict[str, float]:
    """PSNR of pictures from their codes, and before quantising; the bound of d_IB."""
    original = pictures.cropped(pictures.pixels).astype(np.float64)
    numbers = int(np.prod(original.shape[1:]))
    found: dict[str, float] = {}
    quantised = coder.quantiser.decode(codes)
    for name, latents in (("psnr_db", quantised), ("psnr_unquantised_db", z)):
        drawn = pictures.cropped(drawn_again(coder.network, latents)).astype(np.float64)
        errors = np.square(drawn - original).reshape(len(original), -1).sum(axis=1)
        psnr = 10 * np.log10(255.0**2 * numbers / np.maximum(errors, 1e-9))
        found[name] = float(np.minimum(psnr, EXACT_PSNR).mean())
        if name == "psnr_db":
            found |= distortion_bits(errors / 255**2, numbers=numbers)
    return found


def _closely(
    coder: Coder, z: NDArray[np.float32], codes: NDArray[np.uint8], pixels: NDArray[np.uint8]
) -> dict[str, float]:
    z_q = coder.quantiser.decode(codes)
    found = {"separation_db": separation_db(z, z_q), "variance": float(z.var(axis=0).sum())}
    if len(z) < 2:
        return found
    return found | neighbour_measures(nearest_pictures(pixels), codes, z_q, z)
