"""Parts: images that are stored in segments of their own, which no manifest names yet."""

from __future__ import annotations

from array import array
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.fields import (
    MalformedError,
    hexadecimal,
    integer,
    of_type,
    same_keys,
)
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.column_types import Schema, check_schema

_LARGEST = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Images that are stored in segments of their own, which no manifest names yet.

    It pickles, and takes some 24 bytes an image: it is what comes back from wherever images are
    coded, to be committed together with others.

    Attributes:
        shard: what the images were called together, or what tells that they are the same again.
        items: pictures that were looked at, those that cannot be read included.
        segments: what a manifest is to say of the segments, in order.
        schema: the types of the columns that users added, by their names.
        ids: a hash of each row's id, 8 bytes each.
        sums: of each row, by which repeated payloads are found, 8 bytes each.
        psnr: of each row in dB, 8 bytes each; empty where none was measured.
        broken: pictures that cannot be read: place among the items, id, and reason.
        damaged: ids of pictures that were taken although a part is missing, each with the share.
        unsafe: ids that are no paths which every system takes for a file.
    """

    shard: str
    items: int
    segments: tuple[SegmentEntry, ...] = ()
    schema: Schema
    ids: bytes = b""
    sums: bytes = b""
    psnr: bytes = b""
    broken: tuple[tuple[int, str, str], ...] = ()
    damaged: tuple[tuple[str, float], ...] = ()
    unsafe: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Images that are stored."""
        return sum(entry.rows for entry in self.segments)

    @property
    def files(self) -> dict[str, int]:
        """Bytes of all files that hold the images, by their names."""
        return {name: size for entry in self.segments for name, size in entry.files.items()}

    @property
    def id_hashes(self) -> NDArray[np.uint64]:
        """The hash of each row's id, uint64 (rows,)."""
        return np.frombuffer(self.ids, "<u8")

    def to_dict(self) -> dict[str, Any]:
        """The part as JSON values."""
        return {
            "shard": self.shard,
            "items": self.items,
            "segments": [entry.to_dict() for entry in self.segments],
            "schema": dict(self.schema),
            "ids": b64encode(self.ids).decode(),
            "sums": b64encode(self.sums).decode(),
            "psnr": b64encode(self.psnr).decode(),
            "broken": [list(one) for one in self.broken],
            "damaged": [list(one) for one in self.damaged],
            "unsafe": list(self.unsafe),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Part:
        """The part of JSON values, each checked.

        Raises:
            MalformedError: a value is missing, unknown or out of its range.
        """
        same_keys(values, cls.__dataclass_fields__, "part")
        segments = tuple(map(SegmentEntry.from_dict, of_type(values, "segments", list)))
        rows = sum(entry.rows for entry in segments)
        schema = of_type(values, "schema", dict)
        try:
            columns = check_schema(schema) if schema else {}
        except (TypeError, ValueError) as error:
            raise MalformedError(f"its columns are malformed: {error}") from error
        items = integer(values, "items", 1, _LARGEST)
        broken = _rows_of(values, "broken", (int, str, str))
        damaged = _rows_of(values, "damaged", (str, float))
        if rows + len(broken) != items or any(not 0 <= place < items for place, *_ in broken):
            raise MalformedError(f"{rows} rows and {len(broken)} broken pictures of {items}")
        if any(type(name) is not str for name in of_type(values, "unsafe", list)):
            raise MalformedError("an unsafe id is no text")
        return cls(
            shard=hexadecimal(values, "shard", 64),
            items=items,
            segments=segments,
            schema=columns,
            ids=_numbers(values, "ids", rows),
            sums=_numbers(values, "sums", rows),
            psnr=_numbers(values, "psnr", rows) if values["psnr"] else b"",
            broken=tuple((int(place), str(name), str(why)) for place, name, why in broken),
            damaged=tuple((str(name), float(share)) for name, share in damaged),
            unsafe=tuple(values["unsafe"]),
        )


def id_hash(name: str) -> int:
    """The hash of an id by which two parts are seen to have the same one."""
    text = name.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def eight_bytes(values: Iterable[int] | Iterable[float], kind: str) -> bytes:
    """Numbers of 8 bytes each, the least byte first.

    Args:
        values: the numbers.
        kind: "u" for whole ones, "f" for others.
    """
    return np.asarray(array({"u": "Q", "f": "d"}[kind], values), f"<{kind}8").tobytes()


def _numbers(values: Mapping[str, Any], key: str, rows: int) -> bytes:
    try:
        data = b64decode(of_type(values, key, str), validate=True)
    except ValueError as error:
        raise MalformedError(f"{key} is no base64") from error
    if len(data) != 8 * rows:
        raise MalformedError(f"{key} has {len(data)} bytes for {rows} rows")
    return data


def _rows_of(values: Mapping[str, Any], key: str, kinds: tuple[type, ...]) -> list[list[Any]]:
    rows: list[list[Any]] = of_type(values, key, list)
    for row in rows:
        if not isinstance(row, list) or tuple(map(type, row)) != kinds:
            raise MalformedError(f"{key} has a row of other values")
    return rows
