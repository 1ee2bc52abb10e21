"""Encoding: images to packets, at a quality or to a PSNR, and what qualities would cost.

Candidates are made first (the codec's own, then classic ones where they are worth a try), then one
of each image's is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.choice.classic_trials import ClassicTrials, exactly
from kinpack.codec.choice.efforts import EFFORTS
from kinpack.codec.choice.prediction import Prediction
from kinpack.codec.choice.psnr_search import PsnrSearch
from kinpack.codec.packets.packet import Packet
from kinpack.codec.packets.payload import (
    AlphaPlanes,
    Candidate,
    Choice,
    Payloads,
    psnr_of,
)
from kinpack.codec.packets.rates import Rates
from kinpack.codec.packets.target import Target, quality_for_psnr
from kinpack.errors import CodecError, ImageError
from kinpack.limits import in_parts, most_pixels, too_many
from kinpack.pictures.images import Image, squared_error

_BATCH = 256


class Encoder:
    """Makes packets of images; the options are those of ``Codec.encode``.

    Args:
        payloads: of the codec.
        prediction: what the codec predicts of images.
    """

    def __init__(
        self,
        payloads: Payloads,
        prediction: Prediction,
    ) -> None:
        self._payloads, self._prediction = payloads, prediction
        self._trials = ClassicTrials(payloads)

    def encode(self, images: Sequence[Image], target: Target) -> list[Packet]:
        """Encode images at a quality of all, or of each."""
        packets: list[Packet] = []
        for part, qualities in _parts(images, target):
            packets += _packets(part, self.at_quality(part, qualities, target))
        return packets

    def encode_to_psnr(
        self, images: Sequence[Image], least: float, target: Target
    ) -> tuple[list[Packet], NDArray[np.float64]]:
        """Encode images to a PSNR, see that they reach it, and keep exactly those that do not."""
        packets: list[Packet] = []
        reached = [np.zeros(0)]
        for part, _ in _parts(images, target):
            made = _packets(part, self.at_psnr(part, least, target))
            psnr = self.psnr(part, made, target.threads)
            for i in np.flatnonzero(psnr < least).tolist():
                made[i : i + 1] = _packets([part[i]], [exactly(part[i])])
                psnr[i] = self.psnr([part[i]], [made[i]], 1)[0]
                if psnr[i] < least:
                    raise CodecError(
                        "a lossless payload is not drawn exactly: the installed Pillow is faulty; "
                        "install the version that kinpack's constraints name"
                    )
            packets += made
            reached.append(psnr)
        return packets, np.concatenate(reached)

    def rates(self, images: Sequence[Image], qualities: Sequence[int], target: Target) -> Rates:
        """Size and PSNR at several qualities."""
        asked = [replace(target, quality=quality) for quality in qualities]
        rates = Rates.empty(len(images), len(qualities))
        first = 0
        for part, _ in _parts(images, target):
            for j, one in enumerate(asked):
                each = one.qualities(len(part))
                choices = self.at_quality(part, each, one, measured=True)
                for i, (image, (_, made)) in enumerate(zip(part, choices, strict=True), first):
                    rates.n_bytes[i, j], rates.kind[i, j] = len(made.payload), made.kind
                    rates.psnr[i, j] = made.psnr(image.shape[0] * image.shape[1])
            first += len(part)
        return rates

    def at_quality(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        target: Target,
        *,
        measured: bool = False,
    ) -> list[Choice]:
        """Keep the payload that costs least at each image's quality.

        Args:
            images: uint8 (H, W, C) each.
            qualities: 1 to 100, of each.
            target: how; its own quality does not count.
            measured: whether the error of a payload is wanted that has no rival.

        Returns:
            One choice for each image.

        Raises:
            ImageError: an image is too large for learned payloads, and no others are allowed.
        """
        rule, threads, tries = target.classic, target.threads, EFFORTS[target.effort]
        scores = self._prediction.scores(images, qualities, target)
        chosen = self._own(
            images,
            qualities,
            [i for i, score in enumerate(scores) if score is None or score <= tries.clear],
            tries.lower,
            draw=measured or rule != "never",
            threads=threads,
        )
        if rule == "never" and self._payloads.has_own:
            for image, quality, one in zip(images, qualities, chosen, strict=True):
                if one is None and quality < 100:
                    height, width = image.shape[:2]
                    raise ImageError(
                        f"an image of {width}×{height} pixels is too large for learned payloads; "
                        "reduce it, or allow classic payloads"
                    )
        likely = self._prediction.worth_trying(images, chosen, scores, target)
        own = [None if one is None else one.candidate for one in chosen]
        tried = in_parts(
            self._trials.encode,
            [images[i] for i in likely],
            [own[i] for i in likely],
            [qualities[i] for i in likely],
            list(likely.values()),
            size=1,
            threads=threads,
            tries=tries,
            at_slope=rule == "auto",
        )
        found = [[one] if one else [] for one in own]
        for i, classic in zip(likely, tried, strict=True):
            found[i] = no_larger(found[i], classic) if rule == "always" else [*found[i], *classic]
        if self._payloads.alpha is not None:
            found = _shortened(found, self._payloads.alpha, images)
        best = [
            min(some, key=lambda one: one.cost(q)) for q, some in zip(qualities, found, strict=True)
        ]
        # An own payload says at which quality it was made, which may be a lower one.
        made_at = [
            one.quality if one is not None and one.candidate.kind is kept.kind else quality
            for one, kept, quality in zip(chosen, best, qualities, strict=True)
        ]
        return [Choice(quality, one) for quality, one in zip(made_at, best, strict=True)]

    def at_psnr(self, images: Sequence[Image], least: float, target: Target) -> list[Choice]:
        """Keep the smallest payload of those found that reach a PSNR.

        Each image has a quality of its own, found by `PsnrSearch`; all images whose search goes on
        are encoded together. An image that no allowed payload brings there is kept exactly.

        Args:
            images: uint8 (H, W, C) each.
            least: PSNR in dB that each image is to have.
            target: how.

        Returns:
            One choice for each image.
        """
        threads, tries = target.threads, EFFORTS[target.effort]
        about = round(min(max(quality_for_psnr(least), 1), 99))
        scores = self._prediction.scores(images, [about] * len(images), target)
        searches = {
            i: PsnrSearch(least, image.shape[0] * image.shape[1])
            for i, (image, score) in enumerate(zip(images, scores, strict=True))
            if (score is None or score <= tries.clear)
            and any(payload.takes(image) for payload in self._payloads.own)
        }
        while asked := {i: q for i, search in searches.items() if (q := search.next) is not None}:
            going, qualities = list(asked), list(asked.values())
            some = [images[i] for i in going]
            made = self._payloads.encode_own(some, qualities, draw=True, threads=threads)
            for i, quality, one in zip(going, qualities, made, strict=True):
                if one is not None:
                    searches[i].tell(quality, one)
        own = [searches[i].best if i in searches else None for i in range(len(images))]
        likely = self._prediction.worth_trying(images, own, scores, target)
        tried = in_parts(
            self._trials.encode_to_psnr,
            [images[i] for i in likely],
            size=1,
            threads=threads,
            least=least,
            tries=tries,
            exact=target.classic == "never" and self._payloads.has_own,
        )
        found = [[one] if one else [] for one in own]
        for i, classic in zip(likely, tried, strict=True):
            found[i].append(classic)
        candidates = [[candidate for _, candidate in some] for some in found]
        if self._payloads.alpha is not None:
            candidates = _shortened(candidates, self._payloads.alpha, images)
        return [
            min(
                (Choice(q, one) for (q, _), one in zip(some, shortened, strict=True)),
                key=lambda choice: len(choice.candidate.payload),
            )
            for some, shortened in zip(found, candidates, strict=True)
        ]

    def psnr(
        self, images: Sequence[Image], packets: Sequence[Packet], threads: int | None
    ) -> NDArray[np.float64]:
        """PSNR in dB, (n,), of what packets draw for images; infinite where it is exact."""
        drawn = self._payloads.decode(packets, threads=threads)
        return np.array(
            [
                psnr_of(squared_error(image, picture), image.shape[0] * image.shape[1])
                for image, picture in zip(images, drawn, strict=True)
            ]
        )

    def _own(
        self,
        images: Sequence[Image],
        qualities: Sequence[int],
        rows: Sequence[int],
        lower: Sequence[int],
        *,
        draw: bool,
        threads: int | None,
    ) -> list[Choice | None]:
        """The codec's own payloads of some of the images, at the asked quality or somewhat lower.

        What a quality is worth in bits is that of the asked one. The first of equal cost is kept.
        """
        best: list[Choice | None] = [None] * len(images)
        for less in lower:
            asked = [q if q == 100 else max(1, q - less) for q in (qualities[i] for i in rows)]
            made = self._payloads.encode_own(
                [images[i] for i in rows],
                asked,
                draw=draw or len(lower) > 1,
                threads=threads,
            )
            for i, quality, one in zip(rows, asked, made, strict=True):
                before = best[i]
                if one is not None and (
                    before is None or one.cost(qualities[i]) < before.candidate.cost(qualities[i])
                ):
                    best[i] = Choice(quality, one)
        return best


def _packets(images: Sequence[Image], choices: Sequence[Choice]) -> list[Packet]:
    return [
        Packet(
            width=image.shape[1],
            height=image.shape[0],
            channels=image.shape[2],
            kind=choice.candidate.kind,
            quality=choice.quality,
            payload=choice.candidate.payload,
        )
        for image, choice in zip(images, choices, strict=True)
    ]


def _shortened(
    found: list[list[Candidate]], alpha: AlphaPlanes, images: Sequence[Image]
) -> list[list[Candidate]]:
    """Candidates with the codec's own alpha parts, where these are shorter."""
    return [
        [alpha.shortened(candidate, part) for candidate in some]
        for some, part in zip(found, alpha.parts(images), strict=True)
    ]


def no_larger(learned: list[Candidate], classic: Iterable[Candidate]) -> list[Candidate]:
    """Of all candidates those that take no more bytes than the smallest classic one."""
    most = min(len(candidate.payload) for candidate in classic)
    return [candidate for candidate in (*learned, *classic) if len(candidate.payload) <= most]


def _parts(images: Sequence[Image], target: Target) -> Iterator[tuple[Sequence[Image], list[int]]]:
    """Images and their qualities, so many at a time as are coded together."""
    if target.max_bytes is not None:
        raise CodecError("max_bytes is for a whole archive; add the images to one with it")
    qualities = target.qualities(len(images))
    limit = most_pixels()
    for i, image in enumerate(images):  # what is encoded can be drawn again
        if image.shape[0] * image.shape[1] > limit:
            raise ImageError(f"image {i}: {too_many(image.shape[1], image.shape[0])}")
    for first in range(0, len(images), _BATCH):
        yield images[first : first + _BATCH], qualities[first : first + _BATCH]
