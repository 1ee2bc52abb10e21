"""What a search asks of an archive's revision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.segments.segment import Segment
from kinpack.column_types import Schema
from kinpack.pictures.images import Image
from kinpack.search.engines.packed_codes import PackedCodes

if TYPE_CHECKING:
    from kinpack.describers.describer import Describer


class Rows(Protocol):
    """The images of one revision, by their positions; a ``Snapshot`` is one."""

    @property
    def where(self) -> str:
        """What messages call the archive."""
        ...

    @property
    def schema(self) -> Schema:
        """The types of the columns that users added, by their names."""
        ...

    def __len__(self) -> int: ...

    def __contains__(self, name: object) -> bool: ...

    def position(self, name: str) -> int:
        """The position of an id; a ``NotFoundError`` where it is not there."""
        ...

    def codes_of(self, column: str) -> tuple[PackedCodes, NDArray[np.int64] | None]:
        """The packed codes of a column, and the positions of their images, ascending.

        ``None`` in their place where all images have one.
        """
        ...

    def codes_at(self, column: str, positions: Sequence[int]) -> list[bytes | None]:
        """The packed codes of some images in a column, ``None`` where one has none."""
        ...

    def pixels_at(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pixels of some images, int64 (h,), in their order."""
        ...

    def told_at(self, positions: NDArray[np.int64]) -> dict[str, list[Any]]:
        """What some images are called and what else is known of them, by name of the column."""
        ...

    def parts(self) -> Iterator[tuple[Segment, NDArray[np.int64] | None]]:
        """Every segment with its live rows, ascending; ``None`` where all are."""
        ...


@dataclass(frozen=True, slots=True)
class Searched:
    """A revision as it is searched.

    Attributes:
        rows: its images.
        columns: the names of its columns of codes, the usual one first.
        described: gives the describer of a column by its name; a ``SearchError`` where there is no
            such column.
        draw: gives the image at a position; it is called by several threads.
    """

    rows: Rows
    columns: tuple[str, ...]
    described: Callable[[str], Describer]
    draw: Callable[[int], Image]
