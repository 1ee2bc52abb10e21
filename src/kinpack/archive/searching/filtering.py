"""Which images may be found: filters are a mask of all images, made before any code is scanned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.searching.searched import Rows
from kinpack.archive.segments.segment import Index
from kinpack.search.distances.distance import SearchError
from kinpack.search.query import Query

_TOLD = 8  # labels that a message names


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
    for segment, live in rows.parts():
        mask = _passing(segment.index, query)
        parts.append(mask if live is None else mask[live])
    mask = np.concatenate(parts)
    if len(mask) and not mask.any():
        raise SearchError(f"{rows.where}: {_reason(rows, query)}")
    return mask


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
    said = ", ".join(f"{name}={value!r}" for name, value in query.filters.items())
    return f"no image passes {said}; ask for less"
