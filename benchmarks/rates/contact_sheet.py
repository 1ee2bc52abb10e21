"""A contact sheet of ten pictures at equal bytes: the original, kinpack, AVIF and WebP.

    python -m benchmarks.rates.contact_sheet --fonts DIR --codec default \
        -o benchmarks/results/contact_sheet.webp

AVIF at speed 4 and one quality for all says how many bytes a picture has, its header not counted.
The learned payload with its 8-byte code, and the WebP file, are the best that take no more. Seven
photographs are those of the demo (scikit-image's wheel: CC0, or in the public domain), three
pictures are rendered, so that the sheet may be kept in the repository; other photographs are taken
with --photographs. Beside the picture lies a JSON file of bytes and measures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from benchmarks.demo.pictures import PHOTOGRAPHS, photograph_folder
from benchmarks.lattice.rendered_pictures import fonts_in, grey_surface, rendered, smooth
from benchmarks.measuring.codes import SEARCHED_BYTES
from benchmarks.measuring.data import square_thumbnail
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.measures import likeness
from benchmarks.measuring.result_file import save_results
from benchmarks.rates.kept_pictures import FIRST
from benchmarks.rates.rivals import AVIF, WEBP, Rival, code, grey
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image, load_image, to_pil
from kinpack.sources.opening import open_source

SIDE = 256
SHOWN = ("cat", "coffee", "astronaut", "rocket", "galaxies", "tissue", "cameraman")
COUNT = 10
NAMES = ("original", "kinpack, learned", "AVIF", "WebP")
QUALITIES = (1, 99)
MARGIN, GAP, CAPTION, PICTURES_A_ROW = 16, 6, 34, 2
PAPER, INK = (250, 250, 248), (32, 33, 36)


@dataclass(frozen=True)
class Coded:
    """A picture as one codec keeps it: its bytes, and what is drawn of them."""

    bytes: int
    drawn: Image


def photographs(folder: Path | None) -> Iterator[tuple[str, Image]]:
    """Names and squares of `SIDE` pixels: the demo's, or those of a folder."""
    if folder is not None:
        for item in open_source(folder):
            yield item.id, square_thumbnail(item.load(), SIDE)
        return
    for name in SHOWN:
        with Pillow.open(photograph_folder() / PHOTOGRAPHS[name]) as picture:
            colour = "L" if picture.mode == "L" else "RGB"
            yield name, square_thumbnail(load_image(picture.convert(colour)), SIDE)


def pictures(folder: Path | None, fonts: Sequence[Path]) -> list[tuple[str, Image]]:
    """Names and squares of the sheet: photographs, then rendered ones."""
    drawn = [
        ("page", rendered(FIRST, SIDE, fonts)),
        ("smooth", smooth(FIRST + 1, SIDE)),
        ("grey surface", grey_surface(FIRST, SIDE)),
    ]
    shown = [pair for pair, _ in zip(photographs(folder), range(COUNT - len(drawn)), strict=False)]
    return shown + drawn


def learned(codec: Codec, image: Image, quality: int) -> Coded:
    """The learned payload with its code."""
    packets = codec.encode([image], quality=quality, classic="never")
    size = sum(len(packet.payload) + SEARCHED_BYTES for packet in packets)
    return Coded(size, codec.decode(packets)[0])


def rival(one: Rival, image: Image, quality: int) -> Coded:
    """A rival's payload, which of WebP is the file."""
    _, payload, drawn = code(image, grey(one) if image.shape[2] == 1 else one, quality)
    return Coded(payload, drawn)


def best_within(make: Callable[[int], Coded], most: int) -> Coded:
    """The best that takes at most so many bytes, which rise with quality; else the smallest."""
    low, high = QUALITIES
    best = make(low)
    while low < high:
        middle = -(-(low + high) // 2)
        found = make(middle)
        if found.bytes <= most:
            low, best = middle, found
        else:
            high = middle - 1
    return best


def row_of(codec: Codec, image: Image, quality: int) -> list[Coded]:
    """A picture by each codec in the order of `NAMES`, the original left out."""
    avif = rival(AVIF, image, quality)
    return [
        best_within(lambda q: learned(codec, image, q), avif.bytes),
        avif,
        best_within(lambda q: rival(WEBP, image, q), avif.bytes),
    ]


def draw(path: Path, shown: Sequence[tuple[Image, list[Coded], list[dict[str, float]]]]) -> None:
    """Write the sheet.

    Args:
        path: a WebP or PNG file, written without loss.
        shown: of each picture the original, what each codec made of it, and its measures.
    """
    columns, rows = PICTURES_A_ROW * len(NAMES), -(-len(shown) // PICTURES_A_ROW)
    width = 2 * MARGIN + columns * (SIDE + GAP) + (PICTURES_A_ROW - 1) * MARGIN
    sheet = Pillow.new("RGB", (width, 2 * MARGIN + rows * (SIDE + CAPTION)), PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (image, coded, found) in enumerate(shown):
        down, across = divmod(number, PICTURES_A_ROW)
        y = MARGIN + down * (SIDE + CAPTION)
        tiles = [image, *(each.drawn for each in coded)]
        lines = [
            "",
            *(
                f"{each.bytes:,} B  {values['psnr']:.1f} dB  {values['ssimulacra2']:.0f}"
                for each, values in zip(coded, found, strict=True)
            ),
        ]
        for column, (tile, name, line) in enumerate(zip(tiles, NAMES, lines, strict=True)):
            x = MARGIN + across * (len(NAMES) * (SIDE + GAP) + MARGIN) + column * (SIDE + GAP)
            sheet.paste(to_pil(tile).convert("RGB"), (x, y))
            pen.text((x, y + SIDE + 3), f"{name}  {line}", font=font, fill=INK)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, lossless=True, quality=100, method=6)


def run(arguments: argparse.Namespace) -> None:
    """Code each picture, draw the sheet, and write what was measured."""
    codec = Codec.load(arguments.codec)
    shown, rows = [], []
    for name, image in pictures(arguments.photographs, fonts_in(arguments.fonts)):
        coded = row_of(codec, image, arguments.quality)
        found = [likeness(image, each.drawn) for each in coded]
        shown.append((image, coded, found))
        for label, each, values in zip(NAMES[1:], coded, found, strict=True):
            measured: dict[str, Any] = {k: round(v, 4) for k, v in values.items()}
            rows.append({"picture": name, "codec": label, "bytes": each.bytes, **measured})
            print(rows[-1], flush=True)
    draw(arguments.output, shown)
    means = {
        label: {
            key: round(float(np.mean([row[key] for row in rows if row["codec"] == label])), 3)
            for key in ("bytes", "psnr", "ssim", "ssimulacra2", "ms_ssim")
        }
        for label in NAMES[1:]
    }
    about = {**run_head(seed=0), "codec_id": codec.codec_id, "avif_quality": arguments.quality}
    save_results(
        arguments.output.with_suffix(".json"), {"rows": rows, "means": means, "machine": about}
    )


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description="Ten pictures at equal bytes.")
    parser.add_argument("--codec", default="default", help="default, or a .kinc file")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="others than the demo's")
    parser.add_argument("--fonts", type=Path, required=True, metavar="DIR")
    parser.add_argument("--quality", type=int, default=35, help="AVIF's, which sets the bytes")
    parser.add_argument("-o", "--output", type=Path, required=True, help="WebP or PNG file; .json")
    try:
        run(parser.parse_args())
    except (KinpackError, FileNotFoundError) as error:
        sys.exit(f"contact_sheet: {error}")


if __name__ == "__main__":
    main()
