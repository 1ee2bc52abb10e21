"""Prediction of each item from its kin: an item decoded before it, found by search."""

from __future__ import annotations

import numpy as np

from kinpack.entropy.range_coder import RangeReader, RangeWriter
from kinpack.entropy.tables import FrequencyTables
from papers.smic.coders.coded import (
    Coded,
    Floats,
    Ints,
    bits_for,
    pack_bits,
    pack_matrix,
    unpack_bits,
    unpack_matrix,
)
from papers.smic.coders.shape_tables import ShapeTables, fit, symbol_bits

STRENGTHS = 16
"""A dimension follows its prediction by a multiple of 1/16, 0 to 16."""
ROUNDS = 3
"""Times that tables and choices are fitted to each other."""


def encode_from_kin(symbols: Ints, alone: ShapeTables | None = None) -> Coded:
    """Code each item as the difference from its nearest kin, or on its own where that is cheaper.

    Every item may name any other as its reference, as long as no item depends on itself: the
    references are a minimal spanning tree of the collection, which tells the decoder the order as
    well. Dimension j is predicted as c_j + s_j (x_j − c_j), x the reference, c_j the dimension's
    median and s_j how far it follows. Tables, medians, strengths and references are sent.

    Args:
        symbols: (N, D) integers; row i is item i.
        alone: tables of each dimension over all items, where the caller has them already.
    """
    n, d = symbols.shape
    dimension = np.arange(d)
    alone = alone or fit(symbols.ravel(), np.tile(dimension, n), d)
    alone_tables = alone.frequencies()
    alone_bits = _item_bits(alone_tables, symbols)
    parent = spanning_tree(symbols / np.maximum(alone.alpha, 0.5))
    centre = np.median(symbols, axis=0).astype(np.int64) if n else np.zeros(d, dtype=np.int64)
    follows = parent >= 0
    reference_bits = float(bits_for(np.array([n]))[0])
    for _ in range(ROUNDS):
        chosen = np.flatnonzero(follows)
        strength = _strengths(symbols, parent, chosen, centre)
        rest = symbols[chosen] - _predicted(symbols[parent[chosen]], centre, strength)
        tables = fit(rest.ravel(), np.tile(dimension, len(chosen)), d)
        every = np.flatnonzero(parent >= 0)
        trial = symbols[every] - _predicted(symbols[parent[every]], centre, strength)
        cost = np.full(n, np.inf)
        cost[every] = _item_bits(tables.frequencies(), trial) + reference_bits
        follows = cost < alone_bits
    chosen = np.flatnonzero(follows)
    rest = symbols[chosen] - _predicted(symbols[parent[chosen]], centre, strength)
    differences = RangeWriter(tables.frequencies())
    differences.push(rest.ravel(), np.tile(dimension, len(chosen)))
    own = np.flatnonzero(~follows)
    writer = RangeWriter(alone_tables)
    writer.push(symbols[own].ravel(), np.tile(dimension, len(own)))
    widths = np.repeat(bits_for(np.array([n])), len(chosen))
    parts = {
        "follows": np.packbits(follows).tobytes(),
        "references": pack_bits(parent[chosen], widths),
        "tables": pack_matrix(alone.to_matrix()),
        "difference tables": pack_matrix(np.column_stack([tables.to_matrix(), centre, strength])),
        "differences": differences.finish(),
        "symbols": writer.finish(),
    }
    return Coded(parts, np.where(follows, cost, alone_bits) + 1)


def decode_from_kin(coded: Coded, n: int, d: int) -> Ints:
    """Decode what ``encode_from_kin`` gave, for n items of d dimensions."""
    parts, dimension = coded.parts, np.arange(d)
    marks = np.frombuffer(parts["follows"], dtype=np.uint8)
    follows = np.unpackbits(marks, count=n).astype(bool)
    chosen, own = np.flatnonzero(follows), np.flatnonzero(~follows)
    widths = np.repeat(bits_for(np.array([n])), len(chosen))
    parent = np.full(n, -1, dtype=np.int64)
    parent[chosen] = unpack_bits(parts["references"], widths)
    alone = ShapeTables.from_matrix(unpack_matrix(parts["tables"]))
    sent = unpack_matrix(parts["difference tables"])
    tables, centre, strength = ShapeTables.from_matrix(sent[:, :3]), sent[:, 3], sent[:, 4]
    symbols = np.zeros((n, d), dtype=np.int64)
    reader = RangeReader(parts["symbols"], alone.frequencies())
    symbols[own] = reader.pull(np.tile(dimension, len(own))).reshape(-1, d)
    differences = RangeReader(parts["differences"], tables.frequencies())
    rest = np.zeros((n, d), dtype=np.int64)
    rest[chosen] = differences.pull(np.tile(dimension, len(chosen))).reshape(-1, d)
    known = ~follows
    while not known.all():
        # One generation of the tree at a time: all items whose reference is known by now.
        ready = np.flatnonzero(~known & known[np.maximum(parent, 0)])
        symbols[ready] = rest[ready] + _predicted(symbols[parent[ready]], centre, strength)
        known[ready] = True
    return symbols


def spanning_tree(points: Floats) -> Ints:
    """Minimal spanning tree under Euclidean distance, by Prim's algorithm.

    Args:
        points: (n, D).

    Returns:
        (n,) int64: parent of each point; −1 for the root, the point nearest to the mean.
    """
    n = len(points)
    parent = np.full(n, -1, dtype=np.int64)
    if n < 2:
        return parent
    rows = points.astype(np.float32)
    squares = np.square(rows).sum(1)
    distances = squares[:, None] + squares[None] - 2 * (rows @ rows.T)
    last = int(np.square(rows - rows.mean(0)).sum(1).argmin())
    nearest = np.full(n, np.inf, dtype=np.float32)
    within = np.zeros(n, dtype=bool)
    for _ in range(n - 1):
        within[last] = True
        closer = ~within & (distances[last] < nearest)
        nearest[closer], parent[closer] = distances[last][closer], last
        last = int(np.where(within, np.inf, nearest).argmin())
    return parent


def _item_bits(tables: FrequencyTables, symbols: Ints) -> Floats:
    n, d = symbols.shape
    bits = symbol_bits(tables, symbols.ravel(), np.tile(np.arange(d), n))
    total: Floats = bits.reshape(n, d).sum(1)
    return total


def _strengths(symbols: Ints, parent: Ints, chosen: Ints, centre: Ints) -> Ints:
    """Regression of each dimension on its reference, in sixteenths (D,)."""
    x = (symbols[parent[chosen]] - centre).astype(np.float64)
    y = (symbols[chosen] - centre).astype(np.float64)
    slope = (x * y).sum(0) / np.maximum((x * x).sum(0), 1e-9)
    strength: Ints = np.rint(slope * STRENGTHS).astype(np.int64)
    return strength.clip(0, STRENGTHS)


def _predicted(reference: Ints, centre: Ints, strength: Ints) -> Ints:
    """Prediction of each dimension, rounded to the nearest integer, halves upwards."""
    return centre + ((reference - centre) * strength * 2 + STRENGTHS) // (2 * STRENGTHS)
