"""Retrieval as protocol A measures it: mAP@1000 of rankings by (distance, place in the database).

The database is CIFAR-10's 50,000 train images and the queries its 10,000 test images, both in the
order of the files, so that ties say nothing of the class. Whatever is chosen is chosen on 5,000
held-out train images, 500 of each class, as queries against the other 45,000: their labels are
used for that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.retrieval import mean_average_precision
from benchmarks.search.exact_hits import exact_hits
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import SourceError
from kinpack.search.distances.distance import asymmetric_table, symmetric_table
from kinpack.sources.opening import open_source
from papers.datasets import DataSet
from papers.pqvae.hashing.hasher import Distance

AT = 1000
"""Places of a ranking that count."""
FIRST_QUERIES = 1000
"""Queries of the smaller variant: the first of the file."""

__all__ = [
    "AT",
    "Score",
    "binary_hits",
    "exact_hits",
    "held_out",
    "in_file_order",
    "product_hits",
    "score",
]


@dataclass(frozen=True)
class Score:
    """Mean average precision in percent.

    Attributes:
        all_queries: over all queries.
        first_queries: over the first 1,000 of them.
    """

    all_queries: float
    first_queries: float


def score(hits: NDArray[np.bool_]) -> Score:
    """Score rankings.

    Args:
        hits: bool (q, places), true where the class is the query's; queries in the order of the
            file.

    Raises:
        MetricError: there is no query.
    """
    return Score(
        100 * mean_average_precision(hits, at=AT),
        100 * mean_average_precision(hits[:FIRST_QUERIES], at=AT),
    )


def held_out(
    labels: NDArray[np.int64], *, per_class: int = 500, seed: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide train images into those learned from and those that settings are chosen on.

    Args:
        labels: int64 (n,), class of each.
        per_class: images held out of each class; at most half of them.
        seed: of the draw.

    Returns:
        int64, rising: places of the images kept, and of those held out.
    """
    rng = np.random.default_rng([seed, 1807])
    held = np.zeros(len(labels), bool)
    for c in np.unique(labels):
        places = np.flatnonzero(labels == c)
        held[rng.permutation(places)[: min(per_class, len(places) // 2)]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)


def in_file_order(data: DataSet, folder: Path) -> DataSet:
    """Put the pictures of a data set, which lie there sorted by class, in the order of its files.

    Args:
        data: CIFAR-10 or Fashion-MNIST, as ``load_data_set`` gives it.
        folder: where the data sets lie.

    Raises:
        SourceError: the files hold other classes than the data set.
    """
    parts = {}
    for split in ("train", "test"):
        pictures = getattr(data, split)
        names = [item.label or "" for item in open_source(folder / data.name, split=split)]
        labels = np.unique(names, return_inverse=True)[1]
        order = np.argsort(labels, kind="stable")
        if not np.array_equal(labels[order], pictures.labels):
            raise SourceError(
                f"{folder / data.name}: its {split} pictures are not those that were loaded: "
                "delete the cache of arrays and load them again"
            )
        parts[split] = pictures.take(np.argsort(order))
    return DataSet(data.name, parts["train"], parts["test"], data.toy)


def binary_hits(
    queries: NDArray[np.bool_],
    query_labels: NDArray[np.int64],
    database: NDArray[np.bool_],
    labels: NDArray[np.int64],
    *,
    distance: Distance = "hamming",
    at: int = AT,
) -> NDArray[np.bool_]:
    """Rank binary codes, ties by place in the database.

    Args:
        queries: bool (q, bits).
        query_labels: int64 (q,).
        database: bool (n, bits).
        labels: int64 (n,).
        distance: ``hamming``: |a ⊕ b|; ``spherical``: |a ⊕ b| / |a ∧ b|, codes that share no bit
            last, fewest differing bits first (equal codes first in any case).
        at: places wanted.

    Returns:
        bool (q, min(at, n)); entry [i, r] true where the r-th nearest is of query i's class.
    """
    width = database.shape[1] + 1
    words = np.ascontiguousarray(_words(database).T)
    levels = _spherical_levels(width - 1).ravel() if distance == "spherical" else None
    hits = np.empty((len(queries), min(at, len(database))), bool)
    for i, query in enumerate(_words(queries)):
        steps = _count(query, words, np.bitwise_xor)
        if levels is not None:
            steps = levels[steps * np.int64(width) + _count(query, words, np.bitwise_and)]
        hits[i] = labels[_first(steps, at)] == query_labels[i]
    return hits


def product_hits(
    quantiser: ProductQuantiser,
    queries: NDArray[Any],
    query_labels: NDArray[np.int64],
    codes: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Rank product codes by sums of looked-up distances, ties by place in the database.

    Args:
        quantiser: the books of the codes.
        queries: uint8 (q, M), sub-indices, which are searched by the rows z_q^(m) of the symmetric
            tables; or floating (q, D), descriptors, searched by asymmetric tables.
        query_labels: int64 (q,).
        codes: uint8 (n, M), sub-indices of the database.
        labels: int64 (n,).

    Returns:
        bool (q, min(1000, n)); entry [i, r] true where the r-th nearest is of query i's class.

    Raises:
        CodecError: codes are not of these books.
        SearchError: a descriptor does not fit.
    """
    M, K = quantiser.M, quantiser.K
    # Two sub-indices of 4 bits are looked up at once, as one byte.
    paired = K <= 16 and M % 2 == 0
    columns = quantiser.pack(codes).T if paired else codes.T
    columns = np.ascontiguousarray(columns).astype(np.intp)
    make = symmetric_table if queries.dtype == np.uint8 else asymmetric_table
    looked_up, steps = np.empty((2, len(codes)), np.int32)
    hits = np.empty((len(queries), min(AT, len(codes))), bool)
    for i, query in enumerate(queries):
        tables = make(quantiser, query).integers
        if paired:
            wide = np.zeros((M, 16), np.int32)
            wide[:, :K] = tables
            tables = (wide[1::2, :, None] + wide[0::2, None, :]).reshape(-1, 256)
        steps[:] = 0
        for table, column in zip(tables, columns, strict=True):
            # All sub-indices are in range; "wrap" only spares numpy its own check.
            np.take(table, column, out=looked_up, mode="wrap")
            np.add(steps, looked_up, out=steps)
        hits[i] = labels[_first(steps, AT)] == query_labels[i]
    return hits


def _first(steps: NDArray[Any], at: int) -> NDArray[np.int64]:
    """Order whole distances (n,) by (distance, place): int64 (min(at, n),), places."""
    at = min(at, len(steps))
    # A bound from every 16th is mostly right, and cheaper than one from all.
    sample = steps[::16]
    guess = min(at // 10 + 20, len(sample)) - 1
    near = np.flatnonzero(steps <= np.partition(sample, guess)[guess])
    if len(near) < at:
        near = np.flatnonzero(steps <= np.partition(steps, at - 1)[at - 1])
    return near[np.argsort(steps[near], kind="stable")[:at]]


def _words(bits: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Pack bits (n, b) into whole words, filled up with zeros: uint64 (n, ⌈b/64⌉)."""
    missing = -bits.shape[1] % 64
    packed = np.packbits(np.pad(bits, ((0, 0), (0, missing))), axis=1)
    return np.ascontiguousarray(packed).view(np.uint64)


def _count(
    query: NDArray[np.uint64], words: NDArray[np.uint64], combine: Callable[..., NDArray[np.uint64]]
) -> NDArray[Any]:
    """Count the bits of q ⊕ x or q ∧ x for a code q (w,) and all x (w, n): an unsigned (n,)."""
    total: NDArray[Any] = np.bitwise_count(combine(query[0], words[0]))
    for q, word in zip(query[1:], words[1:], strict=True):
        total = total.astype(np.uint16) + np.bitwise_count(combine(q, word))
    return total


def _spherical_levels(bits: int) -> NDArray[np.uint32]:
    """Number the values of |a ⊕ b| / |a ∧ b| in their order: uint32 (bits + 1, bits + 1).

    ImageEntry [x, s] is the place of x/s among all fractions; equal fractions have equal places.
    """
    size = range(bits + 1)
    most = Fraction(bits + 1)
    value = [[_level(x, s, most) for s in size] for x in size]
    place = {v: i for i, v in enumerate(sorted({v for row in value for v in row}))}
    return np.array([[place[v] for v in row] for row in value], dtype=np.uint32)


def _level(differing: int, shared: int, most: Fraction) -> Fraction:
    if differing == 0:
        return Fraction(0)
    return Fraction(differing, shared) if shared else most + differing
