"""A site: the page and a sealed archive in one folder, for any static host."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.revisions.opened import Readable, opened
from kinpack.archive.stores.handles import create_file
from kinpack.archive.stores.staged_file import staged_folder
from kinpack.arguments import path_of
from kinpack.errors import ArchiveError
from kinpack.progress import Progress
from kinpack.web.page_files import page_files
from kinpack.web.views import check_views, view_data

SEALED = "archive.kin.zip"
"""Name of the archive in a site."""


def view(
    archive: Readable,
    folder: str | os.PathLike[str],
    *,
    title: str | None = None,
    views: Collection[str] = (),
    progress: Progress | None = None,
    told: Callable[[float, str], None] | None = None,
) -> int:
    """Write a page that shows an archive, and the archive, sealed, beside it.

    The folder can be put on any web server that gives parts of files: the page reads the archive
    where it lies, and nothing else. It appears whole, or not at all.

    Args:
        archive: what to show, open or by its path or address.
        folder: where to; it must not exist.
        title: of the page; by default the archive's name.
        views: what the page shows beside the grid, ``map``, ``clusters``, ``duplicates`` and
            ``cost``; each is computed, and lies beside the page as a file of data.
        progress: called with the number of images just copied.
        told: called with the share that is done, 0 to 1, and with what is being done, once the
            archive is copied.

    Returns:
        Bytes of all files.

    Raises:
        ArchiveError: the folder exists or cannot be written, a view is not known, or a file of the
            archive is missing or damaged.
        SearchError: a view needs codes, and there are none.
        MissingExtraError: clusters need faiss, which is not installed.
    """
    shown = check_views(views)
    root = path_of(folder, "the site", ArchiveError)
    with opened(archive) as reader, staged_folder(root) as (part, within):
        written = seal(reader, part / SEALED, progress=progress)
        files = page_files(SEALED, title or name_of(reader.where), shown)
        if shown:
            with Archive.open(part / SEALED) as sealed:
                for number, view_ in enumerate(shown, start=1):
                    if told:
                        told(number / (len(shown) + 1), f"computing the view {view_}")
                    files[f"{view_}.json"] = view_data(sealed, view_)
        for name, data in files.items():
            with os.fdopen(create_file(name, within), "wb") as file:
                written += file.write(data)
    return written


def name_of(where: str) -> str:
    """What a page calls an archive: the last part of its place, without .kin and .zip."""
    last = where.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    return last.removesuffix(".zip").removesuffix(".kin") or "Images"
