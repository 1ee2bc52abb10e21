"""An archive of as many images as one likes, made of the segments of a small one, and real codes.

Packing ten million images would take a day and measure a codec. So some ten thousand are packed,
of which the segments are linked again and again under other names: names and payloads repeat. Each
copy has files of codes of its own: codes of real pictures, of which 3 of 16 words are others.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.rows import ReplayingCoder, ReplayingDescriber, Rows
from kinpack.archive.archive import Archive
from kinpack.archive.segments.code_file import code_file
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.codec.packets.packet import Packet

CHANGED = 3
PACKED = 1 << 16


class Unvaried(Rows):
    """Rows whose payloads are left as they were encoded: they can be drawn."""

    def packet(self, number: int) -> Packet:
        """The packet of an image."""
        return self.packets[number % len(self.packets)]


def varied(codes: NDArray[np.uint8], many: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Packed codes of 4-bit words, uint8 (many, 8): codes repeated, 3 words of each replaced."""
    made = np.empty((many, codes.shape[1]), np.uint8)
    for first in range(0, many, PACKED):
        rows = made[first : first + PACKED]
        rows[:] = codes[rng.integers(0, len(codes), len(rows))]
        for _ in range(CHANGED):
            place, word = rng.integers(0, 16, (2, len(rows)))
            at, shift = np.arange(len(rows)), 4 * (place % 2)
            kept = rows[at, place // 2] & (0xF0 >> shift)
            rows[at, place // 2] = kept | word << shift
    return made


def multiply(path: Path, rows: Rows, many: int, seed: int) -> None:
    """Make an archive of so many images.

    Args:
        path: of the archive; the files of the small one are links.
        rows: what is packed.
        many: images, rounded up to a whole number of segments.
        seed: of the codes.
    """
    rng = np.random.default_rng(seed)
    describer = ReplayingDescriber(rows)
    codes = np.frombuffer(b"".join(rows.codes), np.uint8).reshape(len(rows.codes), -1)
    with Archive.create(path, ReplayingCoder(rows), describer=describer) as archive:
        archive.add(rows.items(0, min(many, PACKED)), threads=1)
        manifest = archive.manifest
    entries: list[SegmentEntry] = []
    images = 0
    while images < many:
        entry = manifest.segments[len(entries) % len(manifest.segments)]
        name, column = uuid.uuid4().hex, entry.codes[0].column
        made = replace(entry, name=name)
        os.link(path / entry.file, path / made.file)
        data = varied(codes, entry.rows, rng).tobytes()
        made = replace(made, codes=(code_file(column, uuid.uuid4().hex, data),))
        (path / made.codes[0].file).write_bytes(data)
        entries.append(made)
        images += entry.rows
    following = manifest.following(tuple(entries), {"verb": "add", "added": images})
    following = replace(following, base=None)
    (path / following.file).write_bytes(following.to_bytes())
