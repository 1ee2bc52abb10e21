"""Journals of a soak: what every writer began and finished, and so what an archive must hold."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from fakes.fake_codec import FakeSource
from kinpack.pictures.images import Image

Batch: TypeAlias = "tuple[int, int] | None"
"""A batch of images that were added together: its version and their number; ``None`` for none."""

Found: TypeAlias = dict[str, dict[int, str | None]]
"""By the name of a batch: the label of each of its images, by their number."""


class Journal:
    """A file to which one process appends; a kill loses nothing that was written.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def note(self, *values: Any) -> None:
        """Append JSON values as one line."""
        os.write(self._descriptor, json.dumps(values).encode() + b"\n")


@dataclass
class Follower:
    """Reads what others have appended to a journal since the last time."""

    path: Path
    _at: int = 0

    def lines(self) -> Iterator[list[Any]]:
        """The new lines."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._at += whole
        for line in data[:whole].splitlines():
            yield json.loads(line)


@dataclass
class Writings:
    """What one writer has done, from its journal.

    A writer notes ``begin``, the name of a batch and what it is to be, before it commits that;
    then ``done``, or ``not`` where a later incarnation found that it was not done.

    Attributes:
        certain: every batch that was finished, as it must be.
        open: the batch that is being changed, and what it will be.
    """

    follower: Follower
    certain: dict[str, Batch] = field(default_factory=dict)
    open: tuple[str, Batch] | None = None

    def read(self) -> list[tuple[str, Batch]]:
        """Follow the journal; gives all changes that were in progress at any time since."""
        seen = [] if self.open is None else [self.open]
        for kind, *rest in self.follower.lines():
            if kind == "begin":
                self.open = (rest[0], None if rest[1] is None else (rest[1][0], rest[1][1]))
                seen.append(self.open)
            elif kind in ("done", "not") and self.open is not None:
                if kind == "done":
                    self.certain[self.open[0]] = self.open[1]
                self.open = None
        return seen


def found_in(entries: Iterable[tuple[str, str | None]]) -> Found:
    """Batches, from ids and labels."""
    found: Found = {}
    for name, label in entries:
        batch, _, number = name.rpartition("/")
        found.setdefault(batch, {})[int(number)] = label
    return found


def is_batch(images: dict[int, str | None], batch: Batch) -> bool:
    """Tell whether the images of a name are a whole batch."""
    wanted: dict[int, str | None] = {}
    if batch is not None:
        wanted = dict.fromkeys(range(batch[1]), f"v{batch[0]}")
    return images == wanted


def wrong_batches(
    found: Found, certain: dict[str, Batch], changing: Iterable[tuple[str, Batch]]
) -> list[str]:
    """Names of batches that are not as they must be.

    Args:
        found: what an archive holds.
        certain: what was finished before it was looked at.
        changing: what was in progress meanwhile.
    """
    allowed: dict[str, list[Batch]] = {name: [batch] for name, batch in certain.items()}
    for name, batch in changing:
        allowed.setdefault(name, [None]).append(batch)
    return [
        name
        for name in {**found, **allowed}
        if not any(is_batch(found.get(name, {}), batch) for batch in allowed.get(name, []))
    ]


def picture(name: str, label: str | None) -> Image:
    """The picture of an id and a label, uint8, shape (height, width, channels)."""
    rng = np.random.default_rng(zlib.crc32(f"{name} {label}".encode()))
    height, width = rng.integers(1, 9, 2)
    return rng.integers(0, 256, (height, width, 3), np.uint8)


def pictures_of(name: str, batch: tuple[int, int]) -> FakeSource:
    """A source of the images of a batch."""
    version, count = batch
    ids = [f"{name}/{number}" for number in range(count)]
    return FakeSource([(one, f"v{version}", picture(one, f"v{version}")) for one in ids])
