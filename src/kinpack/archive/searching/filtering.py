"""Which images may be found: filters are a mask of all images, made before any code is scanned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.searching.index_table import index_table, table_of
from kinpack.archive.searching.searched import Rows
from kinpack.archive.segments.segment import Index
from kinpack.errors import see_memory, shown
from kinpack.search.distances.distance import SearchError
from kinpack.search.query import Query, check_expression

if TYPE_CHECKING:
    import pyarrow.compute as pc

_TOLD = 8  # labels that a message names
_LINE = 160  # characters of a reason that a message tells
_OWN = ("id", "label", "width", "height", "channels", "kind", "quality", "length")


def passing(rows: Rows, query: Query) -> NDArray[np.bool_] | None:
    """Tell which images pass the filters of a query.

    Returns:
        bool (images,), ``None`` where nothing is filtered.

    Raises:
        SearchError: none passes.
        ArchiveError: a segment is missing or damaged.
    """
    if not query.filters:
        return None
    parts = [np.zeros(0, bool)]
    try:
        for segment, live in rows.parts():
            mask = _passing(segment.index, query)
            parts.append(mask if live is None else mask[live])
    except FilterError as error:
        raise no_filter(rows, error) from error
    mask = np.concatenate(parts)
    if len(mask) and not mask.any():
        raise SearchError(f"{rows.where}: {_reason(rows, query)}")
    return mask


def holding(rows: Rows, expression: pc.Expression) -> NDArray[np.bool_]:
    """Tell for which images an expression holds, bool (images,).

    Raises:
        SearchError: it cannot be evaluated: a column is not there, or of another type.
        ArchiveError: a segment is missing or damaged.
    """
    check_expression(expression)
    try:
        return _holds(table_of(rows), expression)
    except FilterError as error:
        raise no_filter(rows, error) from error


class FilterError(ValueError):
    """A filter cannot be evaluated; the text says why."""


def no_filter(rows: Rows, reason: object) -> SearchError:
    """The error for a filter that is none over the columns that there are."""
    line = shown(" ".join(str(reason).split()))
    return SearchError(
        f"{rows.where}: the filter cannot be applied ({line[:_LINE]}); columns are "
        f"{', '.join([*_OWN, *rows.schema])}"
    )


def _holds(table: Any, expression: pc.Expression) -> NDArray[np.bool_]:
    """For which rows of a table an expression holds; not where it is null."""
    import pyarrow as pa
    import pyarrow.acero as acero
    import pyarrow.compute as pc

    plan = acero.Declaration.from_sequence(
        [
            acero.Declaration("table_source", acero.TableSourceNodeOptions(table)),
            acero.Declaration("project", acero.ProjectNodeOptions([expression], ["holds"])),
        ]
    )
    try:
        found = plan.to_table(use_threads=False).column(0)
    except (pa.ArrowException, ValueError, TypeError, KeyError) as error:
        see_memory(error, "a filter")
        raise FilterError(str(error).partition(" in ")[0] or type(error).__name__) from error
    if found.type != pa.bool_():
        raise FilterError(f"it gives {found.type}, no bool")
    masks = [_bools(pc.fill_null(chunk, False)) for chunk in found.chunks]
    return np.concatenate([np.zeros(0, bool), *masks])


def _passing(index: Index, query: Query) -> NDArray[np.bool_]:
    """The same of one segment's images, deleted ones included."""
    import pyarrow.compute as pc

    mask = np.ones(len(index.ids), bool)
    for name in ("width", "height"):
        least, most = getattr(query, f"min_{name}"), getattr(query, f"max_{name}")
        if least is not None:
            mask &= index.numbers[name] >= least
        if most is not None:
            mask &= index.numbers[name] <= most
    if query.id_prefix is not None:
        known = _encodable(query.id_prefix)
        mask &= _bools(pc.starts_with(index.ids, query.id_prefix)) if known else False
    if query.where is not None:
        mask &= _holds(index_table(index), query.where)
    if query.labels is not None:
        labels = index.optional["label"]
        asked = [label for label in query.labels if _encodable(label)]
        mask &= _bools(pc.is_in(labels, value_set=_values(asked, labels.type)))
    return mask


def _values(texts: list[str], type_: Any) -> Any:
    import pyarrow as pa

    return pa.array(texts, getattr(type_, "value_type", type_))


def _encodable(text: str) -> bool:
    """Whether any image could have such a text: no file holds a lone surrogate."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _bools(array: Any) -> NDArray[np.bool_]:
    """An Arrow array of bools, none of them null; its own way to numpy would import pandas."""
    bits = np.unpackbits(np.frombuffer(array.buffers()[1], np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)


def _reason(rows: Rows, query: Query) -> str:
    """Why no image passes, and what to do."""
    if query.labels is not None:
        import pyarrow as pa

        there: set[str] = set()
        for segment, live in rows.parts():
            labels = segment.index.optional["label"]
            some_labels = labels if live is None else labels.take(pa.array(live))
            there.update(label for label in some_labels.unique().to_pylist() if label is not None)
        if there.isdisjoint(query.labels):
            asked = ", ".join(map(repr, query.labels))
            some = ", ".join(map(repr, sorted(there)[:_TOLD])) or "none at all"
            more = f" and {len(there) - _TOLD:,} more" if len(there) > _TOLD else ""
            return f"no image has the label {asked}; there are {some}{more}"
    filters = {name: repr(value) for name, value in query.filters.items()}
    if query.where is not None:
        filters["where"] = " ".join(str(query.where).split())[:_LINE]
    said = ", ".join(f"{name}={value}" for name, value in filters.items())
    return f"no image passes {said}; ask for less"
