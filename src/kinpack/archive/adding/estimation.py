"""Estimates: what packing a collection would take, told from some of its pictures in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from time import monotonic, process_time

import numpy as np

from kinpack.archive.revisions.stored_codec import Codec
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.target import Target
from kinpack.errors import ImageError, SourceError, counted
from kinpack.limits import cores
from kinpack.pictures.file_sizes import (
    FILE_FORMS,
    FileForm,
    as_file,
    shown_psnr,
    sizes_at_psnr,
)
from kinpack.pictures.images import Image, load_image
from kinpack.sources.items import Item, Source

QUALITIES = (40, 60, 80)
"""Settings that are tried."""

_MOST = 64  # pictures
_SIDE = 384  # of a larger one this square in the middle is tried
_BESIDE = 8  # pictures that are tried in other formats, at most
_STEPS = 7  # by which one of 100 qualities is found
_BATCH = 8
_PATIENCE = 3  # seconds by the clock for each of the processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What one quality would come to.

    Attributes:
        quality: of kinpack.
        seconds: for all pictures, reading them included, on this machine as it is.
        bytes: of all payloads; an archive has some 13 more an image, and its codec's file.
        psnr: mean of the pictures tried, in dB; an exact one counts 60.
        rivals: bytes of all pictures as single files, by their format, at the lowest quality whose
            mean PSNR is no less, told from up to eight; ``None`` where none reaches it.
    """

    quality: int
    seconds: float
    bytes: int
    psnr: float
    rivals: dict[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What packing a collection would take.

    Attributes:
        pictures: of the collection.
        tried: pictures that were tried, evenly spread over it.
        broken: of those looked at, how many cannot be read.
        megapixels: of one, on average, as it would be packed.
        settings: one for each quality.
    """

    pictures: int
    tried: int
    broken: int
    megapixels: float
    settings: list[Setting]


def estimate(source: Source, codec: Codec, target: Target, *, seconds: float = 10.0) -> Estimate:
    """Try some pictures of a collection at three qualities, and tell what all would take.

    They are evenly spread. Of a large one a square in the middle is coded, and counts for its
    pixels. As many are tried as take about so long.

    Args:
        source: the collection, its pictures reduced as they are to be packed.
        codec: codes them.
        target: how; its quality does not count.
        seconds: of the processor for which to try; by the clock it may be three times as long.

    Raises:
        SourceError: none of the pictures that were looked at can be read.
    """
    clock = _Clock()
    parts: list[Image] = []
    scales: list[float] = []
    reading = pixels = 0.0
    broken = 0
    for item in _spread(source):
        at = monotonic()
        try:
            image = item.load()
        except ImageError:
            broken += 1
            continue
        finally:
            reading += monotonic() - at
        part = _middle(image)
        parts.append(part)
        scales.append(image.shape[0] * image.shape[1] / (part.shape[0] * part.shape[1]))
        pixels += image.shape[0] * image.shape[1]
        if clock.spent > seconds / 5:
            break
    if not parts:
        raise SourceError(
            f"{source.name}: none of the {counted(broken, 'picture')} looked at can be read; check "
            "that they are pictures"
        )
    tried, looked = len(parts), len(parts) + broken
    whole = len(source) / looked  # pictures for each that was looked at
    codec.encode(parts[:1], replace(target, quality=QUALITIES[0]))  # which loads its networks
    paces = {form: _Form(form, parts[0]) for form in FILE_FORMS}
    settings = []
    for place, quality in enumerate(QUALITIES):
        left = (seconds - clock.spent) / (len(QUALITIES) - place)
        coded = _coded(parts, codec, replace(target, quality=quality), left / 2)
        some = len(coded.packets)
        drawn = [scales[i] * len(coded.packets[i].payload) for i in range(some)]
        n_bytes = sum(drawn) / some * tried * whole
        rivals: dict[str, int | None] = {}
        for form in FILE_FORMS:
            count = min(some, paces[form].most(left / len(FILE_FORMS) / 2))
            reached = float(np.mean(coded.psnr[:count]))
            sizes = paces[form].at_psnr(parts[:count], reached)
            ratio = None if sizes is None else np.dot(sizes, scales[:count]) / sum(drawn[:count])
            rivals[form] = None if ratio is None else round(ratio * n_bytes)
        each = coded.seconds * sum(scales[:some]) / some / some
        settings.append(
            Setting(
                quality=quality,
                seconds=each * tried * whole + reading * whole,
                bytes=round(n_bytes),
                psnr=float(np.mean(coded.psnr)),
                rivals=rivals,
            )
        )
    return Estimate(
        pictures=len(source),
        tried=tried,
        broken=broken,
        megapixels=pixels / tried / 1e6,
        settings=settings,
    )


class _Clock:
    """Seconds of the processor since it was made, or so many times by the clock, if that is more.

    On a busy machine, or where files come slowly, a clock alone would leave time for a picture.
    """

    def __init__(self) -> None:
        self._begun = monotonic(), process_time()

    @property
    def spent(self) -> float:
        waited = (monotonic() - self._begun[0]) / _PATIENCE
        return max(waited, process_time() - self._begun[1])


@dataclass(frozen=True, slots=True)
class _Coded:
    """Packets of the first of some images, the PSNR of each, and the seconds that they took."""

    packets: list[Packet]
    psnr: list[float]
    seconds: float


def _coded(parts: Sequence[Image], codec: Codec, target: Target, seconds: float) -> _Coded:
    """Code images for about so long, one batch at least."""
    packets: list[Packet] = []
    begun, clock, batch = monotonic(), _Clock(), cores()
    while len(packets) < len(parts) and (not packets or clock.spent < seconds):
        packets += codec.encode(parts[len(packets) : len(packets) + batch], target)
        batch = _BATCH if clock.spent < seconds / 4 else batch
    spent = monotonic() - begun
    pictures = codec.decode(packets, threads=target.threads)
    return _Coded(
        packets, [shown_psnr(*pair) for pair in zip(parts, pictures, strict=False)], spent
    )


class _Form:
    """A format of single files, and how long one takes, found out with an image."""

    def __init__(self, form: FileForm, image: Image) -> None:
        self._form, self._lowest = form, 1
        clock = _Clock()
        load_image(as_file(image, form, 60))
        self._seconds = clock.spent

    def most(self, seconds: float) -> int:
        """How many images can be brought to a PSNR in so long; one at least."""
        return max(1, min(_BESIDE, int(seconds / self._seconds / _STEPS)))

    def at_psnr(self, parts: Sequence[Image], least: float) -> list[int] | None:
        """Bytes of files at the lowest quality that reaches a mean PSNR, which rises call by call.

        Returns:
            Of each image; ``None`` if no quality reaches it.
        """
        sizes, quality = sizes_at_psnr(parts, self._form, least, lowest=self._lowest)
        self._lowest = max(1, quality - 10)  # fewer images may have told another one
        return sizes


def _middle(image: Image) -> Image:
    """A square in the middle of a large image."""
    top, left = (max(0, (side - _SIDE) // 2) for side in image.shape[:2])
    return np.ascontiguousarray(image[top : top + _SIDE, left : left + _SIDE])


def _spread(source: Source) -> Iterator[Item]:
    """Some items of a source, evenly spread."""
    step = max(1, len(source) // _MOST)
    return islice(iter(source), 0, step * _MOST, step)
