"""Manifests: one small JSON file for every commit, which names all that the archive then holds."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import kinpack
from kinpack.archive.store import Store
from kinpack.errors import ArchiveError

FORMAT = 1
"""Number of the archive format that this version writes, and the newest that it reads."""

FOLDER = "manifests/"

_NAME = re.compile(r"manifests/(\d{10})\.json")
_UUID = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LARGEST = 1 << 60


class _MalformedError(ArchiveError):
    """A field of a manifest is missing or out of its range; the text says which."""


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
        deleted: runs of deleted rows, ``(first, one past the last)``, ascending and apart.
    """

    name: str
    bytes: int
    rows: int
    payload_bytes: int
    sha256: str
    index_offset: int
    index_crc32: int
    deleted: tuple[tuple[int, int], ...] = ()

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return f"segments/{self.name}.parquet"

    @property
    def live(self) -> int:
        """Rows that are not deleted."""
        return self.rows - sum(stop - start for start, stop in self.deleted)

    def without(self, rows: Iterable[int]) -> SegmentEntry:
        """The entry with further rows deleted.

        Args:
            rows: 0 for the segment's first image; in any order.
        """
        dead = {row for start, stop in self.deleted for row in range(start, stop)}.union(rows)
        runs: list[tuple[int, int]] = []
        for row in sorted(dead):
            if runs and runs[-1][1] == row:
                runs[-1] = (runs[-1][0], row + 1)
            else:
                runs.append((row, row + 1))
        return replace(self, deleted=tuple(runs))

    def to_dict(self) -> dict[str, Any]:
        """The entry as JSON values."""
        return {**asdict(self), "deleted": [list(run) for run in self.deleted]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SegmentEntry:
        """The entry of JSON values, each checked.

        Raises:
            ArchiveError: a value is missing, unknown or out of its range.
        """
        _same_keys(values, cls.__dataclass_fields__, "segment")
        n_bytes = _integer(values, "bytes", 1)
        rows = _integer(values, "rows", 1)
        index_offset = _integer(values, "index_offset", 4, n_bytes - 1)
        return cls(
            name=_match(values, "name", _UUID),
            bytes=n_bytes,
            rows=rows,
            payload_bytes=_integer(values, "payload_bytes", 0, index_offset - 4),
            sha256=_match(values, "sha256", _SHA256),
            index_offset=index_offset,
            index_crc32=_integer(values, "index_crc32", 0, 0xFFFFFFFF),
            deleted=_runs(values["deleted"], rows),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """One commit: the state of an archive, whole.

    Attributes:
        number: 1 for the first commit, then one more each; 0 stands for an archive that nothing
            was committed to, and is never written.
        parent: number of the commit that this one followed, ``None`` for the first.
        created: when, in UTC, as ISO 8601 to the second.
        writer: version of kinpack that wrote it.
        codec: SHA-256 of the codec file, hexadecimal.
        codec_bytes: size of the codec file.
        segments: in the order in which they were added.
        metadata: what the archive's maker noted (settings, source); kept by later commits.
        change: what this commit did: its ``verb`` and counts.
    """

    number: int
    parent: int | None
    created: str
    writer: str
    codec: str
    codec_bytes: int
    segments: tuple[SegmentEntry, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def unborn(
        cls, codec: str, codec_bytes: int, metadata: Mapping[str, Any] | None = None
    ) -> Manifest:
        """The state before the first commit.

        Args:
            codec: SHA-256 of the codec file, hexadecimal.
            codec_bytes: size of the codec file.
            metadata: JSON values.

        Raises:
            ArchiveError: the metadata are no JSON values.
        """
        try:
            plain = json.loads(_canonical(dict(metadata or {})))
        except (TypeError, ValueError, RecursionError) as error:
            raise ArchiveError(f"metadata of an archive must be JSON values: {error}") from error
        return cls(0, None, _now(), kinpack.__version__, codec, codec_bytes, (), plain)

    def following(self, segments: tuple[SegmentEntry, ...], change: Mapping[str, Any]) -> Manifest:
        """The next commit.

        Args:
            segments: all segments of the new state; those without a live row are left out.
            change: what the commit does, JSON values.
        """
        return Manifest(
            number=self.number + 1,
            parent=self.number or None,
            created=_now(),
            writer=kinpack.__version__,
            codec=self.codec,
            codec_bytes=self.codec_bytes,
            segments=tuple(segment for segment in segments if segment.live),
            metadata=self.metadata,
            change=dict(change),
        )

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return manifest_file(self.number)

    @property
    def codec_file(self) -> str:
        """Name of the codec's file in the store."""
        return f"codecs/{self.codec}.kinc"

    @property
    def images(self) -> int:
        """Images that the archive holds, deleted ones left out."""
        return sum(segment.live for segment in self.segments)

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON values, without its checksum."""
        return {
            "format": FORMAT,
            "number": self.number,
            "parent": self.parent,
            "created": self.created,
            "kinpack": self.writer,
            "codec": {"sha256": self.codec, "bytes": self.codec_bytes},
            "segments": [segment.to_dict() for segment in self.segments],
            "metadata": dict(self.metadata),
            "change": dict(self.change),
        }

    def to_bytes(self) -> bytes:
        """The file's content: canonical JSON with a checksum of all the rest.

        Canonical means keys in order, no spaces, ASCII alone, and a newline at the end, so that a
        reader compares bytes: no change of any of them goes unseen.
        """
        body = self.to_dict()
        return _canonical({**body, "checksum": _digest(body)}) + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Manifest:
        """Read a manifest, every byte of it checked.

        Args:
            data: the file's content.
            where: its name for messages.

        Raises:
            ArchiveError: it is damaged, or of a newer format.
        """
        damaged = f"{where}: damaged manifest"
        cure = "restore the file from a copy, or open an earlier state by its number"
        try:
            body = json.loads(data)
            if not isinstance(body, dict):
                raise _MalformedError("it is no JSON object")
            if type(version := body.get("format")) is int and version > FORMAT:
                raise ArchiveError(
                    f"{where}: format {version} is newer than this kinpack reads ({FORMAT}), or "
                    "the file is damaged; install a newer kinpack"
                )
            checksum = body.pop("checksum", None)
            if checksum != _digest(body):
                raise _MalformedError("its checksum does not hold")
            if _canonical({**body, "checksum": checksum}) + b"\n" != data:
                raise _MalformedError("its form is not canonical")
            return cls._checked(body)
        except _MalformedError as error:
            raise ArchiveError(f"{damaged}: {error}; {cure}") from error
        except (ValueError, RecursionError) as error:
            raise ArchiveError(f"{damaged}: it is no JSON; {cure}") from error

    @classmethod
    def _checked(cls, body: dict[str, Any]) -> Manifest:
        _same_keys(
            body,
            (
                "format",
                "number",
                "parent",
                "created",
                "kinpack",
                "codec",
                "segments",
                "metadata",
                "change",
            ),
            "manifest",
        )
        if body["format"] != FORMAT or type(body["format"]) is not int:
            raise _MalformedError(f"format {body['format']!r} is unknown")
        number = _integer(body, "number", 1, 9_999_999_999)
        codec, segments = body["codec"], body["segments"]
        if not isinstance(codec, dict) or not isinstance(segments, list):
            raise _MalformedError("codec or segments are of the wrong type")
        for key, kind in (("created", str), ("kinpack", str), ("metadata", dict), ("change", dict)):
            if not isinstance(body[key], kind):
                raise _MalformedError(f"{key} is of the wrong type")
        _same_keys(codec, ("sha256", "bytes"), "codec")
        return cls(
            number=number,
            parent=None if body["parent"] is None else _integer(body, "parent", 1, number - 1),
            created=body["created"],
            writer=body["kinpack"],
            codec=_match(codec, "sha256", _SHA256),
            codec_bytes=_integer(codec, "bytes", 0),
            segments=tuple(SegmentEntry.from_dict(entry) for entry in segments),
            metadata=body["metadata"],
            change=body["change"],
        )


def manifest_file(number: int) -> str:
    """Name of a manifest's file in the store."""
    return f"{FOLDER}{number:010d}.json"


def manifest_number(file: str) -> int | None:
    """Number of the manifest that a file's name stands for, ``None`` if it is no such name."""
    match = _NAME.fullmatch(file)
    return int(match.group(1)) if match else None


def manifest_numbers(store: Store) -> list[int]:
    """Numbers of all manifests in a store, ascending.

    Raises:
        ArchiveError: the store cannot be read.
    """
    numbers = (manifest_number(name) for name in store.list(FOLDER))
    return [number for number in numbers if number is not None]


def load_manifest(store: Store, at: int | None = None) -> Manifest:
    """Read the newest manifest, or one by its number.

    Args:
        store: the archive's store.
        at: the number; ``None`` for the newest.

    Raises:
        ArchiveError: there is none, or it is damaged.
    """
    numbers = manifest_numbers(store)
    if not numbers:
        raise ArchiveError(
            f"{store.where('')}: no kinpack archive: it has no manifests; name another path, or "
            "make an archive with: kinpack pack SOURCE -o ARCHIVE"
        )
    number = numbers[-1] if at is None else at
    if number not in numbers:
        raise ArchiveError(
            f"{store.where('')}: there is no state {number}; it has {numbers[0]} to {numbers[-1]}"
        )
    name = manifest_file(number)
    manifest = Manifest.from_bytes(store.read(name), where=store.where(name))
    if manifest.number != number:
        raise ArchiveError(
            f"{store.where(name)}: this is manifest {manifest.number} under a wrong name; give it "
            "back its own name"
        )
    return manifest


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _canonical(value: Any) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()


def _same_keys(values: Any, expected: Any, what: str) -> None:
    if not isinstance(values, Mapping) or set(values) != set(expected):
        raise _MalformedError(f"a {what} has other fields than {', '.join(expected)}")


def _integer(values: Mapping[str, Any], key: str, low: int, high: int = _LARGEST) -> int:
    value = values[key]
    if type(value) is not int or not low <= value <= high:
        raise _MalformedError(f"{key} is {value!r}, not an integer from {low} to {high}")
    return value


def _match(values: Mapping[str, Any], key: str, pattern: re.Pattern[str]) -> str:
    value = values[key]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise _MalformedError(f"{key} is {value!r}, not hexadecimal digits of the right number")
    return value


def _runs(value: Any, rows: int) -> tuple[tuple[int, int], ...]:
    runs: list[tuple[int, int]] = []
    end = -1
    for run in value if isinstance(value, list) else [None]:
        if not (isinstance(run, list) and len(run) == 2 and all(type(x) is int for x in run)):
            raise _MalformedError("deleted is no list of pairs of rows")
        start, stop = run
        if not end < start < stop <= rows:
            raise _MalformedError("deleted rows are out of order or out of range")
        runs.append((start, stop))
        end = stop
    return tuple(runs)
