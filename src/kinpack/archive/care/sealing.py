"""Sealing: an archive becomes one uncompressed zip, which is read in place; and back again."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import replace

from kinpack.archive.care.copying import read_segment
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.new_archive import building, commit_first
from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.snapshot import live_rows
from kinpack.archive.revisions.stored_codec import read_codec, read_describer
from kinpack.archive.segments.code_file import read_code_file
from kinpack.archive.segments.segment import Segment
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.archive.stores.opening import place_of
from kinpack.archive.stores.staged_file import staged_file
from kinpack.arguments import path_of
from kinpack.errors import ArchiveError
from kinpack.progress import Progress

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same archive gives the same bytes at any time


def seal(
    source: Readable, target: str | os.PathLike[str], *, progress: Progress | None = None
) -> int:
    """Write the revision that an archive shows into one uncompressed zip, for reading alone.

    Segments are copied as they are, and checked; those with deleted or renamed images are written
    anew, without the former and under the latter's new names, payloads byte for byte. The same
    revision always gives the same bytes under the same version of pyarrow. The file appears whole,
    or not at all.

    Args:
        source: the archive, open or by its path or address.
        target: the file, which must not exist; by custom its name ends in ``.kin.zip``.
        progress: called with the number of images just copied.

    Returns:
        Bytes of the file.

    Raises:
        ArchiveError: the path exists or cannot be written, or a file is missing or damaged.
    """
    if isinstance(target, str) and isinstance(place_of(target), str):
        raise ArchiveError(
            f"{target}: an archive is sealed into a local file; name one, and copy it"
        )
    with (
        opened(source) as reader,
        staged_file(path_of(target, "a sealed archive", ArchiveError)) as file,
    ):
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in _files(reader, reader.manifest, progress):
                info = zipfile.ZipInfo(name, _LONG_AGO)
                info.create_system = 3
                info.external_attr = 0o100644 << 16
                archive.writestr(info, data)
        return file.tell()


def unseal(
    source: Readable, target: str | os.PathLike[str], *, progress: Progress | None = None
) -> None:
    """Write the revision that an archive shows as a new archive, which can be changed.

    It gets an identity of its own, and begins with revision 1.

    Args:
        source: the archive, a sealed one or any other, open or by its path or address.
        target: the new archive's folder or address, where there must be none.
        progress: called with the number of images just copied.

    Raises:
        ArchiveError: the path exists or cannot be written, or a file is missing or damaged.
    """
    with opened(source) as reader:
        manifest = replace(reader.manifest, archive=uuid.uuid4().hex, number=1, parent=None)
        with building(target) as store:
            for name, data in _files(reader, manifest, progress):
                if name == manifest.file:
                    first = Record.from_bytes(data, where=store.where(name))
                    commit_first(store, first.on(None, where=store.where(name)))
                elif not store.create(name, data) and store.read(name) != data:
                    raise ArchiveError(
                        f"{store.where(name)}: another file has this name; remove it, or choose "
                        "another place"
                    )


def _files(
    source: Reader, manifest: Manifest, progress: Progress | None
) -> Iterator[tuple[str, bytes]]:
    """The files of a revision, each checked, without what was deleted and without former names.

    The manifest, which is the one given but for the segments, comes last, and is whole.
    """
    yield manifest.codec_file, read_codec(source.store, manifest)
    # One describer may make the codes of several columns.
    for describer in {entry.file: entry for entry in manifest.describers}.values():
        yield describer.file, read_describer(source.store, describer)
    entries: list[SegmentEntry] = []
    codes: dict[str, bytes] = {}
    for segment, rows in source.parts():
        if rows is None and segment.manifest_entry.index is None:
            entries.append(segment.manifest_entry)
            yield entries[-1].file, read_segment(source.store, entries[-1])
        else:
            live = live_rows(segment.manifest_entry).tolist()
            for entry, data, made in _rewritten(segment, live, manifest):
                entries.append(entry)
                yield entry.file, data
                codes |= made
        if progress:
            progress(segment.manifest_entry.live)
    for entry in entries:  # together and last: a search over the web reads them all
        for one in entry.codes:
            yield one.file, codes.get(one.file) or bytes(read_code_file(source.store, one))
    manifest = replace(manifest, segments=tuple(entries), base=None)
    yield manifest.file, manifest.to_bytes()


def _rewritten(
    segment: Segment, rows: list[int], manifest: Manifest
) -> Iterator[tuple[SegmentEntry, bytes, dict[str, bytes]]]:
    """Rows of a segment as one of their own, or several; named after their content.

    Yields:
        What a manifest says of it, its bytes, and those of its files of codes by their names.
    """
    shelf = _Shelf(segment.where)
    stream = SegmentStream(shelf, manifest.codec, manifest.columns)
    stream.take(segment.stored(rows))
    stream.flush()
    for entry in stream.segments:
        name = entry.sha256[:32]
        codes = tuple(replace(one, name=name) for one in entry.codes)
        made = {
            new.file: shelf.files[old.file] for new, old in zip(codes, entry.codes, strict=True)
        }
        yield replace(entry, name=name, codes=codes), shelf.files[entry.file], made


class _Shelf:
    """A sink in memory."""

    def __init__(self, where: str) -> None:
        self._where = where
        self.files: dict[str, bytes] = {}

    def where(self, name: str) -> str:
        del name
        return self._where

    def create(self, name: str, data: bytes | memoryview) -> bool:
        self.files[name] = bytes(data)
        return True

    def delete(self, *names: str) -> None:
        for name in names:
            del self.files[name]
