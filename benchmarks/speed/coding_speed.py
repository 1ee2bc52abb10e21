"""How many images a second codecs code and decode, measured in this process.

All codecs are measured at about the same PSNR, each at one quality for all images. Repetitions go
round: each codec once, then each again, so that what slows the machine for a while slows them all.
Times of the clock count what a user waits for; times of the processor, of all threads together, are
those to compare on a machine that has other work.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

from PIL import Image as Pillow

from benchmarks.measuring.data import Pictures
from benchmarks.measuring.measures import mean_psnr
from benchmarks.rates.rate_curves import choose_qualities
from benchmarks.rates.rivals import AVIF, AVIF_FASTER, JPEG, JPEG_XL, WEBP, Rival, has_jpeg_xl
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Classic
from kinpack.pictures.images import Image, load_image, to_pil

REPETITIONS = 3
SAMPLE, WARM_UP = 60, 16
"""Images that qualities are chosen on, and that are coded before each time, a quarter at most."""
ANCHOR = "avif-s4"
RIVALS = {ANCHOR: AVIF, "avif-s6": AVIF_FASTER, "webp-m6": WEBP, "jpeg": JPEG}


@dataclass
class Times:
    """Each repetition's time of one direction, in seconds for all images."""

    clock: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self, work: Callable[[], list[Any]]) -> list[Any]:
        """Do the work, and note how long it takes."""
        clock, processor = time.perf_counter(), time.process_time()
        found = work()
        self.processor.append(time.process_time() - processor)
        self.clock.append(time.perf_counter() - clock)
        return found


@dataclass(frozen=True)
class Coder:
    """A codec to be timed.

    Attributes:
        name: in the results.
        classic: of ours; None for rivals.
        encode: images and a quality to coded images.
        decode: coded images to images.
        size: bytes of a coded image.
        qualities: lowest and highest.
    """

    name: str
    classic: Classic | None
    encode: Callable[[Sequence[Image], int], list[Any]]
    decode: Callable[[list[Any]], list[Image]]
    size: Callable[[Any], int]
    qualities: tuple[int, int]


def load_codec(spec: str, threads: int) -> Codec:
    """Load a codec whose networks use so many threads."""
    return Codec.load(spec, threads=threads)


def ours(codec: Codec, classic: Classic, threads: int) -> Coder:
    """A kinpack codec; the size of an image is that of payload and product code."""
    return Coder(
        "kinpack",
        classic,
        lambda images, quality: codec.encode(
            images, quality=quality, classic=classic, threads=threads
        ),
        lambda packets: codec.decode(packets, threads=threads),
        lambda packet: len(packet.payload),
        (1, 99),
    )


def theirs(name: str, rival: Rival, workers: Executor) -> Coder:
    """A rival through Pillow, images side by side in the workers; the size is that of a file."""

    def encode_one(image: Image, quality: int) -> bytes:
        buffer = io.BytesIO()
        to_pil(image).save(buffer, rival.format, quality=quality, **rival.options)
        return buffer.getvalue()

    def decode_one(data: bytes) -> Image:
        with Pillow.open(io.BytesIO(data)) as picture:
            return load_image(picture.convert("RGB"))

    return Coder(
        name,
        None,
        lambda images, quality: list(workers.map(lambda one: encode_one(one, quality), images)),
        lambda coded: list(workers.map(decode_one, coded)),
        len,
        rival.qualities,
    )


def coders(codec: Codec, workers: Executor, *, threads: int) -> list[Coder]:
    """All that are timed: ours without and with classic payloads, and the rivals that are there."""
    rivals = {**RIVALS, "jpeg-xl-e7": JPEG_XL} if has_jpeg_xl() else RIVALS
    return [
        ours(codec, "never", threads),
        ours(codec, "auto", threads),
        *(theirs(name, rival, workers) for name, rival in rivals.items()),
    ]


def quality_for(coder: Coder, sample: Sequence[Image], psnr: float) -> int:
    """Quality at which a coder gives about a PSNR, in dB."""

    def probe(quality: int) -> float:
        return mean_psnr(sample, coder.decode(coder.encode(sample, quality)))

    return choose_qualities(probe, coder.qualities, [psnr], close=0.1)[0]


def measure(
    listed: Sequence[Coder], pictures: Pictures, *, psnr: float, threads: int, seed: int
) -> list[dict[str, Any]]:
    """Time coders on the same pictures.

    Args:
        listed: the coders, the anchor among them.
        pictures: RGB.
        psnr: about which all are measured, in dB.
        threads: that they were given.
        seed: of the sample that qualities are chosen on.

    Returns:
        JSON values, a row for each: medians of images a second by the clock and all repetitions,
        medians of milliseconds of the processor an image, ratios of both to the anchor's, and the
        PSNR and bits a pixel that came out.
    """
    images = pictures.images
    quarter = -(-len(images) // 4)
    sample = pictures.sample(min(SAMPLE, quarter), seed=seed).images
    qualities = [quality_for(coder, sample, psnr) for coder in listed]
    times = [{"encode": Times(), "decode": Times()} for _ in listed]
    rows: list[dict[str, Any]] = []
    for repetition in range(REPETITIONS):
        for coder, quality, both in zip(listed, qualities, times, strict=True):
            coder.decode(coder.encode(images[: min(WARM_UP, quarter)], quality))
            coded = both["encode"].run(partial(coder.encode, images, quality))
            drawn = both["decode"].run(partial(coder.decode, coded))
            if repetition == 0:
                rows.append(
                    {
                        "codec": coder.name,
                        "classic": coder.classic,
                        "threads": threads,
                        "quality": quality,
                        "psnr_mean": round(mean_psnr(images, drawn), 2),
                        "bits_per_pixel": round(
                            8 * sum(map(coder.size, coded)) / pictures.pixels, 3
                        ),
                    }
                )
    anchor = next(both for both, coder in zip(times, listed, strict=True) if coder.name == ANCHOR)
    for row, both in zip(rows, times, strict=True):
        for verb, own in both.items():
            its = anchor[verb]
            speeds = [len(images) / seconds for seconds in own.clock]
            row[f"{verb}_images_per_s"] = round(median(speeds), 1)
            row[f"{verb}_repetitions"] = [round(value, 1) for value in speeds]
            row[f"{verb}_over_avif"] = round(median(its.clock) / median(own.clock), 3)
            row[f"{verb}_ms"] = round(1000 * median(own.processor) / len(images), 3)
            row[f"{verb}_ms_over_avif"] = round(median(own.processor) / median(its.processor), 2)
    return rows


def keep_to(cores: Sequence[int]) -> None:
    """Keep this process, and whatever threads it will start, to some cores, where that is known."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


def cores_at_hand() -> list[int]:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
