"""What a coder e′ returns: parts of bytes that together are decoded back to the integers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from papers.smic.coders.binary_coder import decode_binary, encode_binary

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

LENGTH_BYTES = 4
"""What the length of a part costs."""


@dataclass(frozen=True)
class Coded:
    """A collection of latents, coded.

    Attributes:
        parts: bytes by name: ``symbols``, and whatever else the decoder needs.
        item_bits: (N,) bits that each item's own symbols take by their tables, without the parts
            that items share; None where a coder cannot tell them apart.
    """

    parts: dict[str, bytes]
    item_bits: Floats | None = None

    @property
    def n_bytes(self) -> int:
        """Bytes on disk: all parts, and the length of each."""
        return sum(LENGTH_BYTES + len(part) for part in self.parts.values())

    @property
    def shared_bytes(self) -> int:
        """Bytes of all parts but the symbols: what a larger collection would share out further."""
        return self.n_bytes - LENGTH_BYTES - len(self.parts["symbols"])


def pack_matrix(matrix: Ints) -> bytes:
    """Code a small matrix of integers of unknown statistics.

    Args:
        matrix: (m, n); the numbers of a column should be alike.

    Returns:
        Bytes that hold the shape as well.
    """
    head = np.array(matrix.shape, dtype="<u4").tobytes()
    return head + encode_binary(np.asarray(matrix, dtype=np.int64))


def unpack_matrix(data: bytes) -> Ints:
    """Decode what ``pack_matrix`` gave."""
    m, n = (int(v) for v in np.frombuffer(data[:8], dtype="<u4"))
    return decode_binary(data[8:], m, n)


def pack_bits(values: Ints, widths: Ints) -> bytes:
    """Write numbers in fixed widths of bits, the first bit highest.

    Args:
        values: (n,) each at least 0 and below 2^width.
        widths: (n,) bits of each, 0 to 31.
    """
    total = int(widths.sum())
    owner = np.repeat(np.arange(len(values)), widths)
    ends = np.cumsum(widths)
    shift = ends[owner] - 1 - np.arange(total)
    return np.packbits((values[owner] >> shift & 1).astype(np.uint8)).tobytes()


def unpack_bits(data: bytes, widths: Ints) -> Ints:
    """Read what ``pack_bits`` wrote with the same widths."""
    total = int(widths.sum())
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=total).astype(np.int64)
    owner = np.repeat(np.arange(len(widths)), widths)
    shift = np.cumsum(widths)[owner] - 1 - np.arange(total)
    values = np.zeros(len(widths), dtype=np.int64)
    np.add.at(values, owner, bits << shift)
    return values


def bits_for(count: Ints) -> Ints:
    """Bits that name one of ``count`` things: ⌈log2 count⌉, 0 for one or none."""
    widths: Ints = np.ceil(np.log2(np.maximum(count, 1))).astype(np.int64)
    return widths
