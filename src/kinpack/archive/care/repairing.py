"""Repair: whatever is whole of a damaged archive becomes a new one, and what is lost is named."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kinpack.archive.care.recoding import Recoder, find_codec, find_describer
from kinpack.archive.care.whole_images import MOST_BYTES, WholeImages
from kinpack.archive.revisions.manifest import (
    DescriberEntry,
    Manifest,
    describer_entry,
    describer_file,
)
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, manifest_numbers
from kinpack.archive.revisions.new_archive import building, commit_first
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.stored_codec import Codec, store_files
from kinpack.archive.segments.code_file import column_name
from kinpack.archive.segments.image_entry import StoredImage
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.stores.opening import open_store
from kinpack.archive.stores.store import Store
from kinpack.column_types import Schema, joined
from kinpack.errors import ArchiveError, KinpackError, counted
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
        self._whole = WholeImages(store, progress)
        self._report = RepairReport(notes=self._whole.notes)
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
        describers = self._describers(revision, records)
        recoder = self._recoder(data, describers)
        with building(target) as store:
            found = {name: describer.to_bytes() for name, describer in describers.items()}
            unborn = store_files(store, data, found, metadata)
            schema = self._whole.schema = self._columns(revision, records, strays)
            newer = SegmentStream(store, codec_id, schema)
            for name in strays:
                self._take(newer, self._whole.unnamed(name, codec_id), recoder)
            newer.flush()
            stream = SegmentStream(store, codec_id, schema)
            for entry in revision.segments if revision else ():
                self._take(stream, self._whole.named(entry), recoder)
            if revision is not None:
                self._search(stream, revision, records, strays, recoder)
            stream.flush()
            self._report.notes += recoder.notes()
            self._report.lost = [
                (name, reason) for name, reason in self._whole.lost if name not in self._saved
            ]
            self._report.images = newer.rows + stream.rows
            change = {
                "verb": "repair",
                "added": self._report.images,
                "lost": len(self._report.lost),
            }
            manifest = unborn.following((*stream.segments, *newer.segments), change, columns=schema)
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
        strays = [name for name in self._segments() if name not in known]
        if strays and revision is None:
            self._report.notes.append(
                "no revision can be read; all segments there are taken, in no certain order"
            )
        return strays

    def _segments(self) -> list[str]:
        """Every file that may be a segment: what lies deeper was put there by others."""
        names = self._store.list("segments/")
        return [name for name in names if name.endswith(".parquet") and name.count("/") == 1]

    def _search(
        self,
        stream: SegmentStream,
        revision: Manifest,
        records: dict[int, Record],
        strays: list[str],
        recoder: Recoder,
    ) -> None:
        """Look through earlier revisions and unnamed segments for what the newest lacks."""
        lost, self._whole.lost = self._whole.lost, []  # what they lack themselves is no loss
        missing = {name for name, _ in lost} - self._saved
        every = "?" in missing
        known = {entry.file for entry in revision.segments}.union(strays)

        def take(images: Iterator[StoredImage], *, all_of_them: bool = every) -> tuple[int, int]:
            """Take what is missing, or all that is not there yet; gives how many, and the rest."""
            before, seen = stream.rows, 0

            def wanted() -> Iterator[StoredImage]:
                nonlocal seen
                for image in images:
                    seen += 1
                    if all_of_them or image.id in missing:
                        yield image

            self._take(stream, wanted(), recoder)
            return stream.rows - before, seen - (stream.rows - before)

        later: Record | Manifest = revision
        for record in sorted(records.values(), key=lambda one: -one.number):
            if record.number >= revision.number:
                continue
            strange = record.archive != revision.archive or (
                record.number == later.number - 1 and record.checksum != later.parent
            )
            later = later if strange else record
            try:
                manifest = load_manifest(self._store, record.number)
                entries, codec, schema = manifest.segments, manifest.codec, manifest.columns
            except KinpackError:
                entries, codec = record.segments, record.codec or revision.codec
                schema = revision.columns if record.base else record.columns
            entries = tuple(entry for entry in entries if entry.file not in known)
            known.update(entry.file for entry in entries)
            images = (image for entry in entries for image in self._whole.named(entry, schema))
            place = f"revision {record.number}"
            if strange and codec != revision.codec:
                count = sum(entry.live for entry in entries)
                self._report.notes.append(
                    f"{place} is of another archive, and its {counted(count, 'image')} of another "
                    f"codec: left out; save them with: kinpack copy --at {record.number}"
                )
            elif strange:
                taken, left = take((replace(one, codes={}) for one in images), all_of_them=True)
                lost += self._whole.lost
                self._report.notes.append(
                    f"{place} is of another archive, or of another history of this one: "
                    f"{counted(taken, 'image', 'is/are')} taken, {left} left out, whose ids "
                    "are there"
                )
            elif missing and (taken := take(images)[0]):
                self._report.notes.append(
                    f"{counted(taken, 'image', 'is/are')} back: lost, and found in {place}"
                )
            self._whole.lost = []
        for name in self._segments():
            if name not in known:
                taken, left = take(self._whole.unnamed(name, revision.codec))
                self._report.notes.append(
                    f"{self._store.where(name)}: no revision names it; of its whole images {taken} "
                    f"that were lost are taken, {left} left out"
                )
        if every:
            self._report.notes.append(
                "which images were lost is not known in full: what was taken for them may have "
                "been deleted before"
            )
        self._whole.lost = lost

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

    def _columns(
        self, revision: Manifest | None, records: dict[int, Record], strays: list[str]
    ) -> Schema:
        """The columns that users added: of the revision, of whole manifests, of lone segments."""
        found: Schema = revision.columns if revision else {}
        others = [record.columns for record in records.values()]
        others += [self._whole.columns_in(name) for name in strays]
        for columns in others:
            try:
                found = joined(found, columns)
            except ValueError as error:
                self._report.notes.append(f"columns of some segments are left out: {error}")
        return found

    def _codec(self, codec_id: str, revision: Manifest | None, records: dict[int, Record]) -> bytes:
        """The codec's file: the archive's own copy, one that was given, or one that ships."""
        whole = [record.codec_bytes for record in records.values() if record.base is None]
        n_bytes = revision.codec_bytes if revision else next(iter(whole), None)
        data, notes = find_codec(self._store, codec_id, n_bytes, self._given)
        self._report.notes += notes
        return data

    def _describers(
        self, revision: Manifest | None, records: dict[int, Record]
    ) -> dict[str, Describer]:
        """The describers: the archive's own copies, one that was given, or those that ship."""
        known = [record.describers for record in records.values() if record.describers]
        entries = known[0] if known else ()
        if revision is not None:
            entries = revision.describers
        elif not known and all(record.base is not None for record in records.values()):
            entries = tuple(self._unnamed_describers())
        found = {}
        for entry in entries:
            describer, notes = find_describer(self._store, entry, self._given_describer)
            self._report.notes += notes
            if describer is not None:
                found[entry.name] = describer
        return found

    def _unnamed_describers(self) -> Iterator[DescriberEntry]:
        """Describers that no manifest which can be read names, under the names in their files."""
        from kinpack.describers.describer import Describer

        taken = set()
        for file in self._store.list("describers/"):
            with suppress(KinpackError):
                data = self._store.read(file, MOST_BYTES)
                describer = Describer.from_bytes(data, where=file)
                name = column_name(describer.name)
                if name not in taken and describer_file(describer.describer_id) == file:
                    taken.add(name)
                    yield describer_entry(name, data)

    def _recoder(self, codec: bytes, describers: Mapping[str, Describer]) -> Recoder:
        def make() -> Codec:
            from kinpack.codec.codec import Codec

            return self._given or Codec.from_bytes(codec, where=self._store.where(""))

        return Recoder(make, describers)

    def _take(self, stream: SegmentStream, images: Iterator[StoredImage], recoder: Recoder) -> None:
        for image in recoder.complete(images):
            if image.id not in self._saved:
                self._saved.add(image.id)
                stream.take([image])
