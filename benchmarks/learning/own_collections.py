"""Collections that codecs of one's own are learned from, and what is held out of each.

- `fashion-mnist`: its train split; `emoji`: those whose name without skin tone is not held out. Of
  both, learning holds out some.
- `clothes`: photographs of a folder, such as phone photographs of clothes, reduced to `SIDE`; those
  that no codec learns from (`training_patches.held_out`) are held out.
- `pages`: rendered text, screens, tables, drawings and charts. `greys`: rendered grey surfaces,
  smooth with fine lines, which stand in for pictures of cameras over a production line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from benchmarks.lattice.rendered_pictures import fonts_in, grey_surface, rendered
from benchmarks.lattice.training_patches import held_out, reduced
from benchmarks.measuring.data import is_held_out
from benchmarks.rates.kept_pictures import FIRST, KINDS, Sources, kept_pictures
from benchmarks.rates.measured_curves import Plan
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image
from kinpack.sources.items import Item, Source
from kinpack.sources.opening import open_source

NAMES = ("fashion-mnist", "emoji", "clothes", "pages", "greys")
SIDE = 256
"""Shorter side, in pixels, of clothes, pages and greys."""
COUNT = 2000
"""Clothes, pages and greys that are learned from, at most."""
MEASURED = 24
"""Of these, held-out ones that are measured."""


@dataclass(frozen=True)
class OwnCollection:
    """A collection.

    Attributes:
        source: what is learned from.
        held_out: what is measured; None where learning holds out some of the source.
        plan: range of PSNR that is measured.
    """

    source: Source
    held_out: list[Image] | None
    plan: Plan


class Listed:
    """A source of items that are loaded when they are asked for."""

    def __init__(self, name: str, items: list[Item]) -> None:
        self.name, self._items = name, items

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)


def own_collection(
    name: str,
    *,
    fashion: Path | None = None,
    emoji: Path | None = None,
    clothes: Path | None = None,
    fonts: Path | None = None,
    count: int = COUNT,
    measured: int = MEASURED,
) -> OwnCollection:
    """A collection of `NAMES`.

    Args:
        name: which one.
        fashion: folder of Fashion-MNIST as Parquet files.
        emoji: folder of emoji, a folder for each category.
        clothes: folder of photographs.
        fonts: folder of TrueType fonts, for pages.
        count: pictures that are learned from, at most; of fashion-mnist and emoji always all.
        measured: held-out pictures that are measured; those two leave them to learning.

    Raises:
        KinpackError: its folder is not given, or the name is not known.
    """
    if name == "greys":
        return _rendered(name, partial(grey_surface, side=SIDE), Sources(), count, measured)
    given = {"fashion-mnist": fashion, "emoji": emoji, "clothes": clothes, "pages": fonts}
    folder = given.get(name)
    if folder is None:
        raise KinpackError(f"{name}: there is no such collection, or its folder is not given")
    plan = KINDS["photographs"].plan
    if name == "fashion-mnist":
        return OwnCollection(open_source(folder, split="train"), None, plan)
    if name == "emoji":
        learnable = [item for item in open_source(folder) if not is_held_out(item.id)]
        return OwnCollection(Listed("emoji, without those held out", learnable), None, plan)
    if name == "pages":
        draw = partial(rendered, side=SIDE, fonts=fonts_in(folder))
        return _rendered(name, draw, Sources(fonts=folder), count, measured)
    learnable = [
        Item(item.id, item.label, partial(_small, item))
        for item in open_source(folder)
        if not held_out(item.id)
    ]
    kept = kept_pictures("photographs", SIDE, Sources(learned_from=[folder]), count=measured)
    return OwnCollection(Listed(name, learnable[:count]), kept.images, plan)


def _small(item: Item) -> Image:
    return reduced(item.load(), SIDE)


def _rendered(
    name: str, draw: Callable[[int], Image], sources: Sources, count: int, measured: int
) -> OwnCollection:
    """Pictures of other numbers than those that are measured."""
    kept = kept_pictures(name, SIDE, sources, count=measured)
    numbers = islice(range(FIRST + measured, 2 * FIRST), count)
    items = [Item(f"{name}-{number}", None, partial(draw, number)) for number in numbers]
    return OwnCollection(Listed(name, items), kept.images, KINDS[name].plan)
