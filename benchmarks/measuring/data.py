"""The pictures that benchmarks are measured on, from folders that the caller names."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image as Pillow

from kinpack.errors import SourceError
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source

NAMES = ("cifar10-toy", "cifar10-test", "fashion-mnist", "emoji", "thumbnails", "thumbs64")
"""Data sets that ``load_pictures`` knows."""

TOY_PER_CLASS = 200
FASHION_COUNT = 2000
"""Pictures of Fashion-MNIST's test split that are measured: the first ones."""
THUMB_SIDE = 64


@dataclass(frozen=True)
class Folders:
    """Where the data sets lie; one that is not asked for may be missing.

    Attributes:
        cifar: folder of CIFAR-10 as Parquet files.
        emoji: folder of emoji, RGBA, in a folder for each category.
        thumbnails: folder of any pictures, which are reduced to ``size``.
        size: longest side of a thumbnail, in pixels.
        fashion: folder of Fashion-MNIST as Parquet files.
        photographs: folder of photographs.
    """

    cifar: Path | None = None
    emoji: Path | None = None
    thumbnails: Path | None = None
    size: int = 64
    fashion: Path | None = None
    photographs: Path | None = None


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
    in file order, class 0 first; ``fashion-mnist`` the first 2,000 of the test split, in grey and
    28×28; ``emoji`` those that are held out of learning; ``thumbnails`` all pictures of a folder,
    reduced; ``thumbs64`` all photographs of a folder as ``square_thumbnail`` makes them.

    Raises:
        SourceError: the name is not known, or the folder is not given or holds no picture.
    """
    if name in ("cifar10-toy", "cifar10-test"):
        items = list(open_source(_given(folders.cifar, name, "--cifar"), split="test"))
        return _loaded(name, toy_database(items) if name == "cifar10-toy" else items)
    if name == "fashion-mnist":
        source = open_source(_given(folders.fashion, name, "--fashion"), split="test")
        return _loaded(name, islice(source, FASHION_COUNT))
    if name == "thumbs64":
        source = open_source(_given(folders.photographs, name, "--photographs"))
        return transformed(_loaded(name, source), lambda image: square_thumbnail(image, THUMB_SIDE))
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


def transformed(pictures: Pictures, change: Callable[[Image], Image]) -> Pictures:
    """The same items with other pictures."""
    items = [Item(i.id, i.label, lambda it=i: change(it.load())) for i in pictures.items]  # type: ignore[misc]
    return _loaded(pictures.name, items)


def square_thumbnail(image: Image, side: int) -> Image:
    """The largest centred square of an image, at ``side`` × ``side`` pixels.

    As Pillow makes thumbnails: a box reduction down to three times the size at least, then Lanczos.
    """
    height, width = image.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    square = to_pil(np.ascontiguousarray(image[top : top + edge, left : left + edge]))
    return _reduced(square, (side, side))


def thumbnail(image: Image, shorter: int) -> Image:
    """An image reduced so that its shorter side has ``shorter`` pixels; the whole of it is kept."""
    height, width = image.shape[:2]
    edge = min(height, width)
    size = ((2 * width * shorter + edge) // (2 * edge), (2 * height * shorter + edge) // (2 * edge))
    return _reduced(to_pil(image), size)


def _reduced(picture: Pillow.Image, size: tuple[int, int]) -> Image:
    return load_image(picture.resize(size, Pillow.Resampling.LANCZOS, reducing_gap=3.0))


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
