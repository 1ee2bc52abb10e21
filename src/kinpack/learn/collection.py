"""Reading the pictures that a codec is learned from."""

from __future__ import annotations

import heapq
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import ImageError, SourceError
from kinpack.pictures.images import composite_on_white, load_image, to_pil
from kinpack.sources.items import Item, Source

LONGEST_SIDE = 512
"""Longest side, in pixels, to which pictures are reduced before learning from them."""
MOST_IMAGES = 60_000
"""Most images that are held to learn from; of larger collections a sample is drawn."""
MOST_BYTES = 1_500_000_000
"""Most bytes that these may take in memory."""

_log = logging.getLogger(__name__)

_AT_ONCE = 256


@dataclass(frozen=True)
class Read:
    """A picture as it is learned from.

    Attributes:
        item: that it was read from.
        image: uint8 (H, W, 3), sides up to ``LONGEST_SIDE``, laid over white.
        grey: whether it is grey.
        alpha: uint8 (H, W); None where all is opaque.
    """

    item: Item
    image: NDArray[np.uint8]
    grey: bool
    alpha: NDArray[np.uint8] | None

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.image.nbytes + (0 if self.alpha is None else self.alpha.nbytes)


@dataclass(frozen=True, slots=True)
class Collection:
    """Pictures to learn from, held in memory.

    Attributes:
        pictures: in the order of the sources.
        broken: ids of pictures that were left out since they cannot be read.
    """

    pictures: list[Read]
    broken: list[str]


def read_collection(
    sources: Sequence[Source],
    *,
    seed: int = 0,
    most_images: int = MOST_IMAGES,
    most_bytes: int = MOST_BYTES,
    threads: int | None = None,
    skip_broken: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Collection:
    """Read pictures to learn from; of too many, a sample without a bias, fixed by the seed.

    Transparent pictures are laid over white, grey ones become RGB, large ones are reduced.

    Args:
        sources: the collections.
        seed: of the sample.
        most_images: how many to keep.
        most_bytes: how much memory they may take.
        threads: to read with.
        skip_broken: whether pictures that cannot be read are left out; else the first one stops.
        progress: called with the number of images just read.

    Raises:
        SourceError: there is no image, or a source fails.
        ImageError: a picture cannot be read.
    """
    # Every picture draws a lot; those with the lowest ones are kept, so that one pass suffices.
    lots = np.random.default_rng((seed, 1))
    kept: list[tuple[float, int, Read]] = []  # a heap, highest lot first
    n_bytes, highest = 0, 1.0
    broken: list[str] = []
    numbered = enumerate(chain.from_iterable(sources))
    with ThreadPoolExecutor(threads or min(4, os.cpu_count() or 1)) as pool:
        while chunk := list(islice(numbered, _AT_ONCE)):
            drawn = zip(lots.random(len(chunk)).tolist(), chunk, strict=True)
            wanted = [(lot, i, item) for lot, (i, item) in drawn if lot < highest]
            pictures = pool.map(_load, [item for _, _, item in wanted])
            for (lot, i, item), picture in zip(wanted, pictures, strict=True):
                if isinstance(picture, ImageError):
                    if not skip_broken:
                        pool.shutdown(cancel_futures=True)
                        raise picture
                    _log.warning("kinpack: left out: %s", picture)
                    broken.append(item.id)
                    continue
                heapq.heappush(kept, (-lot, i, picture))
                n_bytes += picture.nbytes
                while len(kept) > most_images or (n_bytes > most_bytes and len(kept) > 1):
                    lot, _, dropped = heapq.heappop(kept)
                    highest, n_bytes = -lot, n_bytes - dropped.nbytes
            if progress:
                progress(len(chunk))
    if not kept:
        names = ", ".join(source.name for source in sources) or "no source"
        raise SourceError(
            f"{names}: there is no picture to learn from; name a source that has some"
        )
    read = [picture for _, _, picture in sorted(kept, key=lambda one: one[1])]
    return Collection(read, broken)


def _load(item: Item) -> Read | ImageError:
    try:
        image = original(item)
    except ImageError as error:
        return error
    alpha = image[:, :, 3].copy() if image.shape[2] == 4 else None
    if alpha is not None and (alpha == 255).all():
        alpha = None
    return Read(item, composite_on_white(image), image.shape[2] == 1, alpha)


def original(item: Item) -> NDArray[np.uint8]:
    """A picture as it is read, reduced where it is large."""
    image = item.load()
    if max(image.shape[:2]) > LONGEST_SIDE:
        image = load_image(to_pil(image), size=LONGEST_SIDE, where=item.id)
    return image
