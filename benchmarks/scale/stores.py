"""The stores of the measurements of scale: what each must do, kinpack's archive, and SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from benchmarks.scale.rows import ReplayingCoder, ReplayingDescriber, Rows, pixels
from kinpack.archive.archive import Archive
from kinpack.describers.describer import Describer
from kinpack.describers.product_code import ProductQuantiser
from kinpack.search.distances.distance import symmetric_table
from kinpack.search.index import Index

TRANSACTION = 10_000
"""Rows that SQLite writes in one transaction: in a single one its log would be as large again."""

NEAREST = 10

Progress = Callable[[int], None]
"""Called with the number of images done so far."""


class Opened(Protocol):
    """A store that is open."""

    def append(self, first: int, count: int) -> None:
        """Add the images from a number on, durably as far as the store offers it."""

    def read(self, name: str) -> bytes | None:
        """The payload of an image, ``None`` if it is not there."""

    def nearest(self, number: int) -> list[str]:
        """The ids of the ten images whose codes are nearest to that of an image."""

    def close(self) -> None:
        """Let go of it."""


class Contender(Protocol):
    """A way to keep images.

    Attributes:
        title: what tables call it.
        note: how it is used here.
    """

    title: str
    note: str

    def write(self, path: Path, rows: Rows, count: int, progress: Progress) -> None:
        """Make a store of the first images."""

    def open(self, path: Path, rows: Rows) -> Opened:
        """Open a store to read and to append."""


def nearest_rows(codes: bytes, quantiser: ProductQuantiser, code: bytes) -> list[int]:
    """Rows of the ten codes nearest to one, by the scan that an archive uses.

    Args:
        codes: packed, one after the other.
        quantiser: their books.
        code: the one, packed.
    """
    packed = np.frombuffer(codes, np.uint8).reshape(-1, len(code))
    words = quantiser.unpack(np.frombuffer(code, np.uint8)[None])[0]
    positions, _ = Index(packed, quantiser).search(
        symmetric_table(quantiser, words), NEAREST, engine="numpy"
    )
    found: list[int] = positions.tolist()
    return found


class KinpackStore:
    """kinpack's archive: one ``add`` writes it."""

    title = "kinpack"
    note = "one add writes all; every read checks a checksum; scans by numpy, one thread"

    def write(self, path: Path, rows: Rows, count: int, progress: Progress) -> None:
        """Make a store of the first images."""
        done = 0

        def counted(more: int) -> None:
            nonlocal done
            done += more
            progress(done)

        describer = ReplayingDescriber(rows)
        with Archive.create(path, ReplayingCoder(rows), describer=describer) as archive:
            archive.add(rows.items(0, count), threads=1, progress=counted)

    def open(self, path: Path, rows: Rows) -> Opened:
        """Open a store to read and to append."""
        return _OpenArchive(path, rows)


class _OpenArchive:
    def __init__(self, path: Path, rows: Rows) -> None:
        self._rows = rows
        self._archive = Archive.open(path)
        self._coder: ReplayingCoder | None = None

    def append(self, first: int, count: int) -> None:
        self._replaying().add(self._rows.items(first, count), threads=1)

    def read(self, name: str) -> bytes | None:
        return self._archive.packet(name).payload if name in self._archive else None

    def nearest(self, number: int) -> list[str]:
        archive = self._replaying()
        hits = archive.search(pixels(number), NEAREST, compare=0, engine="numpy")
        return [hit.id for hit in hits]

    def close(self) -> None:
        self._archive.close()

    def _replaying(self) -> Archive:
        """The archive with the replaying coder, loaded at the first need as a codec is."""
        if self._coder is None:
            self._coder = ReplayingCoder(self._rows)
            path = self._archive.path
            self._archive.close()
            describer = ReplayingDescriber(self._rows)
            self._archive = Archive.open(path, codec=self._coder, describer=describer)
        return self._archive


class SqliteStore:
    """SQLite: one table with a primary key of text."""

    title = "SQLite"
    note = f"one table, WAL, synchronous=FULL; written in transactions of {TRANSACTION:,} rows"

    def write(self, path: Path, rows: Rows, count: int, progress: Progress) -> None:
        """Make a store of the first images."""
        path.mkdir()
        opened = _OpenSqlite(path, rows)
        opened.connection.execute(
            "CREATE TABLE images (id TEXT PRIMARY KEY, label TEXT, code BLOB, payload BLOB)"
        )
        for first in range(0, count, TRANSACTION):
            opened.append(first, min(TRANSACTION, count - first))
            progress(min(first + TRANSACTION, count))
        opened.close()

    def open(self, path: Path, rows: Rows) -> Opened:
        """Open a store to read and to append."""
        return _OpenSqlite(path, rows)


class _OpenSqlite:
    def __init__(self, path: Path, rows: Rows) -> None:
        self._rows = rows
        self._quantiser: ProductQuantiser | None = None
        self.connection = sqlite3.connect(path / "images.db")
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=FULL")

    def append(self, first: int, count: int) -> None:
        rows = self._rows
        with self.connection:
            self.connection.executemany(
                "INSERT INTO images VALUES (?, ?, ?, ?)",
                (
                    (rows.name(number), rows.label(number), rows.code(number), packet.payload)
                    for number in range(first, first + count)
                    for packet in (rows.packet(number),)
                ),
            )

    def read(self, name: str) -> bytes | None:
        query = "SELECT payload FROM images WHERE id = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        return None if row is None else row[0]

    def nearest(self, number: int) -> list[str]:
        if self._quantiser is None:
            self._quantiser = Describer.load("classic").quantiser
        query = "SELECT code FROM images ORDER BY rowid"
        codes = b"".join(row[0] for row in self.connection.execute(query))
        places = nearest_rows(codes, self._quantiser, self._rows.code(number))
        query = "SELECT id FROM images WHERE rowid = ?"
        return [
            self.connection.execute(query, (place + 1,)).fetchone()[0]  # nothing was ever deleted
            for place in places
        ]

    def close(self) -> None:
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self.connection.close()
