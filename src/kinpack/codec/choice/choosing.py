"""Choosing: which payload, learned or classic, an image gets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_alpha import CausalAlpha
from kinpack.codec.choice.classic_rule import ClassicRule, features
from kinpack.codec.choice.psnr_search import PsnrSearch
from kinpack.codec.choice.quick_trial import finer_setting, stands_a_chance
from kinpack.codec.classic.payloads import candidates, lossy_kind, may_be_lossless
from kinpack.codec.learned.learned import MAX_SIDE
from kinpack.codec.learned.learned_image import LearnedImages
from kinpack.codec.packets.candidate import Candidate
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.target import Target
from kinpack.errors import ImageError
from kinpack.pictures.images import Image

RULE_PIXELS = 64 * 64
"""Most pixels of an image that a rule is believed about: rules are calibrated on small pictures,
and of larger ones AVIF takes fewer bytes more often."""

S = TypeVar("S")
T = TypeVar("T")


class Choice(NamedTuple):
    """A payload, and the quality at which it was made."""

    quality: int
    candidate: Candidate


class Chooser:
    """Makes the payloads that an image may have, and keeps one.

    Args:
        learned: gives the coder of learned payloads; None for a codec that has none.
        rule: where a classic payload is worth a try beside a learned one; None for everywhere.
        alpha: codes alpha planes in fewer bytes; None for a codec that has not learned to.
    """

    def __init__(
        self,
        learned: Callable[[], LearnedImages] | None,
        rule: ClassicRule | None,
        alpha: CausalAlpha | None = None,
    ) -> None:
        self._learned, self._rule, self._alpha = learned, rule, alpha

    def at_quality(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        qualities: Sequence[int],
        target: Target,
        *,
        measured: bool = False,
    ) -> list[Choice]:
        """Keep the payload that costs least at each image's quality.

        Args:
            images: uint8 (H, W, C) each.
            codes: (n, M) sub-indices of each.
            qualities: 1 to 100, of each.
            target: how; its own quality does not count.
            measured: whether the error of a payload is wanted that has no rival.

        Returns:
            One choice for each image.

        Raises:
            ImageError: an image is too large for learned payloads, and no others are allowed.
        """
        found: list[list[Candidate]] = [[] for _ in images]
        draw = measured or target.classic != "never"
        rows = [i for i, q in enumerate(qualities) if q < 100 and self._can_learn(images[i])]
        for i, made in zip(
            rows,
            self._encode_learned(
                images, codes, rows, [qualities[i] for i in rows], draw=draw, target=target
            ),
            strict=True,
        ):
            found[i].append(made)
        if target.classic == "never" and self._learned:
            trying = {i: True for i, q in enumerate(qualities) if q == 100}
        else:
            learned = [(q, of[0]) if of else None for q, of in zip(qualities, found, strict=True)]
            trying = self._worth_trying(images, learned, target)

        def classic(i: int) -> list[Candidate]:
            image, quality = images[i], qualities[i]
            if target.classic == "auto" and found[i] and _pixels(image) > RULE_PIXELS:
                setting = self._finer_setting(image, found[i][0], codes[i], quality)
                return [] if setting is None else candidates(image, quality=setting)
            likely = trying[i] or stands_a_chance(image, found[i][0], quality=quality)
            return candidates(image, quality=quality) if likely else []

        tried = in_threads(classic, trying, threads=target.threads)
        for i, more in zip(trying, tried, strict=True):
            found[i] = (
                no_larger(found[i], more) if target.classic == "always" else [*found[i], *more]
            )
        found = self._with_own_alpha(images, found)
        choices = []
        for image, of, quality in zip(images, found, qualities, strict=True):
            if not of:
                height, width = image.shape[:2]
                raise ImageError(
                    f"an image of {width}×{height} pixels is too large for learned payloads "
                    f"({MAX_SIDE} a side); reduce it, or allow classic payloads"
                )
            choices.append(Choice(quality, min(of, key=lambda one: one.cost(quality))))
        return choices

    def at_psnr(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        least: float,
        target: Target,
    ) -> list[Choice]:
        """Keep the smallest payload of those found that reach a PSNR.

        Each image has a quality of its own, found by `PsnrSearch`; all images whose search goes on
        are encoded together. An image that no allowed payload brings there is kept exactly.

        Args:
            images: uint8 (H, W, C) each.
            codes: (n, M) sub-indices of each.
            least: PSNR in dB that each image is to have.
            target: how.

        Returns:
            One choice for each image.
        """
        searches = [PsnrSearch(least, _pixels(image)) for image in images]
        rows = [i for i, image in enumerate(images) if self._can_learn(image)]
        while True:
            asked = {i: quality for i in rows if (quality := searches[i].next) is not None}
            if not asked:
                break
            going, qualities = list(asked), list(asked.values())
            made = self._encode_learned(images, codes, going, qualities, draw=True, target=target)
            for i, quality, one in zip(going, qualities, made, strict=True):
                searches[i].tell(quality, one)
        best = [Choice(*search.best) if search.best else None for search in searches]
        parts = self._alpha.parts(images) if self._alpha else [b""] * len(images)
        trying = (
            {i: True for i, choice in enumerate(best) if choice is None}
            if target.classic == "never" and self._learned
            else self._worth_trying(images, best, target)
        )
        only_exact = target.classic == "never" and self._learned is not None
        tried = in_threads(
            lambda i: _classic_at_psnr(images[i], least, exact=only_exact),
            trying,
            threads=target.threads,
        )
        best = [one and _shortened(one, part) for one, part in zip(best, parts, strict=True)]
        for i, classic in zip(trying, tried, strict=True):
            mine, other = best[i], _shortened(classic, parts[i])
            if mine is None or len(other.candidate.payload) < len(mine.candidate.payload):
                best[i] = other
        return [choice for choice in best if choice is not None]

    def _with_own_alpha(
        self, images: Sequence[Image], found: Sequence[list[Candidate]]
    ) -> list[list[Candidate]]:
        if self._alpha is None:
            return list(found)
        parts = self._alpha.parts(images)
        return [
            [CausalAlpha.shortened(candidate, part) for candidate in of]
            for of, part in zip(found, parts, strict=True)
        ]

    def _can_learn(self, image: Image) -> bool:
        return self._learned is not None and max(image.shape[:2]) <= MAX_SIDE

    def _encode_learned(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        rows: Sequence[int],
        qualities: Sequence[int],
        *,
        draw: bool,
        target: Target,
    ) -> list[Candidate]:
        if self._learned is None or not rows:
            return []
        chosen = [images[i] for i in rows]
        return self._learned().encode(
            chosen, codes[rows], quality=qualities, draw=draw, threads=target.threads
        )

    def _finer_setting(
        self, image: Image, learned: Candidate, code: NDArray[np.uint8], quality: int
    ) -> int | None:
        """The setting of AVIF to try for a larger image; None where it is worth no try."""

        def encode(windows: Sequence[Image]) -> list[Candidate]:
            n = len(windows)
            codes, each = np.stack([code] * n), [quality] * n
            return self._encode_learned(
                windows, codes, range(n), each, draw=True, target=Target(threads=1)
            )

        return finer_setting(image, learned, quality=quality, encode=encode)

    def _worth_trying(
        self,
        images: Sequence[Image],
        learned: Sequence[tuple[int, Candidate] | None],
        target: Target,
    ) -> dict[int, bool]:
        """Images that a classic payload is tried for, and whether it rather wins than loses."""
        if target.classic == "always" or self._rule is None:
            return dict.fromkeys(range(len(images)), True)
        known = [(i, *one) for i, one in enumerate(learned) if one is not None]
        seen = features(
            [images[i] for i, _, _ in known],
            [candidate for _, _, candidate in known],
            quality=[quality for _, quality, _ in known],
        )
        verdicts = zip(self._rule.may_win(seen), self._rule.likely_wins(seen), strict=True)
        told = {i: verdict for (i, _, _), verdict in zip(known, verdicts, strict=True)}
        sure = {i: told.get(i, (True, True)) for i in range(len(images))}
        return {
            i: bool(likely)
            for i, (may, likely) in sure.items()
            if may or _pixels(images[i]) > RULE_PIXELS
        }


def _shortened(choice: Choice, part: bytes) -> Choice:
    """A choice whose payload has this alpha part, where its own is longer."""
    return Choice(choice.quality, CausalAlpha.shortened(choice.candidate, part))


def exactly(image: Image) -> Choice:
    """The payload that draws an image exactly, as far as it is seen.

    Colour under alpha 0 is not kept, so quality 100 is stated only where there is no alpha.
    """
    (made,) = candidates(image, quality=99, kinds=[Kind.WEBP_LOSSLESS])
    return Choice(99 if image.shape[2] == 4 else 100, made)


def no_larger(learned: list[Candidate], classic: list[Candidate]) -> list[Candidate]:
    """Of all candidates those that take no more bytes than the smallest classic one."""
    most = min(len(candidate.payload) for candidate in classic)
    return [candidate for candidate in (*learned, *classic) if len(candidate.payload) <= most]


def in_threads(function: Callable[[S], T], items: Iterable[S], *, threads: int | None) -> list[T]:
    """Apply in order, in threads: the image libraries let go of the interpreter's lock."""
    todo = list(items)
    if threads == 1 or len(todo) < 2:
        return [function(item) for item in todo]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, todo))


def _classic_at_psnr(image: Image, target: float, *, exact: bool) -> Choice:
    """The smallest classic payload found that reaches a PSNR, or with ``exact`` the exact one."""
    search = PsnrSearch(target, _pixels(image))
    while not exact and (quality := search.next) is not None:
        search.tell(quality, candidates(image, quality=quality, kinds=[lossy_kind()])[0])
    if search.best is None:
        return exactly(image)
    lossy = Choice(*search.best)
    if not may_be_lossless(image, lossy.quality):
        return lossy
    return min(lossy, exactly(image), key=lambda choice: len(choice.candidate.payload))


def _pixels(image: Image) -> int:
    return int(image.shape[0]) * int(image.shape[1])
