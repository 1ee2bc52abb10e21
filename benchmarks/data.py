"""The pictures that benchmarks are measured on, from folders that the caller names."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from kinpack.errors import SourceError
from kinpack.images import Image
from kinpack.items import Item
from kinpack.sources import open_source

NAMES = ("cifar10-toy", "cifar10-test", "emoji", "thumbnails")
"""Data sets that ``load_pictures`` knows."""

TOY_PER_CLASS = 200


@dataclass(frozen=True)
class Folders:
    """Where the data sets lie; one that is not asked for may be missing.

    Attributes:
        cifar: folder of CIFAR-10 as Parquet files.
        emoji: folder of emoji, RGBA, in a folder for each category.
        thumbnails: folder of any pictures, which are reduced to ``size``.
        size: longest side of a thumbnail, in pixels.
    """

    cifar: Path | None = None
    emoji: Path | None = None
    thumbnails: Path | None = None
    size: int = 64


@dataclass(frozen=True)
class Pictures:
    """A data set in memory.

    Attributes:
        name: as in ``NAMES``.
        items: ids and labels; loading one gives the entry of ``images`` at the same place.
        images: uint8 (H, W, C) each.
    """

    name: str
    items: list[Item]
    images: list[Image]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> int:
        """Sum of width × height over the images."""
        return sum(image.shape[0] * image.shape[1] for image in self.images)

    def sample(self, count: int, *, seed: int) -> Pictures:
        """At most ``count`` of the pictures, drawn at random, in their order."""
        drawn = np.random.default_rng(seed).permutation(len(self))[:count]
        places = sorted(drawn.tolist())
        items, images = [self.items[i] for i in places], [self.images[i] for i in places]
        return Pictures(self.name, items, images)


def load_pictures(name: str, folders: Folders) -> Pictures:
    """Load a data set.

    ``cifar10-test`` is the whole test split; ``cifar10-toy`` the first 200 of each of its classes,
    in file order, class 0 first; ``emoji`` those that are held out of learning; ``thumbnails`` all
    pictures of a folder, reduced.

    Raises:
        SourceError: the name is not known, or the folder is not given or holds no picture.
    """
    if name in ("cifar10-toy", "cifar10-test"):
        items = list(open_source(_given(folders.cifar, name, "--cifar"), split="test"))
        return _loaded(name, toy_database(items) if name == "cifar10-toy" else items)
    if name == "emoji":
        source = open_source(_given(folders.emoji, name, "--emoji"))
        return _loaded(name, [item for item in source if is_held_out(item.id)])
    if name == "thumbnails":
        folder = _given(folders.thumbnails, name, "--thumbnails")
        return _loaded(name, open_source(folder, size=folders.size))
    raise SourceError(f"there is no data set {name!r} for benchmarks; use {', '.join(NAMES)}")


def toy_database(items: Iterable[Item]) -> list[Item]:
    """The first 200 items of each label, in their order, label by label.

    Labels are taken in the order of their names, which for CIFAR-10 is that of its classes.
    """
    by_label: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_label[item.label or ""].append(item)
    return [item for label in sorted(by_label) for item in by_label[label][:TOY_PER_CLASS]]


def is_held_out(name: str) -> bool:
    """Whether an emoji is held out of learning: skin tones of one emoji are all in or all out."""
    base = PurePosixPath(name).stem.partition("--")[0]
    return zlib.crc32(base.encode()) % 5 == 0


def _given(folder: Path | None, name: str, option: str) -> Path:
    if folder is None:
        raise SourceError(f"data set {name!r}: say where it lies with {option} DIR")
    return folder


def _loaded(name: str, items: Iterable[Item]) -> Pictures:
    held, images = [], []
    for item in items:
        image = item.load()
        images.append(image)
        held.append(Item(item.id, item.label, partial(_itself, image)))
    if not held:
        raise SourceError(f"data set {name!r}: no picture is there; check the folder")
    return Pictures(name, held, images)


def _itself(image: Image) -> Image:
    return image
