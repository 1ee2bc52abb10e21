"""Conditions in SQL over the index of a revision, run by DuckDB, which can reach nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kinpack.archive.searching.filtering import no_filter
from kinpack.archive.searching.index_table import table_of
from kinpack.archive.searching.searched import Rows
from kinpack.errors import MissingExtraError, see_memory
from kinpack.search.distances.distance import SearchError

if TYPE_CHECKING:
    import pyarrow.compute as pc

_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "threads": "1",
}


def sql_filter(rows: Rows, condition: str) -> pc.Expression:
    """Make an expression of a condition in SQL: it holds for the images that pass now.

    Args:
        rows: the revision.
        condition: what would follow WHERE, over the columns of ``Archive.table``.

    Raises:
        SearchError: it is no condition, a column is not there, or no image passes.
        MissingExtraError: DuckDB is not installed.
        ArchiveError: a segment is missing or damaged.
    """
    import pyarrow.compute as pc

    if not isinstance(condition, str) or not condition.strip():
        raise SearchError('the condition is empty; write one, as "width > 200"')
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtraError(
            "conditions in SQL need the extra: pip install 'kinpack[sql]'"
        ) from error
    with duckdb.connect(":memory:", config=_SETTINGS) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute("SET lock_configuration = true")
        try:
            # As a filter it is one expression: what else SQL has cannot follow it.
            found = database.from_arrow(table_of(rows)).filter(condition).project("id")
            ids = found.to_arrow_table().column("id").combine_chunks()
        except (duckdb.Error, ValueError, OverflowError) as error:
            see_memory(error, "a condition in SQL")
            raise no_filter(rows, str(error).partition("\n")[0]) from error
    if not len(ids):
        raise SearchError(f"{rows.where}: no image passes {condition!r}; ask for less")
    return pc.field("id").isin(ids)
