"""The table of stores: a new one is a module beside this and a line here.

Their modules are imported when a place of theirs is opened: a folder needs none of the others.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.handles import open_file, read_at, release
from kinpack.archive.stores.store import Store
from kinpack.archive.stores.system_errors import refusal
from kinpack.errors import ArchiveError


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """A line of the table: what lies behind addresses of one scheme.

    Attributes:
        open: gives the store of the archive at an address; nothing is known yet of what is in it.
        create: gives the store in which a new archive is to be made, and makes nothing; ``None``
            where archives can only be read.
    """

    open: Callable[[str], Store]
    create: Callable[[str], Store] | None = None


def is_sealed(path: Path) -> bool:
    """Tell whether a file begins like a sealed archive."""
    try:
        descriptor = open_file(path)
    except OSError:
        return False
    try:
        return read_at(descriptor, 0, 4) == b"PK\x03\x04"
    except OSError:
        return False
    finally:
        release(descriptor)


def _on_disk(place: str) -> Store:
    """The store of a folder, or of a sealed archive in a file."""
    path = Path(place)
    try:
        is_folder = path.is_dir()
        exists = is_folder or os.path.lexists(path)
    except OSError as error:
        raise refusal(error, path, "open the archive") from error
    if is_folder:
        return FolderStore(path)
    if is_sealed(path):
        from kinpack.archive.stores.ranged import LocalFile
        from kinpack.archive.stores.sealed_store import SealedStore

        return SealedStore(LocalFile(path))
    what = "is a file, no archive" if exists else "there is no such archive"
    raise ArchiveError(
        f"{path}: {what}; check the path, or make one with: kinpack pack SOURCE -o {path}"
    )


def _in_a_folder(place: str) -> Store:
    return FolderStore(Path(place))


def _on_the_web(url: str) -> Store:
    """The store of a sealed archive that a web server gives."""
    from kinpack.archive.stores.ranged import HttpFile
    from kinpack.archive.stores.sealed_store import SealedStore

    return SealedStore(HttpFile(url))


def _in_a_bucket(address: str) -> Store:
    from kinpack.archive.stores.object_store import ObjectStore

    return ObjectStore(address)


PATHS = ""
"""The scheme of what is no address but a path on this machine."""

STORES = {
    PATHS: Registration(open=_on_disk, create=_in_a_folder),
    "http": Registration(open=_on_the_web),
    "https": Registration(open=_on_the_web),
    "s3": Registration(open=_in_a_bucket, create=_in_a_bucket),
    "gs": Registration(open=_in_a_bucket, create=_in_a_bucket),
    "az": Registration(open=_in_a_bucket, create=_in_a_bucket),
    "memory": Registration(open=_in_a_bucket, create=_in_a_bucket),
}
"""Stores by the schemes of their addresses, as they stand before ``://``."""
