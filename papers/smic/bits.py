"""True bits: every coder e′ over a model's quantised latents, decoded back and compared."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans

from kinpack.errors import KinpackError
from papers.datasets import LabelledPictures
from papers.experiment import Progress
from papers.smic.coders import by_class, independent, karhunen_loeve, kin
from papers.smic.coders.coded import Coded
from papers.smic.coders.shape_tables import ShapeTables
from papers.smic.pictures import psnr_of
from papers.variational import VariationalAutoencoder

STEPS = (2.0, 1.414, 1.0, 0.707, 0.5, 0.25)
"""Quantiser steps, relative to the deviation of the model's latents."""
DECODED = 3
"""One step in this many is decoded again and compared; the tests decode everything."""
CLUSTERS = 10
"""Classes that the encoder infers, where it is not given labels."""

CODERS = (
    "static",
    "huffman",
    "adaptive",
    "class-labels",
    "class-clusters",
    "klt",
    "klt-class-labels",
    "kin",
)
"""Names of the coders: the first three take items one by one, the others jointly."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Point:
    """One coder at one step.

    Attributes:
        coder: its name.
        step: relative quantiser step.
        n_bytes: bytes on disk of the whole collection.
        shared_bytes: those of them that are not symbols: tables, bases, labels, references.
        psnr: (N,) dB of each decoded picture.
        item_bits: (N,) bits of each item's symbols, where the coder can tell.
    """

    coder: str
    step: float
    n_bytes: int
    shared_bytes: int
    psnr: Floats
    item_bits: Floats | None

    def to_dict(self) -> dict[str, Any]:
        """Return what a result file holds of it."""
        return {
            "step": self.step,
            "bytes": self.n_bytes,
            "psnr_db": round(float(self.psnr.mean()), 4),
            "shared_bytes": self.shared_bytes,
        }


def deviation(latents: Floats) -> float:
    """Root mean square of the latents about the mean of each dimension: the unit of the steps."""
    return float(np.sqrt(latents.var(axis=0).mean()))


def quantise(latents: Floats, step: float) -> Ints:
    """Integers nearest to the latents in units of the step (N, D)."""
    return np.rint(latents / step).astype(np.int64)


def clusters_of(latents: Floats) -> Ints:
    """Classes inferred from the latents alone (N,)."""
    count = min(CLUSTERS, len(latents))
    found: Ints = KMeans(count, n_init=2, random_state=0).fit_predict(latents).astype(np.int64)
    return found


def measure(
    network: VariationalAutoencoder,
    latents: Floats,
    pictures: LabelledPictures,
    *,
    steps: tuple[float, ...] = STEPS,
    coders: tuple[str, ...] = CODERS,
    progress: Progress | None = None,
) -> list[Point]:
    """Code a collection with every coder at every step, and decode one step in three again.

    Args:
        network: the decoder d, for the PSNR.
        latents: (N, D).
        pictures: the originals, with their classes.
        steps: relative to ``deviation``.
        coders: names out of ``CODERS``.
        progress: called with the share that is done.

    Raises:
        KinpackError: a coder did not give back the integers that it was given.
    """
    unit = deviation(latents)
    clusters = clusters_of(latents) if "class-clusters" in coders else np.zeros(0, dtype=np.int64)
    components = None
    if any(name.startswith("klt") for name in coders):
        components = karhunen_loeve.Components.of(latents)
    points = []
    for number, relative in enumerate(steps):
        step = relative * unit
        symbols = quantise(latents, step)
        tables = independent.fit_dimensions(symbols)
        check = number % DECODED == 1
        psnr = psnr_of(network, symbols.astype(np.float64) * step, pictures)
        factors, psnr_klt = None, psnr
        if components is not None:
            factors = karhunen_loeve.factorise(components, step)
            psnr_klt = psnr_of(network, factors.latents(step), pictures)
        for name in coders:
            if name.startswith("klt"):
                labels = pictures.labels if name == "klt-class-labels" else None
                coded = _through_factors(factors, labels, latents.shape, check=check)
            else:
                labels = clusters if name == "class-clusters" else pictures.labels
                coded = _through(name, symbols, labels, tables, check=check)
            quality = psnr_klt if name.startswith("klt") else psnr
            points.append(
                Point(name, relative, coded.n_bytes, coded.shared_bytes, quality, coded.item_bits)
            )
        if progress:
            progress((number + 1) / len(steps))
    return points


def _through(name: str, symbols: Ints, labels: Ints, tables: ShapeTables, *, check: bool) -> Coded:
    """Code, and where it is checked, decode and compare."""
    n, d = symbols.shape
    decode: Callable[[Coded, int, int], Ints]
    if name == "static":
        coded, decode = independent.encode_static(symbols, tables), independent.decode_static
    elif name == "huffman":
        coded = independent.encode_with_huffman(symbols, tables)
        decode = independent.decode_with_huffman
    elif name == "adaptive":
        coded, decode = independent.encode_adaptive(symbols), independent.decode_adaptive
    elif name.startswith("class-"):
        coded = by_class.encode_by_class(symbols, labels, tables)
        decode = by_class.decode_by_class
    elif name == "kin":
        coded, decode = kin.encode_from_kin(symbols, tables), kin.decode_from_kin
    else:
        raise KinpackError(f"there is no coder {name!r}; use {', '.join(CODERS)}")
    if check and not np.array_equal(decode(coded, n, d), symbols):
        raise KinpackError(f"coder {name}: other integers came back than were coded")
    return coded


def _through_factors(
    factors: karhunen_loeve.Factors | None,
    labels: Ints | None,
    shape: tuple[int, ...],
    *,
    check: bool,
) -> Coded:
    """Code, and where it is checked, decode and compare."""
    if factors is None:
        raise KinpackError("the transform's factors are missing")
    coded = karhunen_loeve.encode_factors(factors, labels)
    if not check:
        return coded
    back = karhunen_loeve.decode_factors(coded, shape[0], shape[1])
    for part in ("mean", "basis", "exponents", "coefficients"):
        if not np.array_equal(getattr(back, part), getattr(factors, part)):
            raise KinpackError(f"coder klt: another {part} came back than was coded")
    return coded
