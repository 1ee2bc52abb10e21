"""Calibration of where classic payloads are tried: by trying."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from kinpack.codec.causal.causal_image import CausalImages
from kinpack.codec.choice.classic_rule import FEATURES, ClassicRule, features
from kinpack.codec.classic.payloads import candidates
from kinpack.codec.codec import Codec
from kinpack.codec.learned.learned import LearnedImages
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Payload, Payloads
from kinpack.networks.container import Container, read_container
from kinpack.pictures.images import Image

QUALITIES = (20, 32, 48, 60, 76, 90)
KEPT = 0.98
"""Share of what classic payloads save that the rule has to keep, on pictures and on drawings."""

_ROUNDS = 30
_RIDGE = 1.0


def with_rule(codec: Codec, pictures: Sequence[Image]) -> Codec:
    """A codec that knows when to try classic payloads: see `calibrated_rule`."""
    return extended(codec, {"classic_rule": calibrated_rule(codec, pictures).to_dict()})


def extended(
    codec: Codec, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None
) -> Codec:
    """A codec with further entries of its header, and further arrays."""
    whole = read_container(codec.to_bytes(), where="a codec")
    return Codec.from_container(
        Container({**whole.header, **header}, whole.blobs, {**whole.arrays, **(arrays or {})})
    )


def calibrated_rule(codec: Codec, pictures: Sequence[Image]) -> ClassicRule:
    """Rule that keeps nearly all that classic payloads save, and tries few in vain.

    Args:
        codec: a learned one, with all that it codes pixel by pixel.
        pictures: uint8 (H, W, C), grey, RGB or RGBA as they will be packed; drawings of few colours
            are added to them, since photographs alone tell nothing about those.

    Returns:
        The rule: a logistic regression, weighted by what is at stake, and the largest threshold
        that keeps 98 % of the saving on the pictures as well as on the drawings.
    """
    images = [*pictures, *drawings(max(8, len(pictures) // 4))]
    makers: dict[tuple[Kind, ...], Callable[[], Payload | None]] = {
        LearnedImages.kinds: codec.parts.untested_learned,
        CausalImages.kinds: codec.parts.untested_causal,
    }
    payloads = Payloads(codec.name, makers, own=tuple(makers))
    seen, gains = [], []
    groups = np.tile(np.arange(len(images)) < len(pictures), len(QUALITIES))
    for quality in QUALITIES:
        each = [quality] * len(images)
        own = payloads.encode_own(images, each, draw=True, threads=None)
        learned = [one for one in own if one is not None]
        seen.append(features(images, learned, quality=quality))
        for image, candidate in zip(images, learned, strict=True):
            best = min(c.cost(quality) for c in candidates(image, quality=quality))
            # As a share, so that high qualities, which take most bits, do not decide alone.
            gains.append(1 - best / max(candidate.cost(quality), 1.0))
    return fitted_rule(np.concatenate(seen), np.array(gains), groups=groups)


def fitted_rule(
    seen: NDArray[np.float64], gains: NDArray[np.float64], *, groups: NDArray[np.bool_]
) -> ClassicRule:
    """Rule fitted to what classic payloads gained.

    Args:
        seen: (n, FEATURES).
        gains: (n,) what the best classic payload costs less than the learned one, as a share of it
            or in bits; negative where it loses.
        groups: (n,) which of two groups each belongs to; either's saving is kept.
    """
    wins = gains > 0
    stake = np.abs(gains) / max(np.abs(gains).mean(), 1e-12)
    # In balance, so that few winners weigh as much as many losers.
    for side in (wins, ~wins):
        stake[side] /= max(stake[side].sum(), 1e-12)
    stake *= len(gains)
    weights = np.zeros(FEATURES)
    for _ in range(_ROUNDS):
        p = 1 / (1 + np.exp(-(seen @ weights).clip(-30, 30)))
        slope = seen.T @ (stake * (wins - p)) - _RIDGE * weights
        curve = (seen * (stake * p * (1 - p))[:, None]).T @ seen + _RIDGE * np.eye(FEATURES)
        weights = weights + np.linalg.solve(curve, slope)
    scores = seen @ weights
    kept = [_kept(scores[group], gains[group]) for group in (groups, ~groups)]
    return ClassicRule(tuple(weights.tolist()), min(kept))


def _kept(scores: NDArray[np.float64], gains: NDArray[np.float64]) -> float:
    """Largest threshold from which on nearly all of a group's saving lies."""
    order = np.argsort(-scores)
    saving = np.cumsum(gains[order].clip(0))
    if not len(saving) or saving[-1] <= 0:
        return float(scores.max(initial=0)) + 1
    last = int(np.searchsorted(saving, KEPT * saving[-1]))
    return float(scores[order[min(last, len(order) - 1)]])


def drawings(n: int, *, side: int = 48, seed: int = 0) -> list[Image]:
    """Drawings of few flat colours: shapes, lines and letters.

    Args:
        n: how many.
        side: pixels a side.
        seed: of all draws.
    """
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(n):
        colours = [tuple(int(v) for v in rng.integers(256, size=3)) for _ in range(5)]
        sheet = PillowImage.new("RGB", (side, side), colours[0])
        pen = ImageDraw.Draw(sheet)
        for _ in range(int(rng.integers(1, 7))):
            (a, c), (b, d) = np.sort(rng.integers(side, size=(2, 2)), axis=1).tolist()
            box, colour = (a, b, c, d), colours[int(rng.integers(1, 5))]
            shape = int(rng.integers(4))
            if shape == 0:
                pen.rectangle(box, fill=colour)
            elif shape == 1:
                pen.ellipse(box, fill=colour)
            elif shape == 2:
                pen.line(box, fill=colour, width=int(rng.integers(1, 4)))
            else:
                pen.text((a, b), "".join(map(chr, rng.integers(65, 90, 3).tolist())), fill=colour)
        made.append(np.asarray(sheet))
    return made
