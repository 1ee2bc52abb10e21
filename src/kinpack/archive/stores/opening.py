"""Opening: which store lies at a path or an address."""

from __future__ import annotations

import os
from pathlib import Path

from kinpack.archive.stores.store import Store
from kinpack.archive.stores.table import PATHS, STORES
from kinpack.errors import ArchiveError


def open_store(place: str | os.PathLike[str]) -> Store:
    """The store of an archive; nothing is known yet of what is in it.

    Args:
        place: the path of a folder or of a sealed archive; or an address of a scheme of ``STORES``.

    Raises:
        ArchiveError: there is nothing, or something else; or the server does not give it.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    return STORES[_scheme(place)].open(os.fspath(place))


def new_store(place: str | os.PathLike[str]) -> Store:
    """The store of an archive that is to be made; nothing is made yet.

    Args:
        place: a path, or an address of a scheme at which archives can be made.

    Raises:
        ArchiveError: archives there can only be read, or it is neither a path nor an address.
        MissingExtraError: it is in an object store, and obstore is not installed.
    """
    create = STORES[_scheme(place)].create
    if create is None:
        writable = (f"{name}://" for name, line in STORES.items() if name and line.create)
        raise ArchiveError(
            f"{os.fspath(place)}: archives there can only be read; name a folder, or an address "
            f"that begins with {', '.join(writable)}"
        )
    return create(os.fspath(place))


def place_of(given: str | os.PathLike[str]) -> Path | str:
    """A path, or an address as it is."""
    return Path(given) if _scheme(given) == PATHS else os.fspath(given)


def _scheme(place: str | os.PathLike[str]) -> str:
    """The scheme of an address, as the table has it; that of paths for all that is none."""
    if not isinstance(place, (str, os.PathLike)):
        raise ArchiveError(
            f"an archive lies at a path or an address, not at something of the type "
            f"{type(place).__name__}; name its folder, first of all arguments"
        )
    scheme, found, _ = place.partition("://") if isinstance(place, str) else ("", "", "")
    return scheme.lower() if found and scheme.lower() in STORES else PATHS
