"""Archives in DuckDB: a table of the images that an archive shows, and functions that give them.

The Parquet files of an archive hold what was deleted or renamed as it was before; this does not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kinpack.archive.revisions.reader import Reader
from kinpack.errors import ArchiveError
from kinpack.search.distances.distance import SearchError

__all__ = ["register"]

if TYPE_CHECKING:
    import duckdb

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")


def register(connection: duckdb.DuckDBPyConnection, archive: Reader, name: str = "images") -> None:
    """Show an archive's revision in DuckDB.

    ``SELECT id, label, images_file(id) FROM images WHERE width > 200``: the table has the columns
    of ``Archive.table``; ``<name>_file`` gives an image as a file, AVIF or WebP as it is stored,
    else PNG; ``<name>_pixels`` gives its pixels, uint8, row by row, of height × width × channels.

    Args:
        connection: of DuckDB; the archive must stay open for as long as it is asked.
        archive: the revision that it shows now.
        name: of the table, and the begin of the functions' names.

    Raises:
        SearchError: the name is none that SQL takes as it is.
        ArchiveError: a segment is missing or damaged.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SearchError(f"{name!r} is no name of a table; use letters, digits and _")
    if not isinstance(archive, Reader):
        raise ArchiveError("what is registered is an open archive: give what Archive.open gives")
    connection.register(name, archive.table())
    functions: dict[str, Callable[[list[str]], list[bytes]]] = {
        "file": lambda ids: [archive.file(one).data for one in ids],
        "pixels": lambda ids: [image.tobytes() for image in archive.read_many(ids)],
    }
    database: Any = connection  # whose words for types are no strings to a type checker
    for what, function in functions.items():
        database.create_function(
            f"{name}_{what}", _by_column(function), ["VARCHAR"], "BLOB", type="arrow"
        )


def _by_column(function: Callable[[list[str]], list[bytes]]) -> Callable[[Any], Any]:
    """A function of ids as DuckDB calls it: with a column of them."""

    def call(ids: Any) -> Any:
        import pyarrow as pa

        return pa.array(function(ids.to_pylist()), pa.binary())

    return call
