"""Items: single pictures of a collection, decoded when asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, runtime_checkable

from kinpack.column_types import Schema
from kinpack.errors import ImageError, SourceError
from kinpack.pictures.images import Image

MISSING = "missing"
"""The column that says what share of a picture is missing that is taken all the same, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of a source.

    Attributes:
        id: its name, unique within the source, valid UTF-8.
        label: the name of its class, or None.
        load: decodes it to an image, uint8 (H, W, C); raises ``ImageError``, which names it.
        columns: what else is known of it, by the name of an archive's column: a bool, int, float,
            str, date or datetime, or None. What is only known of the file that ``load`` reads is
            there once it has been called.
        file: path of the file that ``load`` reads, where there is one.

    Raises:
        SourceError: the id or the label is no text.
    """

    id: str
    label: str | None
    load: Callable[[], Image]
    columns: Mapping[str, Any] = field(default_factory=dict)
    file: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.id, str) or not isinstance(self.label, str | None):
            raise SourceError(
                f"an item of the id {self.id!r} and the label {self.label!r}: both are texts, or "
                "the label is None; use str(…)"
            )


@runtime_checkable
class Source(Protocol):
    """A collection of pictures of known length that can be iterated any number of times."""

    @property
    def name(self) -> str:
        """What messages call the collection."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


def columns_of(source: object) -> Schema:
    """The types of a source's columns by their names, as far as it tells them before its items."""
    schema = getattr(source, "columns", None)
    return schema if isinstance(schema, Mapping) else {}


def ids_of(source: Source) -> Iterable[str]:
    """The ids of a source, without its pictures where it can tell them so."""
    ids = getattr(source, "ids", None)
    return ids if isinstance(ids, Iterable) else (item.id for item in source)


def refuse(message: str) -> NoReturn:
    """Raise an ``ImageError``: the ``load`` of an item that is known to hold no picture."""
    raise ImageError(message)
