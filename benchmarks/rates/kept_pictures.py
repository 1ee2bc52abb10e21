"""The pictures that rates are measured on, by kind and by the size that people keep them at.

- `photographs`: of folders that nothing is learned from, and the held-out ones of folders that are
  learned from (`training_patches.held_out`), reduced by Lanczos, by a quarter at least.
- `pages`: text, screens, tables, drawings and charts, rendered as those that codecs learn from are,
  with other numbers: every second one drawn at its size, the others at twice it and reduced.
- `greys`: rendered grey surfaces, smooth with fine lines.
- `emoji`: held-out ones on white, at their 64 pixels and reduced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.lattice.rendered_pictures import fonts_in, grey_surface, rendered
from benchmarks.lattice.training_patches import FURTHER, held_out, reduced
from benchmarks.measuring.data import Folders, Pictures, load_pictures
from benchmarks.rates.measured_curves import Plan
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image, composite_on_white
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source

LEAST_REDUCTION = 1.25
"""Photographs that are not so many times as large are left out."""
FIRST = 2 * FURTHER
"""Number of the first rendered picture; those that are learned from have smaller ones."""


@dataclass(frozen=True)
class Sources:
    """Where pictures are taken from; what is not asked for may be missing.

    Attributes:
        photographs: folders that nothing is learned from.
        learned_from: folders of which the held-out photographs are taken.
        fonts: folder of TrueType fonts.
        emoji: folder of emoji, RGBA, in a folder for each category.
        seed: of the choice.
    """

    photographs: Sequence[Path] = ()
    learned_from: Sequence[Path] = ()
    fonts: Path | None = None
    emoji: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class Kind:
    """One kind of pictures.

    Attributes:
        sides: shorter sides, in pixels, at which they are measured.
        plan: the range of PSNR.
        images: gives ids and pictures of a side, without end or until there are no more.
    """

    sides: tuple[int, ...]
    plan: Plan
    images: Callable[[Sources, int], Iterator[tuple[str, Image]]]


def kept_pictures(name: str, side: int, sources: Sources, *, count: int) -> Pictures:
    """At most so many pictures of a kind, the same ones each time.

    Args:
        name: of `KINDS`.
        side: shorter side, in pixels.
        sources: where they are taken from.
        count: how many.

    Raises:
        KinpackError: there is none, or their folder is not given.
    """
    items, images = [], []
    for name_of_one, image in KINDS[name].images(sources, side):
        items.append(Item(name_of_one, None, partial(_itself, image)))
        images.append(image)
        if len(images) == count:
            break
    if not images:
        raise KinpackError(f"{name} of {side} pixels: no picture is there; name other folders")
    return Pictures(f"{name}-{side}", items, images)


def _itself(image: Image) -> Image:
    return image


def _photographs(sources: Sources, side: int) -> Iterator[tuple[str, Image]]:
    """From each folder in turn."""
    listed = [
        [item for item in open_source(folder) if not learned or held_out(item.id)]
        for folders, learned in ((sources.photographs, False), (sources.learned_from, True))
        for folder in folders
    ]
    names = [folder.name for folder in (*sources.photographs, *sources.learned_from)]
    waiting = [
        iter([items[i] for i in np.random.default_rng(sources.seed).permutation(len(items))])
        for items in listed
    ]
    going = dict(zip(names, waiting, strict=True))
    while going:
        for name, items in list(going.items()):
            found = next(_large_enough(items, side), None)
            if found is None:
                del going[name]
            else:
                yield f"{name}/{found[0]}", reduced(found[1], side)


def _large_enough(items: Iterator[Item], side: int) -> Iterator[tuple[str, Image]]:
    for item in items:
        image = item.load()
        if min(image.shape[:2]) >= LEAST_REDUCTION * side and image.shape[2] != 4:
            yield item.id, image


def _pages(sources: Sources, side: int) -> Iterator[tuple[str, Image]]:
    if sources.fonts is None:
        raise KinpackError("pages are rendered with fonts: say where they lie with --fonts DIR")
    fonts = fonts_in(sources.fonts)
    for number in range(FIRST, 2 * FIRST):
        larger = 1 + number % 2
        yield f"page-{number}", reduced(rendered(number, larger * side, fonts), side)


def _greys(sources: Sources, side: int) -> Iterator[tuple[str, Image]]:
    for number in range(FIRST, 2 * FIRST):
        yield f"grey-{number}", grey_surface(number, side)


def _emoji(sources: Sources, side: int) -> Iterator[tuple[str, Image]]:
    pictures = load_pictures("emoji", Folders(emoji=sources.emoji))
    for i in np.random.default_rng(sources.seed).permutation(len(pictures)):
        yield pictures.items[i].id, reduced(composite_on_white(pictures.images[i]), side)


KINDS: Mapping[str, Kind] = {
    "photographs": Kind((32, 64, 128, 256, 512), Plan(28, 38, points=6, sample=4), _photographs),
    "pages": Kind((64, 128, 256, 512), Plan(28, 38, points=6, sample=4), _pages),
    "greys": Kind((64, 128, 256), Plan(36, 46, points=6, sample=4), _greys),
    "emoji": Kind((32, 64), Plan(28, 38, points=6, sample=4), _emoji),
}
"""Kinds of pictures, by name."""
