"""More stores of the measurements of scale: Lance, one zip file, and a folder of files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.scale.rows import Rows
from benchmarks.scale.stores import (
    Contender,
    KinpackStore,
    Opened,
    Progress,
    SqliteStore,
    nearest_rows,
)
from kinpack.describers.describer import Describer
from kinpack.describers.product_code import ProductQuantiser

BATCH = 10_000
"""Rows that Lance is handed at a time."""


class LanceStore:
    """Lance, the columnar format: its library's defaults, and an index of the ids."""

    title = "Lance"
    note = "pylance with its defaults, BTREE index of the ids, renewed after every append"

    def write(self, path: Path, rows: Rows, count: int, progress: Progress) -> None:
        """Make a store of the first images."""
        import lance

        def batches() -> Iterator[Any]:
            for first in range(0, count, BATCH):
                yield _record_batch(rows, first, min(BATCH, count - first))
                progress(min(first + BATCH, count))

        dataset = lance.write_dataset(batches(), path, schema=_record_batch(rows, 0, 1).schema)
        dataset.create_scalar_index("id", "BTREE")

    def open(self, path: Path, rows: Rows) -> Opened:
        """Open a store to read and to append."""
        return _OpenLance(path, rows)


class _OpenLance:
    def __init__(self, path: Path, rows: Rows) -> None:
        import lance

        self._path = path
        self._rows = rows
        self._quantiser: ProductQuantiser | None = None
        self._dataset = lance.dataset(path)

    def append(self, first: int, count: int) -> None:
        import lance
        import pyarrow as pa

        table = pa.Table.from_batches([_record_batch(self._rows, first, count)])
        self._dataset = lance.write_dataset(table, self._path, mode="append")
        self._dataset.optimize.optimize_indices()
        self._dataset = lance.dataset(self._path)

    def read(self, name: str) -> bytes | None:
        table = self._dataset.to_table(columns=["payload"], filter=f"id = '{name}'")
        return table.column("payload")[0].as_py() if len(table) else None

    def nearest(self, number: int) -> list[str]:
        if self._quantiser is None:
            self._quantiser = Describer.load("classic").quantiser
        column = self._dataset.to_table(columns=["code"]).column("code")
        codes = b"".join(
            memoryview(part.buffers()[1])[part.offset * 8 : (part.offset + len(part)) * 8]
            for part in column.chunks
        )
        places = nearest_rows(codes, self._quantiser, self._rows.code(number))
        names: list[str] = self._dataset.take(places, columns=["id"]).column("id").to_pylist()
        return names

    def close(self) -> None:
        del self._dataset


def _record_batch(rows: Rows, first: int, count: int) -> Any:
    import pyarrow as pa

    numbers = range(first, first + count)
    packets = [rows.packet(number) for number in numbers]
    columns = {
        "id": pa.array([rows.name(number) for number in numbers], pa.string()),
        "label": pa.array([rows.label(number) for number in numbers], pa.string()),
        "code": pa.array([rows.code(number) for number in numbers], pa.binary(8)),
        "payload": pa.array([packet.payload for packet in packets], pa.binary()),
    }
    return pa.record_batch(columns)


class ZipStore:
    """One zip file, nothing compressed; label and code are the comment of each member."""

    title = "zip, stored"
    note = "Python's zipfile; code and label in each member's comment; closed by every append"

    def write(self, path: Path, rows: Rows, count: int, progress: Progress) -> None:
        """Make a store of the first images."""
        _write_members(path, "x", rows, 0, count, progress)

    def open(self, path: Path, rows: Rows) -> Opened:
        """Open a store to read and to append."""
        return _OpenZip(path, rows)


class _OpenZip:
    def __init__(self, path: Path, rows: Rows) -> None:
        self._path = path
        self._rows = rows
        self._quantiser: ProductQuantiser | None = None
        self._file = zipfile.ZipFile(path)

    def append(self, first: int, count: int) -> None:
        self._file.close()
        _write_members(self._path, "a", self._rows, first, count, _silent)
        self._file = zipfile.ZipFile(self._path)

    def read(self, name: str) -> bytes | None:
        try:
            return self._file.read(name)
        except KeyError:
            return None

    def nearest(self, number: int) -> list[str]:
        if self._quantiser is None:
            self._quantiser = Describer.load("classic").quantiser
        members = self._file.infolist()
        codes = b"".join(member.comment[:8] for member in members)
        places = nearest_rows(codes, self._quantiser, self._rows.code(number))
        return [members[place].filename for place in places]

    def close(self) -> None:
        self._file.close()


def _write_members(
    path: Path, mode: Any, rows: Rows, first: int, count: int, progress: Progress
) -> None:
    with zipfile.ZipFile(path, mode, zipfile.ZIP_STORED) as file:
        for number in range(first, first + count):
            packet = rows.packet(number)
            member = zipfile.ZipInfo(rows.name(number))
            member.comment = rows.code(number) + rows.label(number).encode()
            file.writestr(member, packet.payload)
            progress(number - first + 1)
    with path.open("rb+") as written:
        os.fsync(written.fileno())


class FolderStore:
    """A file for each image in a folder for each label, and one of all codes."""

    title = "folder of WebP files"
    note = "payloads as files, codes in one file of text; one sync of the disk after each write"

    def write(self, path: Path, rows: Rows, count: int, progress: Progress) -> None:
        """Make a store of the first images."""
        path.mkdir()
        opened = _OpenFolder(path, rows)
        for first in range(0, count, BATCH):
            opened.add_files(first, min(BATCH, count - first))
            progress(min(first + BATCH, count))
        os.sync()

    def open(self, path: Path, rows: Rows) -> Opened:
        """Open a store to read and to append."""
        return _OpenFolder(path, rows)


class _OpenFolder:
    def __init__(self, path: Path, rows: Rows) -> None:
        self._path = path
        self._rows = rows
        self._quantiser: ProductQuantiser | None = None

    def append(self, first: int, count: int) -> None:
        self.add_files(first, count)
        os.sync()

    def add_files(self, first: int, count: int) -> None:
        """Write images without waiting for the disk."""
        rows = self._rows
        for label in {rows.label(number) for number in range(first, first + count)}:
            (self._path / label).mkdir(exist_ok=True)
        with (self._path / "codes.txt").open("a") as codes:
            for number in range(first, first + count):
                packet, name = rows.packet(number), rows.name(number)
                (self._path / name).write_bytes(packet.payload)
                codes.write(f"{rows.code(number).hex()} {name}\n")

    def read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except FileNotFoundError:
            return None

    def nearest(self, number: int) -> list[str]:
        if self._quantiser is None:
            self._quantiser = Describer.load("classic").quantiser
        lines = (self._path / "codes.txt").read_text().splitlines()
        codes = bytes.fromhex("".join(line[:16] for line in lines))
        places = nearest_rows(codes, self._quantiser, self._rows.code(number))
        return [lines[place][17:] for place in places]

    def close(self) -> None:
        """Nothing is kept open."""


def _silent(_: int) -> None:
    """Tell nobody."""


CONTENDERS: dict[str, Contender] = {
    "kinpack": KinpackStore(),
    "sqlite": SqliteStore(),
    "lance": LanceStore(),
    "zip": ZipStore(),
    "folder": FolderStore(),
}
"""Every store that is measured, by its name in the results."""
