"""Verification: every byte of an archive held against the sums that were written with it."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

from kinpack.archive.care.image_checks import check_images
from kinpack.archive.revisions.manifest import (
    Manifest,
    codec_file,
    manifest_file,
    manifest_number,
)
from kinpack.archive.revisions.manifest_chain import MOST_BYTES, load_manifest
from kinpack.archive.revisions.opened import Sharing
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import (
    MOST_CODEC_BYTES,
    Codec,
    load_codec,
    load_describer,
)
from kinpack.archive.segments.code_file import CodeFile
from kinpack.archive.segments.index_file import IndexFile
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.stores.opening import open_store
from kinpack.archive.stores.store import Store
from kinpack.errors import CodecError, KinpackError
from kinpack.jobs.table import EngineName
from kinpack.progress import Progress

_IDENTIFIED = re.compile(r"codecs/([0-9a-f]{64})\.kinc|describers/([0-9a-f]{64})\.kine")
_CHUNK = 4 << 20
_ATTEMPTS = 5


@dataclass(slots=True)
class VerifyReport:
    """What a verification found.

    Attributes:
        problems: what is damaged or missing, one line each, naming the file; empty if all is well.
        notes: what does no harm: leftovers of dead writers, foreign files, forgotten revisions.
        images: images whose packets were checked.
        files: files that were checked.
        bytes: their bytes.
        deep: whether every image was decoded too.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: int = 0
    files: int = 0
    bytes: int = 0
    deep: bool = False

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged or missing."""
        return not self.problems


def verify(
    path: str | os.PathLike[str],
    *,
    deep: bool = False,
    progress: Progress | None = None,
    jobs: int | None = 1,
    engine: EngineName = "processes",
) -> VerifyReport:
    """Check every file of an archive, of earlier revisions too, and every packet of the newest.

    Damage is reported, not raised, and does not keep the other files from being checked: this
    works on an archive that cannot be opened any more.

    Args:
        path: the archive's folder, a sealed archive or its address.
        deep: whether to decode every image too.
        progress: called with the number of images just checked.
        jobs: processes that decode images; ``None`` for as many as suit.
        engine: what runs them, as for ``Archive.add``.

    Raises:
        ArchiveError: there is no archive, or it is sealed and damaged in such a way that nothing
            of it can be read.
    """
    store = open_store(path)
    try:
        sharing = Sharing(path, jobs, engine)
        return verify_store(store, deep=deep, progress=progress, sharing=sharing)
    finally:
        store.close()


def verify_store(
    store: Store,
    *,
    deep: bool = False,
    codec: Codec | None = None,
    progress: Progress | None = None,
    sharing: Sharing | None = None,
) -> VerifyReport:
    """Check every file of an archive in a store, as ``verify`` does.

    Others may write meanwhile. Where old revisions were collected meanwhile, so that their files
    seem to be missing, the check begins anew.

    Args:
        store: where the archive lies.
        deep: whether to decode every image too.
        codec: the archive's codec, if it is loaded already.
        progress: called with the number of images just checked.
        sharing: which other processes decode images; ``None`` for none.
    """
    for _ in range(_ATTEMPTS):
        verification = _Verification(store, deep, codec, progress, sharing)
        report = verification.run()
        if report.ok or not verification.outdated():
            break
    return report


def _files(entry: SegmentEntry) -> Iterator[SegmentEntry | CodeFile | IndexFile]:
    """What a manifest says of each file of a segment."""
    yield entry
    yield from entry.codes
    if entry.index is not None:
        yield entry.index


class _Verification:
    """One run over a store; what it finds goes into ``report``."""

    def __init__(
        self,
        store: Store,
        deep: bool,
        codec: Codec | None,
        progress: Progress | None,
        sharing: Sharing | None,
    ) -> None:
        self.report = VerifyReport(deep=deep)
        self._store = store
        self._codec = codec
        self._progress = progress
        self._sharing = sharing
        self._names: set[str] = set()
        self._of_archive: set[str] = set()

    def run(self) -> VerifyReport:
        with self._reporting():
            self._names = set(self._store.list())
            self.report.problems += self._store.faults()
        if self.report.problems and not self._names:
            return self.report  # what cannot be listed is not known to be no archive
        records = self._manifests()
        self._codecs(records)
        self._segments(records)
        newest = max(filter(None, map(manifest_number, self._names)), default=None)
        if newest is None:
            self._problem("", "it has no manifests, so it is no kinpack archive")
        elif newest in records:
            with self._reporting():
                self._images(load_manifest(self._store, newest))
        for name in sorted(self._names - self._of_archive):
            where = self._store.where(name)
            self.report.notes.append(f"{where}: no part of the archive: a leftover or foreign file")
        return self.report

    def outdated(self) -> bool:
        """Whether revisions that were there in the beginning have been collected since."""
        try:
            gone = self._names.difference(self._store.list())
        except KinpackError:
            return False
        return any(manifest_number(name) for name in gone)

    def _manifests(self) -> dict[int, Record]:
        """What all manifests say that are whole, by number."""
        records = {}
        for name in sorted(self._names):
            number = manifest_number(name)
            if number is None:
                continue
            self._of_archive.add(name)
            with self._reporting():
                data = self._store.read(name, MOST_BYTES)
                self._count(len(data))
                record = Record.from_bytes(data, where=self._store.where(name))
                if record.number == number:
                    records[number] = record
                else:
                    self._problem(name, f"this is manifest {record.number} under another name")
        numbers = sorted(filter(None, map(manifest_number, self._names)))
        for low, high in pairwise(numbers):
            if high > low + 1:
                self._problem(manifest_file(low + 1), "it is missing, though there are later ones")
        for number, record in records.items():
            name = manifest_file(number)
            before = records.get(number - 1)
            if before and (before.checksum, before.archive) != (record.parent, record.archive):
                self._problem(name, f"it follows another manifest {number - 1} than there is")
            if record.base is not None and manifest_file(record.base[0]) in self._names:
                base = records.get(record.base[0])
                if base is not None and base.checksum != record.base[1]:
                    self._problem(name, f"it builds on another manifest {base.number}")
            elif record.base is not None:
                self.report.notes.append(
                    f"{self._store.where(name)}: the revision that it builds on is forgotten"
                )
            elif record.parent and manifest_file(number - 1) not in self._names:
                self.report.notes.append(
                    f"{self._store.where(name)}: the revision before it is forgotten"
                )
        return records

    def _codecs(self, records: dict[int, Record]) -> None:
        """Check codecs and describers."""
        sizes = {
            codec_file(record.codec): record.codec_bytes
            for record in records.values()
            if record.base is None
        }
        for record in records.values():
            sizes.update((entry.file, entry.bytes) for entry in record.describers)
        for name in sorted(self._names.union(sizes)):
            if match := _IDENTIFIED.fullmatch(name):
                self._file(name, match.group(1) or match.group(2), sizes.get(name))

    def _segments(self, records: dict[int, Record]) -> None:
        files = {
            (file.file, file.sha256, file.bytes)
            for record in records.values()
            for entry in record.segments
            for file in _files(entry)
        }
        for name, sha256, n_bytes in sorted(files):
            self._file(name, sha256, n_bytes)

    def _file(self, name: str, sha256: str, n_bytes: int | None) -> None:
        """Check a file's size and sum."""
        self._of_archive.add(name)
        with self._reporting():
            size = self._store.size(name)
            if n_bytes is not None and size != n_bytes:
                self._problem(name, f"it has {size} bytes instead of {n_bytes}")
                return
            if n_bytes is None and size > MOST_CODEC_BYTES:
                self._problem(name, f"it has {size} bytes, too many for a codec or a describer")
                return
            digest = hashlib.sha256()
            for offset in range(0, size, _CHUNK):
                digest.update(self._store.read_range(name, offset, min(_CHUNK, size - offset)))
            self._count(size)
            if digest.hexdigest() != sha256:
                self._problem(name, "its SHA-256 does not hold")

    def _images(self, manifest: Manifest) -> None:
        """Check every packet of a revision, and that no id comes twice."""
        snapshot = Snapshot(self._store, manifest)
        if self.report.deep and self._codec is None:
            with self._reporting():
                self._codec = load_codec(self._store, manifest)
        ids: Counter[str] = Counter()
        readable = []
        for part, (segment, rows) in enumerate(snapshot.parts()):
            with self._reporting():
                names = segment.index.ids.to_pylist()
                list(segment.index.optional.values())  # decoded, and so checked
                live = range(len(names)) if rows is None else rows.tolist()
                ids.update(names[row] for row in live)
                readable.append(part)
        codec = self._codec if self.report.deep else None
        with self._reporting():
            for checked in check_images(snapshot, readable, codec, self._progress, self._sharing):
                self.report.problems += checked.problems
                self.report.images += checked.images
        for describer in manifest.describers:
            with self._reporting():
                self._codes_of(describer.name, snapshot)
        for name, times in ids.items():
            if times > 1:
                self._problem("", f"the id {name!r} is there {times} times")

    def _codes_of(self, column: str, snapshot: Snapshot) -> None:
        """Check that a describer can be read, and that its codes name words of its books."""
        describer = load_describer(self._store, snapshot.manifest, column)
        for segment in snapshot.segments:
            file, codes = segment.manifest_entry.codes_of(column), segment.codes_of(column)
            if file is None or codes is None:
                continue
            try:
                describer.quantiser.unpack(codes)
            except CodecError as error:
                self._problem(file.file, str(error))

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn an error into a problem of the report."""
        try:
            yield
        except KinpackError as error:
            self.report.problems.append(str(error))

    def _problem(self, name: str, what: str) -> None:
        self.report.problems.append(f"{self._store.where(name)}: {what}; restore it from a copy")

    def _count(self, n_bytes: int) -> None:
        self.report.files += 1
        self.report.bytes += n_bytes
