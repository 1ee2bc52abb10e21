"""The data sets of the papers as arrays: pictures of one size with a class each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from benchmarks.measuring.data import is_held_out, toy_database
from kinpack.errors import SourceError
from kinpack.pictures.images import composite_on_white
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source
from papers.result_files import written_whole

SIDE = 32
"""Side of every picture as the networks see it, in pixels."""
HUB_NAMES = {"cifar10": "uoft-cs/cifar10", "fashion_mnist": "zalando-datasets/fashion_mnist"}
"""Names on the Hugging Face hub."""
TOY_DRAW = 200
"""Items of each class in a random draw of the toy database."""


@dataclass(frozen=True)
class LabelledPictures:
    """Pictures of one size with a class each.

    Attributes:
        pixels: (n, 32, 32, C) uint8; smaller pictures are padded with their edge.
        labels: (n,) int64, class of each picture, 0 first.
        height: rows of a picture that count; below them is padding.
        width: columns of a picture that count.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: NDArray[np.int64]) -> LabelledPictures:
        """Pictures at the places ``index`` (m,), in that order."""
        return LabelledPictures(self.pixels[index], self.labels[index], self.height, self.width)

    def cropped(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the padding off pictures (m, 32, 32, C)."""
        return pixels[:, : self.height, : self.width]


@dataclass(frozen=True)
class DataSet:
    """A data set in the papers' split.

    Attributes:
        name: ``cifar10``, ``fashion_mnist`` or ``emoji``.
        train: what networks learn from.
        test: what nothing is learned from.
        toy: the database that is measured, ordered by class; part of ``test``.
    """

    name: str
    train: LabelledPictures
    test: LabelledPictures
    toy: LabelledPictures

    @property
    def channels(self) -> int:
        """1 for grey, 3 for colour."""
        return int(self.train.pixels.shape[3])

    def draw(self, number: int) -> LabelledPictures:
        """Another toy database: items of each class drawn from ``test`` at random.

        Args:
            number: which draw; each number gives its own.
        """
        rng = np.random.default_rng([number, 2022])
        chosen = [
            rng.permutation(np.flatnonzero(self.test.labels == c))[:TOY_DRAW]
            for c in np.unique(self.test.labels)
        ]
        return self.test.take(np.concatenate(chosen))


def load_data_set(name: str, folder: Path | None, *, cache: Path | None = None) -> DataSet:
    """Load a data set.

    CIFAR-10 and Fashion-MNIST come from their Parquet files; the toy database is the first 200 test
    pictures of each class. Emoji are composited on white and reduced to 32×32 by area; held out,
    and the toy database whole, are the names with crc32 ≡ 0 (mod 5) before ``--``.

    Args:
        name: ``cifar10``, ``fashion_mnist`` or ``emoji``.
        folder: where the data sets lie, each in the folder of its name; None takes those that
            the hub has from there.
        cache: where to keep the arrays for the next call.

    Raises:
        SourceError: the name is not known, or the files are not there.
    """
    if name not in ("cifar10", "fashion_mnist", "emoji"):
        raise SourceError(f"there is no data set {name!r} for the papers")
    if folder is None and name not in HUB_NAMES:
        raise SourceError(f"data set {name!r}: say where its folder lies with --data DIR")
    place = HUB_NAMES[name] if folder is None else str(folder / name)
    if folder is not None and not Path(place).is_dir():
        raise SourceError(f"{place}: no such folder; say where {name} lies with --data DIR")
    kept = None
    if cache is not None:
        kept = cache / f"{name}.npz"
        if kept.exists():
            return _unpacked(name, kept)
    if name == "emoji":
        items = list(open_source(place))
        held = [item for item in items if is_held_out(item.id)]
        parts = [[item for item in items if not is_held_out(item.id)], held, held]
    else:
        test = list(open_source(place, split="test"))
        parts = [list(open_source(place, split="train")), test, toy_database(test)]
    classes = sorted({item.label or "" for item in parts[0]})
    train, held_out, toy = (_loaded(part, classes) for part in parts)
    data_set = DataSet(name, train, held_out, toy)
    if kept is not None:
        _keep(data_set, kept)
    return data_set


def _loaded(items: Iterable[Item], classes: list[str]) -> LabelledPictures:
    number = {label: i for i, label in enumerate(classes)}
    pixels, labels, size = [], [], (SIDE, SIDE)
    for item in items:
        image = item.load()
        image = image if image.shape[2] == 1 else composite_on_white(image)
        if max(image.shape[:2]) > SIDE:
            reduced = PIL.Image.fromarray(image).resize((SIDE, SIDE), PIL.Image.Resampling.BOX)
            image = np.asarray(reduced)
        size = (image.shape[0], image.shape[1])
        short = ((0, SIDE - size[0]), (0, SIDE - size[1]), (0, 0))
        pixels.append(np.pad(image, short, mode="edge"))
        labels.append(number[item.label or ""])
    order = np.argsort(labels, kind="stable")
    return LabelledPictures(
        np.stack(pixels)[order], np.array(labels, dtype=np.int64)[order], size[0], size[1]
    )


def _keep(data_set: DataSet, path: Path) -> None:
    arrays: dict[str, Any] = {}
    for part in ("train", "test", "toy"):
        pictures: LabelledPictures = getattr(data_set, part)
        arrays[f"{part}_pixels"], arrays[f"{part}_labels"] = pictures.pixels, pictures.labels
    arrays["size"] = np.array([data_set.toy.height, data_set.toy.width])
    # Not compressed, unlike results: it is read at the start of every task.
    with written_whole(path) as unfinished, unfinished.open("wb") as stream:
        np.savez(stream, **arrays)


def _unpacked(name: str, path: Path) -> DataSet:
    with np.load(path, allow_pickle=False) as arrays:
        height, width = (int(n) for n in arrays["size"])
        parts = [
            LabelledPictures(arrays[f"{part}_pixels"], arrays[f"{part}_labels"], height, width)
            for part in ("train", "test", "toy")
        ]
    return DataSet(name, *parts)
