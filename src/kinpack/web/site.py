"""A site: the page and a sealed archive in one folder, for any static host."""

from __future__ import annotations

import os

from kinpack.archive.care.sealing import seal
from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.stores.handles import create_file
from kinpack.archive.stores.staged_file import staged_folder
from kinpack.arguments import path_of
from kinpack.errors import ArchiveError
from kinpack.progress import Progress
from kinpack.web.page_files import page_files

SEALED = "archive.kin.zip"
"""Name of the archive in a site."""


def view(
    archive: Readable,
    folder: str | os.PathLike[str],
    *,
    title: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Write a page that shows an archive, and the archive, sealed, beside it.

    The folder can be put on any web server that gives parts of files: the page reads the archive
    where it lies, and nothing else. It appears whole, or not at all.

    Args:
        archive: what to show, open or by its path or address.
        folder: where to; it must not exist.
        title: of the page; by default the archive's name.
        progress: called with the number of images just copied.

    Returns:
        Bytes of all files.

    Raises:
        ArchiveError: the folder exists or cannot be written, or a file of the archive is missing or
            damaged.
    """
    root = path_of(folder, "the site", ArchiveError)
    with opened(archive) as reader, staged_folder(root) as (part, within):
        written = seal(reader, part / SEALED, progress=progress)
        for name, data in page_files(SEALED, title or name_of(reader.where)).items():
            with os.fdopen(create_file(name, within), "wb") as file:
                written += file.write(data)
    return written


def name_of(where: str) -> str:
    """What a page calls an archive: the last part of its place, without .kin and .zip."""
    last = where.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return last.removesuffix(".zip").removesuffix(".kin") or "Images"
