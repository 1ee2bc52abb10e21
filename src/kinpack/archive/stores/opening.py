"""Opening: which store lies at a path or an address."""

from __future__ import annotations

import os
from pathlib import Path

from kinpack.archive.stores.buckets import is_object_address
from kinpack.archive.stores.folder_store import FolderStore
from kinpack.archive.stores.handles import open_file, read_at, release
from kinpack.archive.stores.store import Store
from kinpack.archive.stores.system_errors import refusal
from kinpack.errors import ArchiveError


def open_store(place: str | os.PathLike[str]) -> Store:
    """The store of an archive: a folder, a sealed archive, an address of one or in a bucket.

    Nothing is known yet of what is in it.

    Args:
        place: a path; or an address that begins with ``http://`` or ``https://`` (of a sealed
            archive), or with ``s3://``, ``gs://``, ``az://`` or ``memory://``.

    Raises:
        ArchiveError: there is nothing, or something else; or the server does not give it.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    check_place(place)
    if isinstance(place, str) and is_object_address(place):
        from kinpack.archive.stores.object_store import ObjectStore

        return ObjectStore(place)
    if isinstance(place, str) and is_address(place):
        from kinpack.archive.stores.ranged import HttpFile
        from kinpack.archive.stores.sealed_store import SealedStore

        return SealedStore(HttpFile(place))
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


def check_place(place: object) -> None:
    """Refuse what is neither a path nor an address.

    Raises:
        ArchiveError: it is neither.
    """
    if not isinstance(place, (str, os.PathLike)):
        raise ArchiveError(
            f"an archive lies at a path or an address, not at something of the type "
            f"{type(place).__name__}; name its folder, first of all arguments"
        )


def new_store(place: str | os.PathLike[str]) -> Store:
    """The store of an archive that is to be made; nothing is made yet.

    Args:
        place: a path, or an address in an object store.

    Raises:
        ArchiveError: it is an address on the web, or neither a path nor an address.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    check_place(place)
    if isinstance(place, str) and is_object_address(place):
        return open_store(place)
    if isinstance(place, str) and is_address(place):
        raise ArchiveError(f"{place}: a web server cannot be written to; name a folder")
    return FolderStore(Path(place))


def is_address(place: str) -> bool:
    """Tell whether a place is an address, on the web or in an object store, and no path."""
    return place.lower().startswith(("http://", "https://")) or is_object_address(place)


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
