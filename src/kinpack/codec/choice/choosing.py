"""Choosing: which payload, learned or classic, an image gets.

Candidates are made first (the codec's own, then classic ones where they are worth a try), then one
of each image's is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_alpha import CausalAlpha
from kinpack.codec.choice.classic_rule import ClassicRule
from kinpack.codec.choice.classic_trials import RULE_PIXELS, ClassicTrials
from kinpack.codec.choice.psnr_search import PsnrSearch
from kinpack.codec.packets.candidate import Candidate, Choice
from kinpack.codec.packets.payload import Payloads, in_parts
from kinpack.codec.packets.target import Target
from kinpack.errors import ImageError
from kinpack.pictures.images import Image


class Chooser:
    """Makes the payloads that an image may have, and keeps one.

    Args:
        payloads: of the codec.
        rule: where a classic payload is worth a try beside a learned one; None for everywhere.
        alpha: codes alpha planes in fewer bytes; None for a codec that has not learned to.
    """

    def __init__(
        self, payloads: Payloads, rule: ClassicRule | None, alpha: CausalAlpha | None = None
    ) -> None:
        self._payloads, self._rule, self._alpha = payloads, rule, alpha
        self._trials = ClassicTrials(payloads)

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
        rule, threads = target.classic, target.threads
        draw = measured or rule != "never"
        own = self._payloads.encode_own(images, codes, qualities, draw=draw, threads=threads)
        if rule == "never" and self._payloads.has_own:
            for image, quality, one in zip(images, qualities, own, strict=True):
                if one is None and quality < 100:
                    height, width = image.shape[:2]
                    raise ImageError(
                        f"an image of {width}×{height} pixels is too large for learned payloads; "
                        "reduce it, or allow classic payloads"
                    )
        known = [Choice(q, one) if one else None for q, one in zip(qualities, own, strict=True)]
        likely = self._worth_trying(images, known, target)
        tried = in_parts(
            self._trials.encode,
            [images[i] for i in likely],
            [own[i] for i in likely],
            codes[list(likely)],
            [qualities[i] for i in likely],
            list(likely.values()),
            size=1,
            threads=threads,
            by_windows=rule == "auto",
        )
        found = [[one] if one else [] for one in own]
        for i, classic in zip(likely, tried, strict=True):
            found[i] = no_larger(found[i], classic) if rule == "always" else [*found[i], *classic]
        return [
            Choice(quality, min(some, key=lambda one: one.cost(quality)))
            for quality, some in zip(qualities, self._with_own_alpha(images, found), strict=True)
        ]

    def at_psnr(
        self, images: Sequence[Image], codes: NDArray[np.uint8], least: float, target: Target
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
        threads = target.threads
        searches = {
            i: PsnrSearch(least, image.shape[0] * image.shape[1])
            for i, image in enumerate(images)
            if self._payloads.takes(image)
        }
        while asked := {i: q for i, search in searches.items() if (q := search.next) is not None}:
            going, qualities = list(asked), list(asked.values())
            some = [images[i] for i in going]
            made = self._payloads.encode_own(
                some, codes[going], qualities, draw=True, threads=threads
            )
            for i, quality, one in zip(going, qualities, made, strict=True):
                if one is not None:
                    searches[i].tell(quality, one)
        own = [searches[i].best if i in searches else None for i in range(len(images))]
        likely = self._worth_trying(images, own, target)
        tried = in_parts(
            self._trials.encode_to_psnr,
            [images[i] for i in likely],
            size=1,
            threads=threads,
            least=least,
            exact=target.classic == "never" and self._payloads.has_own,
        )
        found = [[one] if one else [] for one in own]
        for i, classic in zip(likely, tried, strict=True):
            found[i].append(classic)
        candidates = self._with_own_alpha(images, [[c for _, c in some] for some in found])
        return [
            min(
                (Choice(q, one) for (q, _), one in zip(some, shortened, strict=True)),
                key=lambda choice: len(choice.candidate.payload),
            )
            for some, shortened in zip(found, candidates, strict=True)
        ]

    def _with_own_alpha(
        self, images: Sequence[Image], found: list[list[Candidate]]
    ) -> list[list[Candidate]]:
        """The candidates with the codec's own alpha parts, where these are shorter."""
        if self._alpha is None:
            return found
        parts = self._alpha.parts(images)
        return [
            [CausalAlpha.shortened(candidate, part) for candidate in some]
            for some, part in zip(found, parts, strict=True)
        ]

    def _worth_trying(
        self, images: Sequence[Image], own: Sequence[Choice | None], target: Target
    ) -> dict[int, bool]:
        """Images that a classic payload is tried for, and whether it rather wins than loses."""
        if target.classic == "never" and self._payloads.has_own:
            return {i: True for i, one in enumerate(own) if one is None}
        if target.classic == "always" or self._rule is None:
            return dict.fromkeys(range(len(images)), True)
        known = [i for i, one in enumerate(own) if one is not None]
        verdicts = self._rule.judge([images[i] for i in known], [one for one in own if one])
        told = dict(zip(known, verdicts, strict=True))
        sure = {i: told.get(i, (True, True)) for i in range(len(images))}
        return {
            i: likely
            for i, (may, likely) in sure.items()
            if may or images[i].shape[0] * images[i].shape[1] > RULE_PIXELS
        }


def no_larger(learned: list[Candidate], classic: Iterable[Candidate]) -> list[Candidate]:
    """Of all candidates those that take no more bytes than the smallest classic one."""
    most = min(len(candidate.payload) for candidate in classic)
    return [candidate for candidate in (*learned, *classic) if len(candidate.payload) <= most]
