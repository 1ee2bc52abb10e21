"""Coders that take each item on its own: what they share are tables of each dimension."""

from __future__ import annotations

import numpy as np

from kinpack.entropy.range_coder import RangeReader, RangeWriter
from papers.smic.coders.binary_coder import decode_binary, encode_binary
from papers.smic.coders.coded import Coded, Ints, pack_matrix, unpack_matrix
from papers.smic.coders.huffman import decode_huffman, encode_huffman
from papers.smic.coders.shape_tables import ShapeTables, fit, symbol_bits

SIDE = 4
"""Rows and columns of a latent of a 32×32 picture."""


def encode_static(symbols: Ints, tables: ShapeTables | None = None) -> Coded:
    """Range coding under a table for each dimension, which is sent.

    Args:
        symbols: (N, D) integers; row i is item i.
        tables: of each dimension, where the caller has them already.
    """
    dimensions = _dimensions(symbols.shape)
    tables = tables or fit_dimensions(symbols)
    frequencies = tables.frequencies()
    writer = RangeWriter(frequencies)
    writer.push(symbols.ravel(), dimensions)
    bits = symbol_bits(frequencies, symbols.ravel(), dimensions).reshape(symbols.shape).sum(1)
    return Coded({"tables": pack_matrix(tables.to_matrix()), "symbols": writer.finish()}, bits)


def decode_static(coded: Coded, n: int, d: int) -> Ints:
    """Decode what ``encode_static`` gave, for n items of d dimensions."""
    tables = ShapeTables.from_matrix(unpack_matrix(coded.parts["tables"]))
    reader = RangeReader(coded.parts["symbols"], tables.frequencies())
    return reader.pull(_dimensions((n, d))).reshape(n, d)


def encode_with_huffman(symbols: Ints, tables: ShapeTables | None = None) -> Coded:
    """Huffman coding under the same tables: whole bits, at least one a symbol.

    Args:
        symbols: (N, D) integers; row i is item i.
        tables: of each dimension, where the caller has them already.
    """
    dimensions = _dimensions(symbols.shape)
    tables = tables or fit_dimensions(symbols)
    data = encode_huffman(symbols.ravel(), dimensions, tables.frequencies())
    return Coded({"tables": pack_matrix(tables.to_matrix()), "symbols": data})


def decode_with_huffman(coded: Coded, n: int, d: int) -> Ints:
    """Decode what ``encode_with_huffman`` gave, for n items of d dimensions."""
    tables = ShapeTables.from_matrix(unpack_matrix(coded.parts["tables"]))
    dimensions = _dimensions((n, d))
    data = coded.parts["symbols"]
    return decode_huffman(data, dimensions, tables.frequencies()).reshape(n, d)


def encode_adaptive(symbols: Ints) -> Coded:
    """Adaptive binary arithmetic coding, its contexts chosen by neighbours as in CABAC.

    Nothing is sent but the symbols; the probabilities follow the items as they come.

    Args:
        symbols: (N, D) integers; row i is item i, its entries channel by channel, row by row.
    """
    data = encode_binary(symbols, neighbours=checkerboard_neighbours(symbols.shape[1]))
    return Coded({"symbols": data})


def decode_adaptive(coded: Coded, n: int, d: int) -> Ints:
    """Decode what ``encode_adaptive`` gave, for n items of d dimensions."""
    return decode_binary(coded.parts["symbols"], n, d, neighbours=checkerboard_neighbours(d))


def checkerboard_neighbours(d: int) -> Ints:
    """Places whose magnitudes tell something of each place's: the four beside it, half known.

    Args:
        d: dimensions of an item, 16 a channel.

    Returns:
        (d, 4) int64, −1 where there is none. Places of even row + column have none at all and are
        coded first; the others' neighbours are then known.
    """
    if d % (SIDE * SIDE):
        return np.full((d, 4), -1, dtype=np.int64)
    place = np.arange(d)
    row, column = place % (SIDE * SIDE) // SIDE, place % SIDE
    found = np.full((d, 4), -1, dtype=np.int64)
    for k, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
        inside = (row + down >= 0) & (row + down < SIDE)
        inside &= (column + right >= 0) & (column + right < SIDE)
        inside &= (row + column) % 2 == 1
        found[inside, k] = (place + SIDE * down + right)[inside]
    return found


def fit_dimensions(symbols: Ints) -> ShapeTables:
    """Tables of each dimension over all items (D,)."""
    return fit(symbols.ravel(), _dimensions(symbols.shape), symbols.shape[1])


def _dimensions(shape: tuple[int, ...]) -> Ints:
    return np.tile(np.arange(shape[1]), shape[0])
