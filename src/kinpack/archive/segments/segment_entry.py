"""What a manifest says of one segment, deleted rows included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

from kinpack.archive.segments.code_file import CodeFile
from kinpack.archive.segments.fields import MalformedError, hexadecimal, integer, same_keys
from kinpack.archive.segments.index_file import IndexFile

Runs: TypeAlias = tuple[tuple[int, int], ...]
"""Rows as ``(first, one past the last)``, ascending and apart."""


MOST_ROWS = 1 << 20
"""Most images in a segment; writers begin another one long before."""

_LEAST_BYTES = 4
"""Bytes that each image takes of an index at least: a checksum, not packed."""


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """What a manifest says of one segment.

    Attributes:
        name: 32 hexadecimal digits; the file is ``segments/<name>.parquet``.
        bytes: size of the file.
        rows: images in it, deleted ones included.
        payload_bytes: sum of their payloads' lengths.
        sha256: of the whole file, hexadecimal.
        index_offset: byte at which all columns but the payload begin; the index goes to the end of
            the file, and the payloads end here.
        index_crc32: CRC-32 of the index.
        deleted: runs of deleted rows.
        codes: the files of its codes, one for each column that it has.
        index: the file that is read in place of the index in the segment's own, if there is one:
            its images were renamed.
    """

    name: str
    bytes: int
    rows: int
    payload_bytes: int
    sha256: str
    index_offset: int
    index_crc32: int
    deleted: Runs = ()
    codes: tuple[CodeFile, ...] = ()
    index: IndexFile | None = None

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return f"segments/{self.name}.parquet"

    @property
    def files(self) -> dict[str, int]:
        """Bytes of all files in the store that hold the segment, by their names."""
        others = (*self.codes, *((self.index,) if self.index else ()))
        return {self.file: self.bytes, **{one.file: one.bytes for one in others}}

    @property
    def code_bytes(self) -> dict[str, int]:
        """Bytes of the code of an image in each column that there is, by its name."""
        return {codes.column: codes.bytes // self.rows for codes in self.codes}

    def codes_of(self, column: str) -> CodeFile | None:
        """The file of the codes of a column, ``None`` where the segment has none."""
        return next((codes for codes in self.codes if codes.column == column), None)

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self.rows - length(self.deleted) if self.deleted else self.rows

    def without(self, rows: Iterable[int]) -> SegmentEntry:
        """The entry with further rows deleted.

        Args:
            rows: 0 for the segment's first image; in any order.
        """
        return replace(self, deleted=_runs_of(_rows_of(self.deleted).union(rows)))

    def deleted_since(self, former: SegmentEntry) -> Runs | None:
        """The rows that were deleted since another entry of the same segment.

        Returns:
            Their runs; ``None`` if this is no later entry of the same segment.
        """
        if replace(self, deleted=former.deleted) != former:
            return None
        now, then = _rows_of(self.deleted), _rows_of(former.deleted)
        return _runs_of(now - then) if then <= now else None

    def with_deleted(self, runs: Runs) -> SegmentEntry:
        """The entry with further runs deleted.

        Raises:
            MalformedError: one of the rows is deleted already, or not there.
        """
        merged: list[tuple[int, int]] = []
        for start, stop in sorted(runs + self.deleted):
            if stop > self.rows or (merged and start < merged[-1][1]):
                raise MalformedError(f"rows of {self.name} are deleted that are not there")
            if merged and start == merged[-1][1]:
                start = merged.pop()[0]
            merged.append((start, stop))
        return replace(self, deleted=tuple(merged))

    def with_restored(self, runs: Runs) -> SegmentEntry:
        """The entry with runs no longer deleted."""
        return replace(self, deleted=_runs_of(_rows_of(self.deleted) - _rows_of(runs)))

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON values."""
        values = {**asdict(self), "deleted": [list(run) for run in self.deleted]}
        values["codes"] = [asdict(codes) for codes in self.codes]
        for key in ("codes", "index"):
            if not values[key]:
                del values[key]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SegmentEntry:
        """The entry of JSON values, each checked.

        Raises:
            MalformedError: a value is missing, unknown or out of its range.
        """
        there = set(values) if isinstance(values, Mapping) else set()
        same_keys(values, set(cls.__dataclass_fields__) - ({"codes", "index"} - there), "segment")
        n_bytes = integer(values, "bytes", 1)
        rows = integer(values, "rows", 1, MOST_ROWS)
        index_offset = integer(values, "index_offset", 4, n_bytes - 1)
        if rows * _LEAST_BYTES > n_bytes - index_offset:
            raise MalformedError(f"{rows} rows are more than {n_bytes} bytes can hold")
        return cls(
            name=hexadecimal(values, "name", 32),
            bytes=n_bytes,
            rows=rows,
            payload_bytes=integer(values, "payload_bytes", 0, index_offset - 4),
            sha256=hexadecimal(values, "sha256", 64),
            index_offset=index_offset,
            index_crc32=integer(values, "index_crc32", 0, 0xFFFFFFFF),
            deleted=read_runs(values["deleted"], rows),
            codes=_read_codes(values["codes"], rows) if "codes" in there else (),
            index=IndexFile.from_dict(values["index"], rows=rows) if "index" in there else None,
        )


def _read_codes(values: Any, rows: int) -> tuple[CodeFile, ...]:
    if not isinstance(values, list) or not values:
        raise MalformedError("the codes of a segment are no list of files")
    codes = tuple(CodeFile.from_dict(value, rows=rows) for value in values)
    if len({one.column for one in codes}) < len(codes):
        raise MalformedError("a segment has two files of codes in one column")
    return codes


def read_runs(value: Any, rows: int) -> Runs:
    """Runs of JSON values, checked.

    Args:
        value: a list of pairs.
        rows: one past the highest row there may be.

    Raises:
        MalformedError: it is no list of runs, ascending and apart.
    """
    runs: list[tuple[int, int]] = []
    end = -1
    for run in value if isinstance(value, list) else [None]:
        if not (isinstance(run, list) and len(run) == 2 and all(type(x) is int for x in run)):
            raise MalformedError("deleted is no list of pairs of rows")
        start, stop = run
        if not end < start < stop <= rows:
            raise MalformedError("deleted rows are out of order or out of range")
        runs.append((start, stop))
        end = stop
    return tuple(runs)


def length(runs: Runs) -> int:
    """How many rows there are in runs."""
    return sum(stop - start for start, stop in runs)


def _rows_of(runs: Runs) -> set[int]:
    return {row for start, stop in runs for row in range(start, stop)}


def _runs_of(rows: Iterable[int]) -> Runs:
    runs: list[tuple[int, int]] = []
    for row in sorted(rows):
        if runs and runs[-1][1] == row:
            runs[-1] = (runs[-1][0], row + 1)
        else:
            runs.append((row, row + 1))
    return tuple(runs)
