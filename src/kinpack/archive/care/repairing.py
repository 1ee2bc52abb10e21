"""Repair: whatever is whole of a damaged archive becomes a new one, and what is lost is named."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kinpack.archive.care.recoding import Recoder, find_codec, find_describer
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, manifest_numbers
from kinpack.archive.revisions.new_archive import building, commit_first
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.snapshot import live_rows
from kinpack.archive.revisions.stored_codec import Codec
from kinpack.archive.segments.guard.column_table import optional_columns
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.archive.segments.segment import Segment, checked_packet, columns_of
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.segments.segment_tail import UNREADABLE, Tail
from kinpack.archive.segments.tolerant_reading import packets_or_errors
from kinpack.archive.stores.opening import open_store
from kinpack.archive.stores.store import Store
from kinpack.errors import ArchiveError, KinpackError
from kinpack.progress import Progress

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer


@dataclass(slots=True)
class RepairReport:
    """What came of a repair.

    Attributes:
        images: images of the new archive, each of them whole.
        lost: ids of the images that are lost, each with the reason. Where the names of a segment
            are damaged themselves they are as they can still be read, or "?".
        notes: what else is not as it was.
    """

    images: int = 0
    lost: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def repair(
    place: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    codec: Codec | None = None,
    describer: Describer | None = None,
    progress: Progress | None = None,
) -> RepairReport:
    """Write what is whole of an archive as a new one; the damaged one is left as it is.

    The newest revision that can be read is taken. Where a newer manifest is damaged, segments that
    no readable manifest names are taken too. Images that are lost in it are looked for in earlier
    revisions, and in segments that none names; what it does not follow, for it is of another
    archive or history, is taken as well. Whatever else is whole and left out is told of, but for
    images that were deleted. A codec that ships with this package replaces a
    damaged copy of itself, and so does a describer. Codes of the describer that are lost are made
    anew, of the pictures as the archive holds them; where the describer itself is lost, the new
    archive has none.

    Args:
        place: the archive, as ``Archive.open`` takes it.
        target: the new archive's folder or address, where there must be none.
        codec: the archive's codec, should its own copy be damaged.
        describer: the archive's describer, should its own copy be damaged.
        progress: called with the number of images just looked at.

    Raises:
        ArchiveError: there is no archive, its codec is lost, or the target cannot be written.
    """
    store = open_store(place)
    try:
        return _Repair(store, codec, describer, progress).write(target)
    finally:
        store.close()


class _Repair:
    """One run over a store."""

    def __init__(
        self,
        store: Store,
        codec: Codec | None,
        describer: Describer | None,
        progress: Progress | None,
    ) -> None:
        self._store = store
        self._given = codec
        self._given_describer = describer
        self._progress = progress
        self._report = RepairReport()
        self._saved: set[str] = set()

    def write(self, target: str | os.PathLike[str]) -> RepairReport:
        """Save what is whole."""
        revision, records = self._revision()
        strays = self._strays(revision, records)
        if revision is None and not strays:
            raise ArchiveError(
                f"{self._store.where('')}: neither a manifest nor a segment can be read; there is "
                "nothing to save"
            )
        codec_id, metadata = self._identity(revision, records)
        data = self._codec(codec_id, revision, records)
        describer = self._describer(revision, records)
        recoder = self._recoder(data, describer) if describer else None
        with building(target) as store:
            unborn = Manifest.unborn(
                codec_id,
                len(data),
                metadata,
                describer=describer.describer_id if describer else "",
                describer_bytes=describer.n_bytes if describer else 0,
            )
            store.create(unborn.codec_file, data)
            if describer:
                store.create(unborn.describer_file, describer.to_bytes())
            newer = SegmentStream(store, codec_id)
            for name in strays:
                self._take(newer, self._whole_rows(name), recoder)
            newer.flush()
            stream = SegmentStream(store, codec_id)
            for entry in revision.segments if revision else ():
                self._take(stream, self._rows(entry), recoder)
            if revision is not None:
                self._search(stream, revision, records, strays, recoder)
            stream.flush()
            self._report.notes += recoder.notes() if recoder else []
            self._report.lost = [
                (name, reason) for name, reason in self._report.lost if name not in self._saved
            ]
            self._report.images = newer.rows + stream.rows
            change = {
                "verb": "repair",
                "added": self._report.images,
                "lost": len(self._report.lost),
            }
            manifest = unborn.following((*stream.segments, *newer.segments), change)
            commit_first(store, manifest)
        return self._report

    def _revision(self) -> tuple[Manifest | None, dict[int, Record]]:
        """The newest revision that can be read, and all manifests that can."""
        numbers = manifest_numbers(self._store)
        records: dict[int, Record] = {}
        for number in numbers:
            try:
                records[number] = load_record(self._store, number)
            except KinpackError as error:
                self._report.notes.append(str(error))
        for number in reversed(numbers):
            try:
                revision = load_manifest(self._store, number)
            except KinpackError:
                continue
            if number != numbers[-1]:
                self._report.notes.append(
                    f"revision {numbers[-1]} cannot be read; this is revision {number}, and what "
                    "was added since as far as it was found; what was deleted since is there again"
                )
            return revision, records
        return None, records

    def _strays(self, revision: Manifest | None, records: dict[int, Record]) -> list[str]:
        """Segments that may belong to a newer revision than the one that can be read."""
        numbers = manifest_numbers(self._store)
        if revision is not None and revision.number == numbers[-1]:
            return []
        known = {entry.file for entry in revision.segments} if revision else set()
        for number, record in records.items():
            if revision is not None and number <= revision.number:
                known.update(entry.file for entry in record.segments)
        names = [name for name in self._store.list("segments/") if name.endswith(".parquet")]
        strays = [name for name in names if name not in known]
        if strays and revision is None:
            self._report.notes.append(
                "no revision can be read; all segments there are taken, in no certain order"
            )
        return strays

    def _search(
        self,
        stream: SegmentStream,
        revision: Manifest,
        records: dict[int, Record],
        strays: list[str],
        recoder: Recoder | None,
    ) -> None:
        """Look through earlier revisions and unnamed segments for what the newest lacks."""
        lost, self._report.lost = self._report.lost, []  # what they lack themselves is no loss
        missing = {name for name, _ in lost} - self._saved
        every = "?" in missing
        known = {entry.file for entry in revision.segments}.union(strays)
        later: Record | Manifest = revision
        for record in sorted(records.values(), key=lambda one: -one.number):
            if record.number >= revision.number:
                continue
            strange = record.archive != revision.archive or (
                record.number == later.number - 1 and record.checksum != later.parent
            )
            later = later if strange else record
            try:
                entries = load_manifest(self._store, record.number).segments
            except KinpackError:
                entries = record.segments
            entries = tuple(entry for entry in entries if entry.file not in known)
            known.update(entry.file for entry in entries)
            if not (strange or missing):
                continue
            images = (image for entry in entries for image in self._rows(entry))
            taken, left = self._take_missing(
                stream, images, None if strange or every else missing, recoder
            )
            place = f"revision {record.number}"
            if strange:
                lost += self._report.lost
                self._report.notes.append(
                    f"{place} is of another archive, or of another history of this one: {taken} "
                    f"images of it are taken, {left} left out, whose ids are there already"
                )
            elif taken:
                self._report.notes.append(f"{taken} images that were lost are those of {place}")
            self._report.lost = []
        for name in self._store.list("segments/"):
            if not name.endswith(".parquet") or name in known:
                continue
            taken, left = self._take_missing(
                stream, self._whole_rows(name), None if every else missing, recoder
            )
            self._report.notes.append(
                f"{self._store.where(name)}: no revision names it; of its whole images {taken} "
                f"that were lost are taken, {left} left out"
            )
        if every:
            self._report.notes.append(
                "which images were lost is not known in full: what was taken for them may have "
                "been deleted before"
            )
        self._report.lost = lost

    def _take_missing(
        self,
        stream: SegmentStream,
        images: Iterator[StoredImage],
        wanted: set[str] | None,
        recoder: Recoder | None,
    ) -> tuple[int, int]:
        """Take images of some ids, or all, that are not there yet; gives how many, and the rest."""
        before, seen = stream.rows, 0

        def chosen() -> Iterator[StoredImage]:
            nonlocal seen
            for image in images:
                seen += 1
                if wanted is None or image.id in wanted:
                    yield image

        self._take(stream, chosen(), recoder)
        return stream.rows - before, seen - (stream.rows - before)

    def _identity(
        self, revision: Manifest | None, records: dict[int, Record]
    ) -> tuple[str, dict[str, Any]]:
        """The codec's SHA-256 and the archive's metadata."""
        if revision is not None:
            return revision.codec, dict(revision.metadata)
        for record in records.values():
            if record.base is None:
                return record.codec, dict(record.metadata)
        names = [name for name in self._store.list("codecs/") if name.endswith(".kinc")]
        if len(names) != 1:
            raise ArchiveError(
                f"{self._store.where('')}: no manifest can be read, and it is not known which "
                "codec it uses; restore a manifest from a copy"
            )
        return names[0].removeprefix("codecs/").removesuffix(".kinc"), {}

    def _codec(self, codec_id: str, revision: Manifest | None, records: dict[int, Record]) -> bytes:
        """The codec's file: the archive's own copy, one that was given, or one that ships."""
        whole = [record.codec_bytes for record in records.values() if record.base is None]
        n_bytes = revision.codec_bytes if revision else next(iter(whole), None)
        data, notes = find_codec(self._store, codec_id, n_bytes, self._given)
        self._report.notes += notes
        return data

    def _describer(self, revision: Manifest | None, records: dict[int, Record]) -> Describer | None:
        """The describer: the archive's own copy, one that was given, or one that ships."""
        known = [record for record in records.values() if record.describer]
        if revision is not None:
            describer_id, n_bytes = revision.describer, revision.describer_bytes
        elif known:
            describer_id, n_bytes = known[0].describer, known[0].describer_bytes
        else:
            names = [name for name in self._store.list("describers/") if name.endswith(".kine")]
            if len(names) != 1 or any(record.base is None for record in records.values()):
                return None
            describer_id = names[0].removeprefix("describers/").removesuffix(".kine")
            n_bytes = self._store.size(names[0])
        if not describer_id:
            return None
        describer, notes = find_describer(self._store, describer_id, n_bytes, self._given_describer)
        self._report.notes += notes
        return describer

    def _recoder(self, codec: bytes, describer: Describer) -> Recoder:
        def make() -> Codec:
            from kinpack.codec.codec import Codec

            return self._given or Codec.from_bytes(codec, where=self._store.where(""))

        return Recoder(make, describer)

    def _take(
        self, stream: SegmentStream, images: Iterator[StoredImage], recoder: Recoder | None
    ) -> None:
        for image in recoder.complete(images) if recoder else images:
            if image.id not in self._saved:
                self._saved.add(image.id)
                stream.take(image if recoder else replace(image, code=b""))

    def _rows(self, entry: SegmentEntry) -> Iterator[StoredImage]:
        """The whole images of a segment that a manifest names."""
        segment = Segment(self._store, entry)
        rows = live_rows(entry).tolist()
        try:
            index = segment.index
        except KinpackError as error:
            for name in self._guess(entry, rows):
                self._lose(name, str(error))
            return
        ids = index.ids.to_pylist()
        codes = None
        try:
            codes = segment.describer_codes
        except KinpackError as error:
            self._report.notes.append(str(error))
        for row, packet in packets_or_errors(segment, rows):
            if isinstance(packet, KinpackError):
                self._lose(ids[row], str(packet))
                continue
            code = None if codes is None else codes[row].tobytes()
            yield StoredImage(ids[row], columns_of(index, row), packet, code)
            self._step()

    def _guess(self, entry: SegmentEntry, rows: list[int]) -> list[str]:
        """The ids of a segment whose index is damaged, as far as they can be read."""
        try:
            tail = Tail(
                self._store.read_range(
                    entry.file, entry.index_offset, entry.bytes - entry.index_offset
                ),
                offset=entry.index_offset,
                rows=entry.rows,
            )
            ids = tail.columns("id")["id"].to_pylist()
            return [ids[row] for row in rows]
        except (KinpackError, AttributeError, *UNREADABLE):
            return ["?"] * len(rows)

    def _whole_rows(self, name: str) -> Iterator[StoredImage]:
        """The whole images of a segment of which no manifest says anything."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            file = pq.ParquetFile(pa.BufferReader(self._store.read(name)))
            table = file.read(use_threads=False).to_pylist()
        except (KinpackError, *UNREADABLE) as error:
            reason = " ".join(str(error).split())
            self._report.notes.append(f"{self._store.where(name)}: cannot be read ({reason})")
            return
        for row in table:
            try:
                packet = checked_packet(row, row["code"], row["payload"])
                if not row["id"]:
                    raise ValueError("this is no row of a segment")
            except (KinpackError, *UNREADABLE) as error:
                self._lose(str(row.get("id") or "?"), f"{self._store.where(name)}: {error}")
                continue
            columns = {column.name: row.get(column.name) for column in optional_columns()}
            yield StoredImage(row["id"], columns, packet, None)
            self._step()

    def _lose(self, name: str, reason: str) -> None:
        self._report.lost.append((name, reason))
        self._step()

    def _step(self) -> None:
        if self._progress:
            self._progress(1)
