"""Fitting: qualities at which images, stored in a new archive, fit a number of bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.adding.allocation import allocate, hulls
from kinpack.archive.adding.picture_loading import Batch
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.measured_quality import MeasuredQuality, measured_commit
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.archive.segments.segment_stream import SegmentStream
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.column_types import Schema
from kinpack.errors import ArchiveError, counted
from kinpack.metrics import EXACT_PSNR

if TYPE_CHECKING:
    from kinpack.codec.packets.rates import Rates

GRID = (1, 16, 28, 38, 48, 58, 68, 80, 92, 100)
"""Qualities among which each image's is chosen."""

_ROUNDS = 8
_LONGEST = MeasuredQuality(1, 48.8888, 48.8888)  # figures of as many digits as any have

Points = NDArray[np.int64]


class Fitting:
    """Gathers what images would take and chooses; it keeps numbers and names, no pixels.

    Args:
        base: the new archive's revision before its first commit.
        asked: what the commit notes as asked.
        column_bytes: of a code in each column of codes, by the column's name.
        schema: the types of the columns that users add, by their names.
        where: the archive's name for messages.

    Attributes:
        ids: of the images, in their order.
    """

    def __init__(
        self,
        base: Manifest,
        asked: Mapping[str, Any],
        *,
        column_bytes: Mapping[str, int],
        schema: Schema,
        where: str,
    ) -> None:
        self.ids: list[str] = []
        self._columns: list[Mapping[str, Any]] = []
        self._shapes: list[tuple[int, int, int]] = []
        self._rates: list[Rates] = []
        self._base, self._asked, self._where = base, asked, where
        self._schema = schema
        self._codes = {name: bytes(size) for name, size in column_bytes.items()}

    def take(self, batch: Batch, rates: Rates) -> None:
        """Note images and what they would take.

        Args:
            batch: the images.
            rates: of each at each quality of ``GRID``.
        """
        for _, item, image in batch:
            height, width, channels = image.shape
            self.ids.append(item.id)
            self._columns.append({"label": item.label, **item.columns})
            self._shapes.append((width, height, channels))
        self._rates.append(rates)

    def plan(self, limit: int) -> list[int]:
        """Choose the qualities of the greatest mean PSNR with which the archive fits.

        Args:
            limit: bytes of all files but the codec's and the describers'.

        Returns:
            The quality of each image, in their order. No one quality of ``GRID`` for all that fits
            has a greater mean.

        Raises:
            ArchiveError: not even the cheapest qualities fit.
        """
        if not self.ids:
            return []
        n_bytes = np.concatenate([rates.n_bytes for rates in self._rates])
        value = np.concatenate([rates.psnr for rates in self._rates]).clip(max=EXACT_PSNR)
        replaced = self._replaced()
        value[replaced] = 0.0  # stored, but never seen
        rows = np.arange(len(value))
        steps = hulls(n_bytes, value)
        best = steps.start
        least = self._size(best, replaced)
        if least > limit:
            they_take = "it takes" if len(rows) == 1 else "they take"
            raise ArchiveError(
                f"{self._where}: {counted(len(rows), 'image', 'does/do')} not fit {limit:,} "
                f"bytes; the least that {they_take} is {least:,}: allow as many, or pack smaller "
                "pictures (--size) or fewer"
            )
        for j in np.argsort(-value.sum(0), kind="stable").tolist():
            same = np.full(len(rows), j)
            if n_bytes[:, j].sum() < limit and self._size(same, replaced) <= limit:
                best = same if value[:, j].sum() > value[rows, best].sum() else best
                break
        # What is not payload depends a little on the choice: it is counted anew for each.
        start = int(n_bytes[rows, steps.start].sum())
        budget, too_much = limit - least, int(n_bytes.sum())
        for _ in range(_ROUNDS):
            chosen = allocate(steps, budget)
            if chosen is None:
                break
            spent = int(n_bytes[rows, chosen].sum()) - start
            left = limit - self._size(chosen, replaced)
            if left < 0:
                too_much = min(too_much, spent)
                budget = min(spent + left, too_much - 1)
                continue
            if value[rows, chosen].sum() >= value[rows, best].sum():
                best = chosen
            more = min(spent + left, too_much - 1)
            if more <= budget:
                break
            budget = more
        return [GRID[j] for j in best.tolist()]

    def _replaced(self) -> list[int]:
        """Images whose place a later one of the same id takes."""
        last = {name: i for i, name in enumerate(self.ids)}
        return [i for i, name in enumerate(self.ids) if last[name] != i]

    def _size(self, chosen: Points, replaced: list[int]) -> int:
        """Bytes of the archive: its files as the same code lays them out.

        Payloads and codes are stored as they are, so zeros stand for them. Numbers that are not
        known yet are counted at their longest.
        """
        dead = set(replaced)
        stream = SegmentStream(_Nowhere(), self._base.codec, self._schema)
        killed: dict[int, list[int]] = {}
        i = 0
        for rates in self._rates:
            for n_bytes, kinds in zip(rates.n_bytes, rates.kind, strict=True):
                width, height, channels = self._shapes[i]
                j = int(chosen[i])
                packet = Packet(
                    width=width,
                    height=height,
                    channels=channels,
                    kind=Kind(int(kinds[j])),
                    quality=GRID[j],
                    payload=bytes(int(n_bytes[j])),
                )
                segment, row = stream.add_new(self.ids[i], self._columns[i], packet, self._codes)
                if i in dead:
                    killed.setdefault(segment, []).append(row)
                i += 1
        stream.flush()
        entries: tuple[SegmentEntry, ...] = tuple(
            replace(entry, index_crc32=0xFFFFFFFF).without(killed.get(place, ()))
            for place, entry in enumerate(stream.segments)
        )
        change = {"verb": "add", "added": i, "replaced": i}
        reached = replace(_LONGEST, images=i)
        return measured_commit(
            self._base, entries, change, self._asked, reached, stream.schema
        ).bytes_on_disk


class _Nowhere:
    """Takes files and forgets them."""

    def where(self, name: str) -> str:
        return name

    def create(self, name: str, data: bytes | memoryview) -> bool:
        return True

    def delete(self, *names: str) -> None:
        pass
