"""Tiles: pictures with a few words below each, in strips."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from PIL import Image as Pillow

from kinpack.errors import PayloadError, shown
from kinpack.pictures.images import Image, composite_on_white, load_image, to_pil
from kinpack.search.comparison.comparison import SAME
from kinpack.search.hit import Hit

Read: TypeAlias = Callable[[str], Image]
"""Gives an image of an archive by its id."""

TONES: Mapping[str, str] = {
    "plain": "#111111",
    "exact": "#0a7d32",
    "same": "#1456b8",
    "alike": "#a15c00",
}
"""Colours that words below a picture have on white, by what they tell."""


@dataclass(frozen=True)
class Tile:
    """One picture and what is told of it.

    Attributes:
        picture: the id of an image inside, or a picture itself, uint8 (H, W, C).
        lines: words below it; the first names it.
        tone: a name of ``TONES``.
    """

    picture: str | Image
    lines: tuple[str, ...]
    tone: str = "plain"


@dataclass(frozen=True)
class Strip:
    """Pictures that belong together, such as a query and what it found.

    Attributes:
        title: a line above them; empty for none.
        tiles: in their order.
    """

    title: str
    tiles: Sequence[Tile]


def reduced(tile: Tile, read: Read, *, side: int) -> Image | None:
    """A tile's picture at a longest side, uint8 (h, w, C); None where the image is damaged."""
    try:
        image = read(tile.picture) if isinstance(tile.picture, str) else tile.picture
        return load_image(to_pil(image), size=side)
    except PayloadError:
        return None


def paste(
    sheet: Pillow.Image, place: tuple[int, int], tile: Tile, read: Read, *, side: int
) -> bool:
    """Lay a tile's picture on white into the middle of a square of a sheet.

    Args:
        sheet: RGB; it is changed.
        place: left and top of the square, in pixels.
        tile: whose picture.
        read: gives an image by its id.
        side: of the square.

    Returns:
        Whether it could be drawn; a damaged image cannot.
    """
    small = reduced(tile, read, side=side)
    if small is None:
        return False
    picture = to_pil(composite_on_white(small)).convert("RGB")
    left, top = place
    sheet.paste(picture, (left + (side - picture.width) // 2, top + (side - picture.height) // 2))
    return True


def of_hits(title: str, examples: Sequence[Tile], hits: Sequence[Hit]) -> Strip:
    """Strip of what was looked for and what was found.

    Args:
        title: a line above it.
        examples: pictures that were given; none where words or a vector were.
        hits: what was found.
    """
    return Strip(title, [*examples, *map(_of_hit, hits)])


def _of_hit(hit: Hit) -> Tile:
    alike = f"{'' if hit.compared else '~'}{hit.similarity:.2f}"
    known: Iterator[tuple[str, Any]] = ((n, v) for n, v in hit.columns.items() if v is not None)
    further = tuple(f"{shown(name)}: {shown(str(value))}" for name, value in known)
    label = () if hit.label is None else (shown(hit.label),)
    tone = "same" if hit.compared and hit.similarity >= SAME else "plain"
    return Tile(hit.id, (shown(hit.id), alike, *label, *further), tone)
