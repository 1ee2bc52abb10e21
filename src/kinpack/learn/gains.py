"""What a learned codec gains, on images that it was not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinpack.codec.classic.payloads import candidates
from kinpack.codec.codec import Codec
from kinpack.errors import KinpackError
from kinpack.metrics import bd_rate
from kinpack.pictures.images import Image

QUALITIES = (32, 42, 52, 62, 72)
"""Of the learned codecs and of AVIF, which mean about the same PSNR."""
_EXACT_PSNR = 60.0

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class Gain:
    """Comparison with one other way to store the held-out images.

    Attributes:
        against: what it is compared with.
        bd_rate_percent: mean difference of bytes at equal PSNR; negative where fewer are needed.
        bytes_per_image: what the other takes, mean over the qualities.
        more_codec_bytes: what the learned codec's file takes more than the other's.
        pays_from: images from which on the codec's bytes are earned back; None if never.
    """

    against: str
    bd_rate_percent: float
    bytes_per_image: float
    more_codec_bytes: int
    pays_from: int | None


@dataclass(frozen=True)
class Gains:
    """What a codec gains on held-out images.

    Attributes:
        images: number of held-out images.
        codec_bytes: size of the codec file.
        gains: against each of the others.
    """

    images: int
    codec_bytes: int
    gains: tuple[Gain, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report in words, a line for each comparison."""
        found = []
        for gain in self.gains:
            less = gain.bd_rate_percent < 0
            text = (
                f"on {self.images} held-out images {abs(gain.bd_rate_percent):.1f} % "
                f"{'fewer' if less else 'more'} bytes than {gain.against} at equal PSNR"
            )
            if gain.pays_from is None:
                text += "; it does not pay"
            else:
                text += f"; its {self.codec_bytes:,} bytes pay from {gain.pays_from:,} images on"
            found.append(text)
        return found


def measure_gains(codec: Codec, images: Sequence[Image], *, shipped: Codec | None) -> Gains:
    """Compare a learned codec with the shipped one and with AVIF, by payload bytes.

    Args:
        codec: that was learned.
        images: uint8 (H, W, C) each, which it was not learned from.
        shipped: codec that is there without learning; None to leave it out.

    Returns:
        The comparisons; one whose curves share no range of PSNR is left out.
    """
    own = learned_curve(codec, images)
    others: list[tuple[str, Curve, int]] = []
    if shipped is not None:
        others.append(
            (f"the codec {shipped.name!r}", learned_curve(shipped, images), shipped.n_bytes)
        )
    others.append(("AVIF without its header", avif_curve(images), Codec.load("classic").n_bytes))
    gains = []
    for against, curve, codec_bytes in others:
        try:
            percent = 100 * _difference(curve, own)
        except KinpackError:
            continue
        per_image = float(np.mean([rate for rate, _ in curve]))
        more = codec.n_bytes - codec_bytes
        saved = -percent / 100 * per_image
        pays = None if saved <= 0 else max(1, math.ceil(more / saved))
        gains.append(Gain(against, round(percent, 2), round(per_image, 1), more, pays))
    return Gains(len(images), codec.n_bytes, tuple(gains))


def _difference(curve: Curve, own: Curve) -> float:
    """BD-rate of one's own curve over the range of PSNR that both cover."""
    (rates_a, psnr_a), (rates_b, psnr_b) = (zip(*points, strict=True) for points in (curve, own))
    low, high = max(min(psnr_a), min(psnr_b)), min(max(psnr_a), max(psnr_b))
    return bd_rate(rates_a, psnr_a, rates_b, psnr_b, low=low, high=high)


def learned_curve(codec: Codec, images: Sequence[Image]) -> Curve:
    """Mean bytes and mean PSNR of learned payloads, at each quality."""
    rates = codec.rates(images, qualities=QUALITIES, classic="never")
    psnrs = np.minimum(rates.psnr, _EXACT_PSNR).mean(0)
    return list(zip(rates.n_bytes.mean(0), psnrs, strict=True))


def avif_curve(images: Sequence[Image]) -> Curve:
    """Mean bytes and mean PSNR of AVIF payloads, at each quality."""
    curve = []
    for quality in QUALITIES:
        made = [candidates(image, quality=quality)[0] for image in images]
        psnrs = [
            c.psnr(image.shape[0] * image.shape[1]) if c.error else _EXACT_PSNR
            for image, c in zip(images, made, strict=True)
        ]
        curve.append((float(np.mean([len(c.payload) for c in made])), float(np.mean(psnrs))))
    return curve
