"""Sealing: an archive becomes one uncompressed zip, which is read in place; and back again."""

from __future__ import annotations

import os
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import replace

from kinpack.archive.adding.addition import Progress
from kinpack.archive.care.copying import read_segment
from kinpack.archive.revisions.commit import building, commit_first
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.stored_codec import read_codec, read_describer
from kinpack.archive.segments.code_file import read_code_file
from kinpack.archive.stores.opening import place_of
from kinpack.archive.stores.staged_file import staged_file
from kinpack.arguments import path_of
from kinpack.errors import ArchiveError

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same archive gives the same bytes at any time


def seal(
    source: Readable, target: str | os.PathLike[str], *, progress: Progress | None = None
) -> int:
    """Write the revision that an archive shows into one uncompressed zip, for reading alone.

    Segments are copied as they are, deleted images among them, and checked. The same revision
    always gives the same bytes. The file appears whole, or not at all.

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
            for name, data in _files(reader, progress):
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
        manifest = replace(
            reader.manifest, archive=uuid.uuid4().hex, number=1, parent=None, base=None
        )
        with building(target) as store:
            for name, data in _parts(reader, manifest, progress):
                if not store.create(name, data) and store.read(name) != data:
                    raise ArchiveError(
                        f"{store.where(name)}: another file has this name; remove it, or choose "
                        "another place"
                    )
            commit_first(store, manifest)


def _files(source: Reader, progress: Progress | None) -> Iterator[tuple[str, bytes]]:
    """The files of one revision, each checked: the manifest comes last, and is whole."""
    manifest: Manifest = replace(source.manifest, base=None)
    yield from _parts(source, manifest, progress)
    yield manifest.file, manifest.to_bytes()


def _parts(
    source: Reader, manifest: Manifest, progress: Progress | None
) -> Iterator[tuple[str, bytes]]:
    """The codec, the describer, the segments and their codes of a revision, each checked."""
    yield manifest.codec_file, read_codec(source.store, manifest)
    if manifest.describer:
        yield manifest.describer_file, read_describer(source.store, manifest)
    for entry in manifest.segments:
        yield entry.file, read_segment(source.store, entry)
        if progress:
            progress(entry.live)
    for entry in manifest.segments:  # together and last: a search over the web reads them all
        if entry.codes:
            yield entry.codes.file, read_code_file(source.store, entry.codes)
