"""What packing costs at each effort: processor time, and bytes at equal PSNR.

    python -m benchmarks.speed.packing --photographs DIR --fonts DIR --emoji DIR \
        [--sides 64 128 256 512] [--images 10] -o benchmarks/results/packing.json

Pictures of each kind are added to an archive on one thread, at three qualities, and saved by Pillow
as AVIF of speed 6 and as WebP of method 6. Rounds go round: each way once, then each again, so that
what slows the machine slows all; the lowest processor time of each way counts. ``former`` is how
packing chose before there were efforts: a learned payload of each image, four quick AVIFs for the
setting, one of speed 4. Bytes are compared with it at equal mean PSNR, over the range that both
curves cover: payloads, with ours 8 bytes of code, and files without their heads.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from PIL import Image as Pillow

from benchmarks.lattice.rendered_pictures import fonts_in, rendered
from benchmarks.measuring.codes import SEARCHED_BYTES
from benchmarks.measuring.data import is_held_out
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import load_results, save_results
from kinpack.archive.archive import Archive
from kinpack.codec.classic.avif import encode_avif
from kinpack.codec.classic.library_check import DRAW
from kinpack.codec.classic.own_quality import avif_quality_at_slope, webp_quality
from kinpack.codec.classic.payloads import candidates
from kinpack.codec.classic.webp import encode_webp
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Candidate, psnr_of
from kinpack.codec.packets.target import Effort
from kinpack.pictures.images import Image, composite_on_white, load_image, squared_error, to_pil
from kinpack.sources.opening import open_source

QUALITIES = (48, 60, 72)
ROUNDS = 2
LANCZOS = Pillow.Resampling.LANCZOS


class Point(NamedTuple):
    """Bytes of all pictures, the mean of their PSNRs in dB, seconds of processor time."""

    n_bytes: int
    psnr: float
    seconds: float


def pictures_of(kind: str, side: int, args: argparse.Namespace) -> list[Image]:
    """Pictures of a kind whose longest side is a number of pixels."""
    count = args.images

    def reduced(image: Image) -> Image:
        picture = to_pil(image)
        picture.thumbnail((side, side), LANCZOS)
        return load_image(picture)

    if kind == "pages":
        fonts = fonts_in(args.fonts)
        return [reduced(rendered(10_000 + i, 2 * side, fonts)) for i in range(count)]
    if kind == "emoji":
        items = [item for item in open_source(args.emoji) if is_held_out(item.id)]
    else:
        items = list(open_source(args.photographs))
    places = np.linspace(0, len(items) - 1, count).astype(int).tolist()
    if kind == "emoji":
        drawn = [composite_on_white(items[place].load()) for place in places]
        return [load_image(to_pil(one).resize((side, side), LANCZOS)) for one in drawn]
    loaded = [reduced(items[place].load()) for place in places]
    if kind == "grey":
        return [load_image(to_pil(one).convert("L")) for one in loaded]
    return loaded


def archived(codec: Codec, images: Sequence[Image], effort: Effort, quality: int) -> Point:
    """Add images to an archive; only that is timed."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        with Archive.create(Path(folder) / "packed.kin", codec) as archive:
            archive.add(list(images), quality=quality, effort=effort, threads=1)
            seconds = time.process_time() - began
            payloads = int(archive.info()["payload_bytes"])
            drawn = [archive.read(name) for name in archive.ids]
    return Point(payloads + SEARCHED_BYTES * len(images), mean_psnr(images, drawn), seconds)


def formerly(codec: Codec, images: Sequence[Image], quality: int) -> Point:
    """Code images as before there were efforts, those above 64 × 64 pixels."""
    began = time.process_time()
    packets = codec.encode(images, quality=quality, classic="never", threads=1)
    kept: list[Candidate] = []
    for image, packet, picture in zip(images, packets, codec.decode(packets), strict=True):
        own = Candidate(packet.kind, packet.payload, squared_error(image, picture))
        quick = {
            at: candidates(image, quality=at, speed=8, kinds=[Kind.AVIF])[0].cost(quality)
            for at in sorted({min(quality + more, 99) for more in (0, 4, 8, 12)})
        }
        best = min(quick, key=lambda at: quick[at])
        rivals = [own]
        if quick[best] < 1.1 * own.cost(quality) + 60:
            rivals += candidates(image, quality=best)
        kept.append(min(rivals, key=lambda one: one.cost(quality)))
    seconds = time.process_time() - began
    pixels = [image.shape[0] * image.shape[1] for image in images]
    found = [psnr_of(one.error, n) for one, n in zip(kept, pixels, strict=True)]
    n_bytes = sum(len(one.payload) for one in kept) + SEARCHED_BYTES * len(images)
    return Point(n_bytes, float(np.mean(np.minimum(found, 60))), seconds)


def saved(images: Sequence[Image], encode: Callable[[Image], bytes], form: str) -> Point:
    """Save images as files of another form, of which only that is timed; bytes without heads."""
    began = time.process_time()
    payloads = [encode(image) for image in images]
    seconds = time.process_time() - began
    kind = Kind[form]
    drawn = [
        DRAW[kind](data, width=image.shape[1], height=image.shape[0], channels=image.shape[2])
        for image, data in zip(images, payloads, strict=True)
    ]
    return Point(sum(map(len, payloads)), mean_psnr(images, drawn), seconds)


def mean_psnr(images: Sequence[Image], drawn: Sequence[Image]) -> float:
    """Mean of the PSNRs, an exact one counting 60 dB."""
    found = [
        min(60.0, psnr_of(squared_error(a, b), a.shape[0] * a.shape[1]))
        for a, b in zip(images, drawn, strict=True)
    ]
    return float(np.mean(found))


def bytes_ratio(one: Sequence[Point], other: Sequence[Point]) -> float | None:
    """Bytes over another way's at equal PSNR, where both have been."""
    low = max(min(p.psnr for p in one), min(p.psnr for p in other))
    high = min(max(p.psnr for p in one), max(p.psnr for p in other))
    if low >= high:
        return None
    at = np.linspace(low, high, 25)
    curves = []
    for points in (sorted(one, key=lambda p: p.psnr), sorted(other, key=lambda p: p.psnr)):
        logs = np.log([p.n_bytes for p in points])
        curves.append(np.interp(at, [p.psnr for p in points], logs))
    return round(float(np.exp(np.mean(curves[0] - curves[1]))), 4)


def measure(codec: Codec, images: Sequence[Image], efforts: Sequence[Effort]) -> dict[str, Any]:
    """Time of each way, also over that of AVIF at speed 6, and bytes over those of the former."""
    ways: dict[str, Callable[[int], Point]] = {
        "avif-s6": lambda q: saved(
            images,
            lambda one: encode_avif(one, avif_quality=avif_quality_at_slope(q), speed=6),
            "AVIF",
        ),
        "webp-m6": lambda q: saved(
            images, lambda one: encode_webp(one, webp_quality=webp_quality(q)), "WEBP"
        ),
        "former": lambda q: formerly(codec, images, q),
    }
    for effort in efforts:
        ways[effort] = lambda q, e=effort: archived(codec, images, e, q)  # type: ignore[misc]
    points: dict[str, list[Point]] = {}
    for way in ways.values():
        way(QUALITIES[0])  # what is loaded once is loaded
    for _ in range(ROUNDS):
        for name, way in ways.items():
            again = [way(q) for q in QUALITIES]
            before = points.get(name, again)
            points[name] = [
                p._replace(seconds=min(p.seconds, b.seconds))
                for p, b in zip(again, before, strict=True)
            ]
    seconds = {name: sum(p.seconds for p in some) for name, some in points.items()}
    return {
        name: {
            "milliseconds": round(1000 * seconds[name] / len(images) / len(QUALITIES), 2),
            "time_over_avif_s6": round(seconds[name] / seconds["avif-s6"], 2),
            "time_over_webp": round(seconds[name] / seconds["webp-m6"], 2),
            "bytes_over_former": bytes_ratio(some, points["former"]),
            "points": [[p.n_bytes, round(p.psnr, 3)] for p in some],
        }
        for name, some in points.items()
    }


def main() -> None:
    """Measure each kind at each side, and save after each."""
    parser = argparse.ArgumentParser(description="Processor time and bytes of packing.")
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--emoji", type=Path, required=True)
    parser.add_argument("--codec", default="default")
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument(
        "--kinds", nargs="+", default=["photographs", "grey", "pages", "emoji"], metavar="KIND"
    )
    parser.add_argument("--efforts", nargs="+", default=get_args(Effort), choices=get_args(Effort))
    parser.add_argument("--images", type=int, default=10, help="of each kind")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    codec = Codec.load(args.codec, threads=1)
    results = {"rows": [], **load_results(args.output)}
    for kind in args.kinds:
        for side in args.sides:
            images = pictures_of(kind, side, args)
            found = measure(codec, images, args.efforts)
            rows = [
                {"data": kind, "side": side, "images": len(images), "way": name, **row}
                for name, row in found.items()
            ]
            for row in rows:
                print({key: value for key, value in row.items() if key != "points"}, flush=True)
            others = [row for row in results["rows"] if (row["data"], row["side"]) != (kind, side)]
            head = {**run_head(seed=0), "codec_id": codec.codec_id}
            results = {"rows": others + rows, "machine": head}
            save_results(args.output, results)


if __name__ == "__main__":
    main()
