"""Give a codec its first look: calibrate it by trying, and measure it on pictures held out.

    python -m benchmarks.ship.first_look --codec default --learn photos=DIR pages=FONTS emoji=DIR \
        --held-out photos=DIR pages=FONTS emoji=DIR -o default.kinc \
        --results benchmarks/results/first_look.json

Each picture is coded at each quality as the codec has learned to, and as AVIF. ``photos`` are read
from a folder and reduced to each of ``SIDES``, ``grey`` the same without colour; ``emoji`` are laid
on white and enlarged to 128 pixels; ``pages`` are rendered with the fonts of a folder, others for
learning than for holding out. Of the held-out ones is told how often the way that is predicted
costs less, and what is lost against knowing: in log2 of the cost, as percent.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from benchmarks.lattice.rendered_pictures import fonts_in, rendered
from benchmarks.measuring.data import is_held_out, thumbnail
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from kinpack.codec.choice.efforts import EFFORTS
from kinpack.codec.choice.first_look import FirstLook, sights
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Classic, Target, lam
from kinpack.learn.freezing.classic_rule import extended
from kinpack.pictures.images import Image, composite_on_white, load_image, squared_error, to_pil
from kinpack.sources.opening import open_source

SIDES = (96, 160, 256)
"""Shorter or, of rendered pages, both sides, in pixels."""
QUALITIES = (36, 60, 80)
NEVER: Classic = "never"
AUTO: Classic = "auto"
Tries = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]
"""Of each try which picture, what is seen of it, and log2 of the learned cost over AVIF's."""
MOST = 256 * 384
"""Pixels of the largest."""
PAGE = 512
"""Side at which pages are rendered before they are reduced."""


def photographs(folder: Path, count: int, held_out: bool) -> Iterator[Image]:
    """Photographs of a folder, evenly spread over it, at a side of ``SIDES`` in turn."""
    listed = list(open_source(folder))
    places = sorted({round(x) for x in np.linspace(0, len(listed) - 1, count)})
    for k, place in enumerate(places):
        yield thumbnail(listed[place].load(), SIDES[k % len(SIDES)])


def grey(folder: Path, count: int, held_out: bool) -> Iterator[Image]:
    """The same without colour."""
    for image in photographs(folder, count, held_out):
        yield load_image(to_pil(image).convert("L"))


def pages(fonts: Path, count: int, held_out: bool) -> Iterator[Image]:
    """Rendered pages, screens and drawings."""
    found = fonts_in(fonts)
    for k in range(count):
        page = rendered(k + 10_000 * held_out, PAGE, found)
        yield thumbnail(page, SIDES[k % len(SIDES)])


def emoji(folder: Path, count: int, held_out: bool) -> Iterator[Image]:
    """Emoji on white, enlarged to 128 pixels; none on both sides has a sibling on the other."""
    listed = [item for item in open_source(folder) if is_held_out(item.id) == held_out]
    for place in sorted({round(x) for x in np.linspace(0, len(listed) - 1, count)}):
        drawn = to_pil(composite_on_white(listed[place].load()))
        yield load_image(drawn.resize((128, 128), Pillow.Resampling.LANCZOS))


KINDS: dict[str, Callable[[Path, int, bool], Iterator[Image]]] = {
    "photos": photographs,
    "grey": grey,
    "pages": pages,
    "emoji": emoji,
}


def tried(codec: Codec, images: Sequence[Image]) -> Tries:
    """What is seen of images at each of ``QUALITIES``, log2 of the costs' ratio, which image."""
    seen, ratios, places = [], [], []
    plain = Codec.load("classic")
    for place, image in enumerate(images):
        for quality in QUALITIES:
            costs = []
            for coder, rule in ((codec, NEVER), (plain, AUTO)):
                (packet,) = coder.encode([image], Target(quality=quality, classic=rule))
                error = squared_error(image, coder.decode([packet])[0])
                costs.append(8 * len(packet.payload) + lam(quality) * error)
            seen.append(sights([image], [quality])[0])
            ratios.append(np.log2(costs[0] / costs[1]))
            places.append(place)
    return np.array(places), np.array(seen), np.array(ratios)


def kept(file: Path, codec: Codec, images: Sequence[Image]) -> Tries:
    """What `tried` gives, read from a file if it is there, else written into it."""
    if not file.exists():
        places, seen, ratios = tried(codec, images)
        np.savez(file, places=places, seen=seen, ratios=ratios)
    with np.load(file) as arrays:
        return arrays["places"], arrays["seen"], arrays["ratios"]


def told(look: FirstLook, seen: NDArray[np.float64], ratios: NDArray[np.float64]) -> dict[str, Any]:
    """How well a first look tells: of all, and where it is clear enough for ``default``."""
    scores = seen @ np.array(look.weights) / look.spread
    lost = np.where((scores > 0) == (ratios > 0), 0.0, np.abs(ratios))
    clear = np.abs(scores) > EFFORTS["default"].clear
    return {
        "tries": len(ratios),
        "learned_wins": round(float((ratios < 0).mean()), 3),
        "right": round(float((lost == 0).mean()), 3),
        "lost_percent": _percent(lost),
        "clear": round(float(clear.mean()), 3),
        "lost_percent_where_clear": _percent(lost * clear),
        "lost_percent_always_classic": _percent(np.maximum(-ratios, 0)),
    }


def _percent(logarithms: NDArray[np.float64]) -> float:
    return round(float(100 * (np.exp2(logarithms.mean()) - 1)), 2)


def pictures(folders: Mapping[str, Path], count: int, *, held_out: bool) -> dict[str, list[Image]]:
    """Pictures of each kind, of a folder each."""
    return {name: list(KINDS[name](at, count, held_out)) for name, at in folders.items()}


def calibrated(codec: Codec, folders: Mapping[str, Path], *, count: int, work: Path) -> FirstLook:
    """First look of a codec, by trying.

    Args:
        codec: a learned one.
        folders: of each kind of pictures.
        count: pictures of each kind.
        work: folder in which finished tries are kept.
    """
    work.mkdir(parents=True, exist_ok=True)
    known = [
        kept(work / f"{codec.codec_id[:12]}-{name}-learn.npz", codec, images)
        for name, images in pictures(folders, count, held_out=False).items()
    ]
    places, seen, ratios = (np.concatenate(parts) for parts in zip(*known, strict=True))
    return FirstLook.fitted(seen, ratios, places, pixels=MOST)


def by_kind(given: Sequence[str]) -> dict[str, Path]:
    """Folders given as KIND=FOLDER."""
    return {name: Path(at) for name, at in (one.split("=", 1) for one in given)}


def main() -> None:
    """Calibrate, measure, write."""
    parser = argparse.ArgumentParser(description="Calibrate a codec's first look.")
    parser.add_argument("--codec", required=True)
    parser.add_argument("--learn", nargs="+", required=True, metavar="KIND=DIR")
    parser.add_argument("--held-out", nargs="+", required=True, metavar="KIND=DIR")
    parser.add_argument("--count", type=int, default=36, help="pictures of each kind")
    parser.add_argument("--work", type=Path, help="folder in which finished tries are kept")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    args = parser.parse_args()
    codec = Codec.load(args.codec)
    work = args.work or Path(tempfile.mkdtemp())
    look = calibrated(codec, by_kind(args.learn), count=args.count, work=work)
    rows = []
    held_out = pictures(by_kind(args.held_out), args.count // 2, held_out=True)
    for name, images in held_out.items():
        found = kept(work / f"{codec.codec_id[:12]}-{name}-held-out.npz", codec, images)
        rows.append({"data": name, "images": len(images), **told(look, *found[1:])})
        print(rows[-1], flush=True)
    made = extended(codec, {"first_look": look.to_dict()})
    args.output.write_bytes(made.to_bytes())
    print(f"{args.output}: {made.n_bytes} bytes, {made.codec_id}, spread {look.spread:.3f}")
    head = run_head(seed=0)
    save_results(
        args.results,
        {
            "spread": look.spread,
            "learned_from": len(args.learn) * args.count,
            "rows": rows,
            "machine": head,
        },
    )


if __name__ == "__main__":
    main()
