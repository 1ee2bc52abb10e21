"""Records: what one manifest file says: a whole revision, or what changed since an earlier one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kinpack.archive.revisions.manifest import HIGHEST, DescriberEntry, Manifest, unsealed
from kinpack.archive.segments.fields import (
    MalformedError,
    hexadecimal,
    integer,
    of_type,
    same_keys,
    shallow,
)
from kinpack.archive.segments.segment_entry import Runs, SegmentEntry, length, read_runs
from kinpack.archive.stores.store import FORMAT
from kinpack.column_types import Schema, check_schema
from kinpack.errors import ArchiveError

_EVERY = (
    *("format", "archive", "number", "parent", "created", "kinpack", "segments", "change"),
    "checksum",
)
_WHOLE = (*_EVERY, "codec", "metadata")
_CHANGES = (*_EVERY, "base", "deleted")


@dataclass(frozen=True, slots=True)
class Record:
    """What one manifest file says: a whole revision, or what has changed since another one.

    Attributes:
        number: of the commit; ``archive``, ``parent``, ``created``, ``writer`` and ``change`` as
            in ``Manifest``.
        archive: the archive's identity.
        parent: checksum of the commit before.
        created: when.
        writer: version of kinpack.
        change: what the commit did.
        checksum: of the file.
        base: number and checksum of the manifest that it builds on; ``None`` if it is whole.
        segments: all of the revision's, or those added since the base.
        deleted: rows deleted since the base, by the segment's name.
        codec: SHA-256 of the codec file; empty if the base says it.
        codec_bytes: size of the codec file.
        metadata: what the archive's maker noted; empty if the base says it.
        describers: by whose codes the archive is searched; empty if the base says it.
        columns: that users added; empty if the base says it.
    """

    number: int
    archive: str
    parent: str | None
    created: str
    writer: str
    change: Mapping[str, Any]
    checksum: str
    base: tuple[int, str] | None
    segments: tuple[SegmentEntry, ...]
    deleted: Mapping[str, Runs]
    codec: str
    codec_bytes: int
    metadata: Mapping[str, Any]
    describers: tuple[DescriberEntry, ...]
    columns: Schema

    @classmethod
    def from_bytes(cls, data: bytes, *, where: str) -> Record:
        """Read a manifest file, every byte of it checked.

        Args:
            data: the file's content.
            where: its name for messages.

        Raises:
            ArchiveError: it is damaged, or of a newer format.
        """
        try:
            body = unsealed(data)
            if type(body.get("format")) is int and body["format"] > FORMAT:
                raise MalformedError("it is of a newer format")
            return cls._checked(body)
        except MalformedError as error:
            _refuse_newer(data, where)
            raise _damaged(where, error) from error

    @classmethod
    def _checked(cls, body: dict[str, Any]) -> Record:
        whole = "base" not in body
        more = [key for key in ("describers", "columns") if whole and key in body]
        same_keys(body, (*_WHOLE, *more) if whole else _CHANGES, "manifest")
        if body["format"] != FORMAT or type(body["format"]) is not int:
            raise MalformedError(f"format {body['format']!r} is unknown")
        shallow(body["change"], "values of change")
        shallow(body.get("metadata"), "metadata")
        number = integer(body, "number", 1, HIGHEST)
        first = body["parent"] is None
        if first != (number == 1):
            raise MalformedError(f"manifest {number} has {'no' if first else 'a'} parent")
        base, deleted, codec, codec_bytes = None, {}, "", 0
        describers: tuple[DescriberEntry, ...] = ()
        if whole:
            same_keys(body["codec"], ("sha256", "bytes"), "codec")
            codec = hexadecimal(body["codec"], "sha256", 64)
            codec_bytes = integer(body["codec"], "bytes", 0)
            if "describers" in more:
                describers = tuple(map(DescriberEntry.from_dict, of_type(body, "describers", list)))
                if not describers or len({one.name for one in describers}) < len(describers):
                    raise MalformedError("its describers are none, or two of one name")
        else:
            same_keys(body["base"], ("number", "checksum"), "base")
            base = (
                integer(body["base"], "number", 1, number - 1),
                hexadecimal(body["base"], "checksum", 64),
            )
            runs = of_type(body, "deleted", dict)
            deleted = {name: read_runs(value, HIGHEST) for name, value in runs.items()}
        return cls(
            number=number,
            archive=hexadecimal(body, "archive", 32),
            parent=None if first else hexadecimal(body, "parent", 64),
            created=of_type(body, "created", str),
            writer=of_type(body, "kinpack", str),
            change=of_type(body, "change", dict),
            checksum=body["checksum"],
            base=base,
            segments=tuple(map(SegmentEntry.from_dict, of_type(body, "segments", list))),
            deleted=deleted,
            codec=codec,
            codec_bytes=codec_bytes,
            metadata=of_type(body, "metadata", dict) if whole else {},
            describers=describers,
            columns=_columns(of_type(body, "columns", dict)) if "columns" in more else {},
        )

    @property
    def images(self) -> int:
        """Images of the revision, or how many more it has than the base (fewer if negative)."""
        new = sum(segment.live for segment in self.segments)
        return new - sum(length(runs) for runs in self.deleted.values())

    def on(self, base: Manifest | None, *, where: str) -> Manifest:
        """The revision that the file stands for.

        Args:
            base: the revision that it builds on; ``None`` if it is whole.
            where: the file's name for messages.

        Raises:
            ArchiveError: it builds on another revision, or does not fit it.
        """
        segments, codec, codec_bytes = self.segments, self.codec, self.codec_bytes
        metadata, describers, columns = self.metadata, self.describers, self.columns
        if self.base is None:
            base = None
        elif base is None or (base.number, base.checksum) != self.base:
            raise _damaged(where, f"it builds on another manifest {self.base[0]} than there is")
        elif base.archive != self.archive:
            raise _damaged(
                where, f"manifest {base.number}, on which it builds, is another archive's"
            )
        elif base.number == self.number - 1 and base.checksum != self.parent:
            raise _damaged(where, "it builds on another manifest than it follows")
        else:
            codec, codec_bytes, metadata = base.codec, base.codec_bytes, base.metadata
            describers, columns = base.describers, base.columns
            try:
                segments = self._without_deleted(base.segments) + self.segments
            except MalformedError as error:
                raise _damaged(where, error) from error
        for entry in self.segments:
            if strange := entry.code_bytes.keys() - {one.name for one in describers}:
                raise _damaged(
                    where, f"segment {entry.name} has codes of {min(strange)!r}, no describer of it"
                )
        manifest = Manifest(
            number=self.number,
            archive=self.archive,
            parent=self.parent,
            created=self.created,
            writer=self.writer,
            codec=codec,
            codec_bytes=codec_bytes,
            segments=segments,
            metadata=metadata,
            change=self.change,
            base=base,
            describers=describers,
            columns=columns,
        )
        vars(manifest)["checksum"] = self.checksum  # known already: it is not computed again
        return manifest

    def _without_deleted(self, segments: tuple[SegmentEntry, ...]) -> tuple[SegmentEntry, ...]:
        if not self.deleted:
            return segments
        places = {segment.name: place for place, segment in enumerate(segments)}
        changed = list(segments)
        for name, runs in self.deleted.items():
            if name not in places:
                raise MalformedError(f"rows of {name} are deleted, which it does not hold")
            changed[places[name]] = segments[places[name]].with_deleted(runs)
        return tuple(changed)


def _columns(found: dict[str, Any]) -> Schema:
    """The columns that users added, each checked."""
    try:
        if not found:
            raise ValueError("there are none")
        return check_schema(found)
    except (TypeError, ValueError) as error:
        raise MalformedError(f"its columns are malformed: {error}") from error


def _damaged(where: str, reason: object) -> ArchiveError:
    return ArchiveError(
        f"{where}: damaged manifest: {reason}; restore the file from a copy, open an earlier "
        "revision by its number, or save what is whole with: kinpack repair"
    )


def _refuse_newer(data: bytes, where: str) -> None:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError):
        return
    version = body.get("format") if isinstance(body, dict) else None
    if type(version) is int and version > FORMAT:
        raise ArchiveError(
            f"{where}: format {version} is newer than this kinpack reads ({FORMAT}), or the file "
            "is damaged; install a newer kinpack"
        )
