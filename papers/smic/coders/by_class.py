"""Class-conditional tables: a joint coder that knows, or is told, which items are alike."""

from __future__ import annotations

import numpy as np

from kinpack.entropy.range_coder import RangeReader, RangeWriter
from kinpack.entropy.tables import FrequencyTables
from papers.smic.coders.coded import Coded, Ints, pack_matrix, unpack_matrix
from papers.smic.coders.shape_tables import (
    SCALE_HIGH,
    SCALE_LOW,
    SHAPES,
    ShapeTables,
    fit,
    group_bits,
    mean_unit,
    symbol_bits,
)

COST_OF_A_TABLE = 14.0
"""Bits that a table of its own must save: about what its three numbers cost."""


def encode_by_class(symbols: Ints, labels: Ints, pooled: ShapeTables | None = None) -> Coded:
    """Range coding under a table for each dimension of each class; the labels are sent.

    A class has a table of its own where that saves more than sending it costs; elsewhere it uses
    the table of all items.

    Args:
        symbols: (N, D) integers; row i is item i.
        labels: (N,) int64 from 0: true classes, or clusters that the encoder found.
        pooled: tables of each dimension over all items, where the caller has them already.
    """
    n, d = symbols.shape
    classes = int(labels.max(initial=0)) + 1
    flat, dimension = symbols.ravel(), np.tile(np.arange(d), n)
    group = np.repeat(labels, d) * d + dimension
    pooled = pooled or fit(flat, dimension, d)
    own = fit(flat, group, classes * d)
    everywhere = _repeated(pooled, classes)
    # What is sent of an own table is its difference from the pooled one, so both sides first see
    # what that difference restores.
    changes = _changes(own, everywhere)
    saved = group_bits(everywhere.frequencies(), flat, group) - group_bits(
        _changed(everywhere, changes).frequencies(), flat, group
    )
    changes[saved < COST_OF_A_TABLE] = 0
    frequencies = _changed(everywhere, changes).frequencies()
    writer = RangeWriter(frequencies)
    writer.push(flat, group)
    counts = np.bincount(labels, minlength=classes)
    label_writer = RangeWriter(_label_tables(counts))
    label_writer.push(labels, np.zeros(n, dtype=np.int64))
    bits = symbol_bits(frequencies, flat, group).reshape(n, d).sum(1)
    parts = {
        "tables": pack_matrix(pooled.to_matrix()),
        "changes": pack_matrix(changes.reshape(classes, d, 3).transpose(1, 0, 2).reshape(d, -1)),
        "counts": pack_matrix(counts[None]),
        "labels": label_writer.finish(),
        "symbols": writer.finish(),
    }
    return Coded(parts, bits)


def decode_by_class(coded: Coded, n: int, d: int) -> Ints:
    """Decode what ``encode_by_class`` gave, for n items of d dimensions."""
    counts = unpack_matrix(coded.parts["counts"])[0]
    classes = len(counts)
    reader = RangeReader(coded.parts["labels"], _label_tables(counts))
    labels = reader.pull(np.zeros(n, dtype=np.int64))
    pooled = ShapeTables.from_matrix(unpack_matrix(coded.parts["tables"]))
    by_dimension = unpack_matrix(coded.parts["changes"]).reshape(d, classes, 3)
    changes = np.ascontiguousarray(by_dimension.transpose(1, 0, 2)).reshape(-1, 3)
    frequencies = _changed(_repeated(pooled, classes), changes).frequencies()
    group = np.repeat(labels, d) * d + np.tile(np.arange(d), n)
    return RangeReader(coded.parts["symbols"], frequencies).pull(group).reshape(n, d)


def _label_tables(counts: Ints) -> FrequencyTables:
    scaled = np.maximum(1, counts * 60_000 // max(1, int(counts.max(initial=1))))
    return FrequencyTables.from_lists([[*scaled.tolist(), 1]], [0])


def _repeated(pooled: ShapeTables, classes: int) -> ShapeTables:
    return ShapeTables.from_matrix(np.tile(pooled.to_matrix(), (classes, 1)))


def _changes(own: ShapeTables, pooled: ShapeTables) -> Ints:
    """What to add to a pooled table's numbers, its mean first brought to the other's unit."""
    carried = np.rint(pooled.centre / mean_unit(own.scale)).astype(np.int64)
    return np.stack(
        [own.mean - carried, own.scale - pooled.scale, own.shape - pooled.shape], axis=1
    )


def _changed(pooled: ShapeTables, changes: Ints) -> ShapeTables:
    """Tables that ``_changes`` describes; those without a change stay as they are."""
    scale = np.clip(pooled.scale + changes[:, 1], SCALE_LOW, SCALE_HIGH)
    carried = np.rint(pooled.centre / mean_unit(scale)).astype(np.int64)
    shape = np.clip(pooled.shape + changes[:, 2], 0, len(SHAPES) - 1)
    return ShapeTables(carried + changes[:, 0], scale, shape)
