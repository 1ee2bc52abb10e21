"""Making archives of small pictures, and what must hold of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from fakes.fake_codec import FakeCodec, FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.sources.items import Item

CODEC = FakeCodec()
Place = TypeVar("Place", Path, str)


def make(
    path: Place,
    source: Iterable[Item] | None = None,
    *,
    describer: str | None = None,
    **options: Any,
) -> Place:
    if isinstance(path, Path):
        path.parent.mkdir(exist_ok=True)
    with Archive.create(path, CODEC, describer=describer) as archive:
        archive.add(source if source is not None else pictures(10), **options)
    return path


def reopened(path: Path | str, at: int | None = None) -> Archive:
    return Archive.open(path, at=at, codec=CODEC)


def content(path: Path | str) -> dict[str, tuple[str | None, bytes]]:
    """Every id with its label and pixels, verified."""
    with reopened(path) as archive:
        report = archive.verify(deep=True)
        assert report.ok, report.problems
        assert report.images == len(archive)
        return {
            entry.id: (entry.label, repr(image.shape).encode() + image.tobytes())
            for entry, image in archive.images(batch=3)
        }


def expected(*sources: FakeSource) -> dict[str, tuple[str | None, bytes]]:
    return {
        name: (label, repr(image.shape).encode() + image.tobytes())
        for source in sources
        for name, label, image in source.images
        if image is not None
    }


def hashes(path: Path) -> dict[str, str]:
    return {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*.*")
    }


def renewed(*names: int) -> FakeSource:
    """Other pictures under ids that ``pictures`` gives, too."""
    fresh = pictures(100, seed=9).images
    return FakeSource([fresh[number] for number in names])
