"""Copying: the images of archives of one codec become a new archive, byte for byte."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.adding.picture_loading import Duplicates
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.measured_quality import REACHED
from kinpack.archive.revisions.new_archive import building, commit_first
from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.snapshot import live_rows
from kinpack.archive.revisions.stored_codec import read_codec, read_describer, store_files
from kinpack.archive.segments.code_file import read_code_file
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import SegmentStream, is_small
from kinpack.archive.stores.store import Store
from kinpack.column_types import Schema, joined
from kinpack.errors import ArchiveError
from kinpack.progress import Progress


@dataclass(slots=True)
class CopyReport:
    """What came of copying.

    Attributes:
        images: images of the new archive.
        skipped: images left out since one of the same id came before.
        replaced: images left out since one of the same id came after.
    """

    images: int = 0
    skipped: int = 0
    replaced: int = 0


def copy(
    source: Readable, target: str | os.PathLike[str], *, progress: Progress | None = None
) -> CopyReport:
    """Write the revision that an archive shows as a new archive, without history or deleted images.

    Args:
        source: the archive, open or by its path or address.
        target: the new archive's folder or address, where there must be none.
        progress: called with the number of images just copied.

    Raises:
        ArchiveError: the path exists or cannot be written, or a file is missing or damaged.
        PayloadError: a packet is damaged.
    """
    with opened(source) as reader:
        verb = {"verb": "copy", "from": reader.manifest.number}
        return _write([reader], target, "error", verb, progress)


def merge(
    sources: Iterable[Readable],
    target: str | os.PathLike[str],
    *,
    on_duplicate: Duplicates = "error",
    progress: Progress | None = None,
) -> CopyReport:
    """Write the images of several archives of the same codec and describers as one new archive.

    Args:
        sources: the archives, open or by their paths or addresses, whose images follow each other
            in this order; the metadata are the first one's.
        target: the new archive's folder or address, where there must be none.
        on_duplicate: for an id that several hold: ``error`` refuses all, ``skip`` takes the first
            one's image, ``replace`` the last one's.
        progress: called with the number of images just copied.

    Raises:
        ArchiveError: the codecs or describers differ, an id is there twice, the path exists or
            cannot be written, or a file is missing or damaged.
        PayloadError: a packet is damaged.
    """
    single = isinstance(sources, (str, os.PathLike, Reader)) or not isinstance(sources, Iterable)
    several: Iterable[Any] = [sources] if single else sources
    with ExitStack() as open_now:
        readers = [open_now.enter_context(opened(source)) for source in several]
        return _write(readers, target, on_duplicate, {"verb": "merge"}, progress)


def _write(
    sources: Sequence[Reader],
    target: str | os.PathLike[str],
    on_duplicate: Duplicates,
    change: dict[str, object],
    progress: Progress | None,
) -> CopyReport:
    if not sources:
        raise ArchiveError(f"{os.fspath(target)}: no archives were named; name one or more")
    first = sources[0].manifest
    for source in sources[1:]:
        if source.manifest.codec != first.codec:
            raise ArchiveError(
                f"{source.where}: its codec is {source.manifest.codec[:12]}…, that of "
                f"{sources[0].where} {first.codec[:12]}…; only archives of one codec can be "
                "merged: unpack one, and add its pictures to the other"
            )
        if source.manifest.describers != first.describers:
            raise ArchiveError(
                f"{source.where}: it has the codes {_listed(source.manifest)}, "
                f"{sources[0].where} {_listed(first)}; only archives of the same describers can be "
                "merged: give both the same with kinpack embed and kinpack describer rm"
            )
    with building(target) as store:
        chosen, report = _choose(sources, on_duplicate)
        codec = read_codec(sources[0].store, first)
        describers = {
            entry.name: read_describer(sources[0].store, entry) for entry in first.describers
        }
        # What one of several has reached says nothing of all of them together.
        kept = {k: v for k, v in first.metadata.items() if k != REACHED or len(sources) == 1}
        manifest = store_files(store, codec, describers, kept)
        transfer = Transfer(store, first.codec, _columns(sources))
        for source, choice in zip(sources, chosen, strict=True):
            for segment, rows in choice:
                transfer.take(source.store, segment, rows, progress)
        manifest = manifest.following(
            transfer.finish(), {**change, "added": report.images}, columns=transfer.schema
        )
        commit_first(store, manifest)
    return report


def _columns(sources: Sequence[Reader]) -> Schema:
    """The columns of several archives."""
    schema: Schema = {}
    for source in sources:
        try:
            schema = joined(schema, source.manifest.columns)
        except ValueError as error:
            raise ArchiveError(f"{source.where}: {error}") from error
    return schema


def _listed(manifest: Manifest) -> str:
    """Columns of codes, and the begin of each describer's SHA-256, for messages."""
    return ", ".join(f"{one.name} ({one.sha256[:12]}…)" for one in manifest.describers) or "none"


_Choice = list[tuple[Segment, NDArray[np.int64]]]


def _choose(
    sources: Sequence[Reader], on_duplicate: Duplicates
) -> tuple[list[_Choice], CopyReport]:
    """The rows of every segment of every source that are to be copied."""
    report = CopyReport()
    seen: dict[str, str] = {}
    last = on_duplicate == "replace"
    several = len(sources) > 1
    chosen: list[_Choice] = []
    for source in reversed(sources) if last else sources:
        choice: _Choice = []
        for segment, some in source.parts():
            rows = live_rows(segment.manifest_entry) if some is None else some
            if several:
                ids = segment.index.ids.to_pylist()
                new = np.array([ids[row] not in seen for row in rows.tolist()], bool)
                if on_duplicate == "error" and not new.all():
                    name = ids[int(rows[int(np.argmin(new))])]
                    raise ArchiveError(
                        f"{source.where}: the id {name!r} is in {seen[name]} too; choose "
                        "--on-duplicate skip or --on-duplicate replace"
                    )
                rows = rows[new]
            choice.append((segment, rows))
        for segment, rows in choice if several else []:
            ids = segment.index.ids.to_pylist()
            seen.update((ids[row], source.where) for row in rows.tolist())
        count = sum(len(rows) for _, rows in choice)
        report.images += count
        if last:
            report.replaced += len(source) - count
        else:
            report.skipped += len(source) - count
        chosen.append(choice)
    return chosen[::-1] if last else chosen, report


class Transfer:
    """Packets of other archives on their way into a new one, byte for byte.

    Args:
        store: the new archive's.
        codec: SHA-256 of the codec file, hexadecimal.
        schema: the types of the columns that users added, by their names.
    """

    def __init__(self, store: Store, codec: str, schema: Schema) -> None:
        self.schema = schema
        self._store = store
        self._codec = codec
        self._entries: list[SegmentEntry] = []
        self._stream = SegmentStream(store, codec, schema)

    def take(
        self,
        source: Store,
        segment: Segment,
        rows: NDArray[np.int64],
        progress: Progress | None = None,
    ) -> None:
        """Copy images of a segment; a large one of which all are wanted as a whole file.

        Args:
            source: the store of the segment.
            segment: where the images are.
            rows: which, ascending, int64.
            progress: called with the number of images just copied.

        Raises:
            ArchiveError: the segment is missing or damaged, or the new archive cannot be written.
            PayloadError: a packet is damaged.
        """
        entry = segment.manifest_entry
        same = all(self.schema[name] == of for name, of in segment.schema.items())
        whole = len(rows) == entry.rows and entry.index is None
        if same and whole and not is_small(entry):
            self._flush()
            self._entries.append(self._whole(source, entry))
            if progress:
                progress(len(rows))
            return
        self._stream.take(segment.stored(rows.tolist()), progress)

    def finish(self) -> tuple[SegmentEntry, ...]:
        """Store what is left, and give all new segments in order."""
        self._flush()
        return tuple(self._entries)

    def _flush(self) -> None:
        self._stream.flush()
        self._entries += self._stream.segments
        self._stream = SegmentStream(self._store, self._codec, self.schema)

    def _whole(self, source: Store, entry: SegmentEntry) -> SegmentEntry:
        data = read_segment(source, entry)
        codes = [read_code_file(source, codes) for codes in entry.codes]
        entry = replace(entry, deleted=())
        if not self._store.create(entry.file, data):  # two archives may share a segment
            entry = replace(entry, name=uuid.uuid4().hex)
            self._store.create(entry.file, data)
        named = tuple(replace(one, name=entry.name) for one in entry.codes)
        for one, content in zip(named, codes, strict=True):
            self._store.create(one.file, content)
        return replace(entry, codes=named)


def read_segment(source: Store, entry: SegmentEntry) -> bytes:
    """The file of a segment, every byte of it checked.

    Raises:
        ArchiveError: it is missing or damaged.
    """
    data = source.read_range(entry.file, 0, entry.bytes)
    if source.size(entry.file) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ArchiveError(
            f"{source.where(entry.file)}: its SHA-256 does not hold; restore it from a copy, or "
            "save what is whole with: kinpack repair"
        )
    return data
