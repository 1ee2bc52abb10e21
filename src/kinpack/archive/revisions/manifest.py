"""Manifests: the revisions of an archive, and the small JSON files that hold them.

Such a file is canonical JSON with a checksum, so that no byte of it can change unseen.
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import kinpack
from kinpack.archive.segments.code_file import column_name
from kinpack.archive.segments.fields import (
    MalformedError,
    hexadecimal,
    integer,
    same_keys,
    shallow,
)
from kinpack.archive.segments.segment_entry import Runs, SegmentEntry
from kinpack.archive.stores.store import FOLDER, FORMAT
from kinpack.column_types import Schema
from kinpack.errors import ArchiveError

TIME = "%Y-%m-%dT%H:%M:%SZ"
"""How times are written, which are in UTC."""

HIGHEST = 9_999_999_999
"""Highest number that a commit may have."""

_NAME = re.compile(r"manifests/(\d{10})\.json", re.ASCII)


@dataclass(frozen=True, slots=True)
class DescriberEntry:
    """What a manifest says of a describer by whose codes the archive is searched.

    Attributes:
        name: of its column of codes.
        sha256: of the describer file, hexadecimal.
        bytes: size of the describer file.
    """

    name: str
    sha256: str
    bytes: int

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return describer_file(self.sha256)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DescriberEntry:
        """The entry of JSON values, each checked.

        Raises:
            MalformedError: a value is missing, unknown or out of its range.
        """
        same_keys(values, cls.__dataclass_fields__, "describer")
        return cls(
            column_name(values["name"]),
            hexadecimal(values, "sha256", 64),
            integer(values, "bytes", 1),
        )


@dataclass(frozen=True)
class Manifest:
    """One commit: the revision of an archive, whole.

    Attributes:
        number: 1 for the first commit, then one more each; 0 stands for an archive that nothing
            was committed to, and is never written.
        archive: the archive's identity, 32 hexadecimal digits; all commits of one have the same.
        parent: checksum of the commit before, ``None`` for the first.
        created: when, in UTC, as ISO 8601 to the second.
        writer: version of kinpack that wrote it.
        codec: SHA-256 of the codec file, hexadecimal.
        codec_bytes: size of the codec file.
        segments: in the order in which they were added.
        metadata: what the archive's maker noted (settings, source); kept by later commits.
        change: what this commit did: its ``verb`` and counts.
        base: an earlier revision, if the file says only what has changed since then.
        describers: those by whose codes the archive is searched, the usual one first.
        columns: the types of the columns that users added, by their names.
    """

    number: int
    archive: str
    parent: str | None
    created: str
    writer: str
    codec: str
    codec_bytes: int
    segments: tuple[SegmentEntry, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    base: Manifest | None = field(default=None, compare=False, repr=False)
    describers: tuple[DescriberEntry, ...] = ()
    columns: Schema = field(default_factory=dict)

    @classmethod
    def unborn(
        cls,
        codec: str,
        codec_bytes: int,
        metadata: Mapping[str, Any] | None = None,
        *,
        describers: tuple[DescriberEntry, ...] = (),
    ) -> Manifest:
        """The revision before the first commit of a new archive, which gets an identity.

        Args:
            codec: SHA-256 of the codec file, hexadecimal.
            codec_bytes: size of the codec file.
            metadata: JSON values.
            describers: those by whose codes it is to be searched, the usual one first.

        Raises:
            ArchiveError: the metadata are no JSON values.
        """
        try:
            plain = json.loads(canonical(dict(metadata or {})))
            shallow(plain, "metadata")
        except (TypeError, ValueError, RecursionError) as error:
            raise ArchiveError(f"metadata of an archive must be JSON values: {error}") from error
        return cls(
            0,
            uuid.uuid4().hex,
            None,
            datetime.now(UTC).strftime(TIME),
            kinpack.__version__,
            codec,
            codec_bytes,
            (),
            plain,
            describers=describers,
        )

    def following(
        self,
        segments: tuple[SegmentEntry, ...],
        change: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any] | None = None,
        describers: tuple[DescriberEntry, ...] | None = None,
        columns: Schema | None = None,
    ) -> Manifest:
        """The next commit.

        Its file says only what has changed since an earlier one where that is short: since the one
        before, or at every fourth, sixteenth, … commit the one four, sixteen, … before. So a
        revision takes few files to read, and many small commits few bytes to write.

        Args:
            segments: all segments of the new revision; those without a live row are left out.
            change: what the commit does, JSON values.
            metadata: what the archive notes from the first commit on; else it stays what it was.
            describers: by whose codes it is searched from now on; else they stay what they were.
            columns: those that users added, from now on; else they stay what they were.
        """
        same = describers is None or describers == self.describers
        same = same and (columns is None or dict(columns) == dict(self.columns))
        left = tuple(segment for segment in segments if segment.live)
        return Manifest(
            number=self.number + 1,
            archive=self.archive,
            parent=self.checksum if self.number else None,
            created=datetime.now(UTC).strftime(TIME),
            writer=kinpack.__version__,
            codec=self.codec,
            codec_bytes=self.codec_bytes,
            segments=left,
            metadata=self.metadata if metadata is None else dict(metadata),
            change=dict(change),
            base=self._base_of_next(left) if same else None,
            describers=self.describers if describers is None else describers,
            columns=self.columns if columns is None else dict(columns),
        )

    def _base_of_next(self, segments: tuple[SegmentEntry, ...]) -> Manifest | None:
        """The revision on which the next file builds; ``None`` if it is to be whole."""
        if not self.number:
            return None
        step = 1
        while (self.number + 1) % (4 * step) == 0:
            step *= 4
        base = self
        while base.base is not None and base.base.number >= self.number + 1 - step:
            base = base.base
        since = base.changes_to(segments)
        if since is None or 2 * (len(since[0]) + len(since[1])) >= len(segments):
            return None
        return base

    def changes_to(
        self, segments: tuple[SegmentEntry, ...]
    ) -> tuple[tuple[SegmentEntry, ...], dict[str, Runs]] | None:
        """What leads from this revision's segments to a later one's.

        Returns:
            The segments that were added, and by name the rows that were deleted of those that were
            there; ``None`` if more has changed than that.
        """
        if len(segments) < len(self.segments):
            return None
        deleted: dict[str, Runs] = {}
        for old, new in zip(self.segments, segments, strict=False):
            if new is not old and new != old:
                runs = new.deleted_since(old)
                if runs is None:
                    return None
                deleted[old.name] = runs
        return segments[len(self.segments) :], deleted

    @property
    def file(self) -> str:
        """Name of the file in the store."""
        return manifest_file(self.number)

    @property
    def codec_file(self) -> str:
        """Name of the codec's file in the store."""
        return codec_file(self.codec)

    def describer(self, name: str) -> DescriberEntry | None:
        """What is said of the describer of a column of codes, ``None`` if there is none."""
        return next((entry for entry in self.describers if entry.name == name), None)

    @property
    def images(self) -> int:
        """Images that the archive holds, deleted ones left out."""
        return sum(segment.live for segment in self.segments)

    @property
    def bytes_on_disk(self) -> int:
        """Bytes that the revision takes: segments, codes and its own file."""
        files = sum(sum(segment.files.values()) for segment in self.segments)
        return files + len(self.to_bytes())

    def to_dict(self) -> dict[str, Any]:
        """The file's JSON values, without its checksum."""
        body: dict[str, Any] = {
            "format": FORMAT,
            "archive": self.archive,
            "number": self.number,
            "parent": self.parent,
            "created": self.created,
            "kinpack": self.writer,
            "change": dict(self.change),
        }
        since = self.base.changes_to(self.segments) if self.base else None
        if self.base is None or since is None:
            body["codec"] = {"sha256": self.codec, "bytes": self.codec_bytes}
            body["segments"] = [segment.to_dict() for segment in self.segments]
            body["metadata"] = dict(self.metadata)
            if self.describers:
                body["describers"] = [asdict(entry) for entry in self.describers]
            if self.columns:
                body["columns"] = dict(self.columns)
        else:
            body["base"] = {"number": self.base.number, "checksum": self.base.checksum}
            body["segments"] = [segment.to_dict() for segment in since[0]]
            body["deleted"] = {name: [list(run) for run in runs] for name, runs in since[1].items()}
        return body

    @cached_property
    def checksum(self) -> str:
        """SHA-256, hexadecimal, of the canonical form of all that the file says."""
        return digest(self.to_dict())

    def to_bytes(self) -> bytes:
        """The file's content: canonical JSON with a checksum of all the rest."""
        return canonical({**self.to_dict(), "checksum": self.checksum}) + b"\n"


def codec_file(codec: str) -> str:
    """Name of a codec's file in the store, from its SHA-256 in hexadecimal."""
    return f"codecs/{codec}.kinc"


def describer_file(describer: str) -> str:
    """Name of a describer's file in the store, from its SHA-256 in hexadecimal."""
    return f"describers/{describer}.kine"


def describer_entry(name: str, data: bytes) -> DescriberEntry:
    """What is to be said of a describer file under a name."""
    return DescriberEntry(name, hashlib.sha256(data).hexdigest(), len(data))


def manifest_file(number: int) -> str:
    """Name of a manifest's file in the store."""
    return f"{FOLDER}{number:010d}.json"


def manifest_number(file: str) -> int | None:
    """Number of the manifest that a file's name stands for, ``None`` if it is no such name."""
    match = _NAME.fullmatch(file)
    return int(match.group(1)) if match else None


def canonical(value: Any) -> bytes:
    """Spell JSON values the one way: keys in order, no spaces, ASCII alone.

    Raises:
        ValueError: a number is infinite or none, or the value contains itself.
        TypeError: a value is none of JSON's.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256, hexadecimal, of the canonical form of an object without its ``checksum``."""
    return hashlib.sha256(canonical(body)).hexdigest()


def unsealed(data: bytes) -> dict[str, Any]:
    """Read the file of a manifest, every byte of it checked.

    Returns:
        The object, its ``checksum`` included.

    Raises:
        MalformedError: a byte of it has changed, or it is no such file.
    """
    try:
        body = json.loads(data)
        if not isinstance(body, dict):
            raise MalformedError("it is no JSON object")
        checksum = body.pop("checksum", None)
        if checksum != digest(body):
            raise MalformedError("its checksum does not hold")
        body["checksum"] = checksum
        if canonical(body) + b"\n" != data:
            raise MalformedError("its form is not canonical")
    except (ValueError, RecursionError) as error:
        raise MalformedError("it is no JSON") from error
    return body
