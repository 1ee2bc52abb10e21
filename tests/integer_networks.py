"""Random networks of integers near the edge of exact arithmetic, and what they give in integers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.codec import Codec
from kinpack.codec.learned.latent_coder import LatentCoder
from kinpack.codec.learned.learned import STRIDE, LearnedCoder
from kinpack.networks.integer_layers import (
    EXACT,
    MOST_READ,
    IntegerLayer,
    IntegerLayers,
    Reading,
    WholeLayer,
)
from kinpack.pictures.images import Image

Ints = NDArray[np.int64]
STREAM = (1 << 15) - 1


def convolved(x: Ints, weight: NDArray[Any], bias: NDArray[Any]) -> Ints:
    """A convolution that keeps the size, tap by tap."""
    pad = weight.shape[2] // 2
    n, _, h, w = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    total = np.zeros((n, len(weight), h, w), np.int64) + bias.astype(np.int64)[:, None, None]
    for i, j in itertools.product(range(weight.shape[2]), repeat=2):
        window = padded[:, :, i : i + h, j : j + w]
        total += np.einsum("oc,nchw->nohw", weight[:, :, i, j].astype(np.int64), window)
    return total


def shuffled(x: Ints, b: int) -> Ints:
    """Channel c·b² + i·b + j becomes row i and column j of each b × b cell of channel c."""
    n, channels, h, w = x.shape
    made = np.empty((n, channels // b**2, h * b, w * b), np.int64)
    for i, j in itertools.product(range(b), repeat=2):
        made[:, :, i::b, j::b] = x[:, i * b + j :: b * b]
    return made


def reference(layers: IntegerLayers, x: Ints) -> Ints:
    """What a network gives, in integers and with shifts for powers of two."""
    results: list[Ints] = []
    at = x
    for layer in layers.layers:
        if layer.reading is not None:
            shift = layer.reading.shift.astype(np.int64)[:, None, None]
            # floor(x / 2^s + 1/2) in integers
            at = ((2 * at + (1 << shift)) >> (shift + 1)).clip(layer.reading.low, MOST_READ)
        at = convolved(at, layer.weight, layer.bias) >> layer.shift.astype(np.int64)[:, None, None]
        at = shuffled(at.clip(layer.low, layer.high), layer.shuffle)
        if layer.adds:
            at = (results[-layer.adds] + at).clip(layer.low, layer.high)
        results.append(at)
    if layers.whole is None:
        return at
    whole = layers.whole
    high = (whole.weight.astype(np.int64) + 64) >> 7
    low = whole.weight.astype(np.int64) - (high << 7)
    x_high, x_low = x >> 8, x & 255
    none = np.zeros(len(high), np.int64)

    def product(values: Ints, weight: Ints) -> Ints:
        return convolved(values, weight[:, :, None, None], none)

    mixed = 2 * product(x_high, low) + product(x_low, high) + (product(x_low, low) >> 7)
    top = product(x_high, high) << (15 - whole.shift)
    summed = (top + (mixed >> (whole.shift - 7))).clip(-(1 << 22), 1 << 22)
    blocks = shuffled(summed + whole.bias.astype(np.int64)[:, None, None], whole.shuffle)
    half = (1 << whole.drop) >> 1
    return ((blocks + at + half) >> whole.drop).clip(whole.low, whole.high)


def random_layer(
    rng: np.random.Generator,
    channels: int,
    out: int,
    *,
    k: int = 1,
    low: int = 0,
    high: int = MOST_READ,
    reach: int = MOST_READ,
) -> IntegerLayer:
    """A layer near the edge of exact arithmetic: its sums end just below 2^24."""
    most = max(1, min(127, (EXACT - 2) // (reach * channels * k * k)))
    weight = rng.integers(-most, most + 1, (out, channels, k, k))
    room = EXACT - 1 - np.abs(weight).sum((1, 2, 3)) * reach
    assert (room >= 0).all()
    return IntegerLayer(
        weight=weight.astype(np.int8),
        bias=rng.integers(-room, room + 1).astype(np.int32),
        shift=rng.integers(0, 23, out).astype(np.uint8),
        low=low,
        high=high,
    )


def reading(rng: np.random.Generator, channels: int, low: int = -MOST_READ) -> Reading:
    return Reading(rng.integers(0, 9, channels).astype(np.uint8), low)


def chain(rng: np.random.Generator, widths: Sequence[int]) -> IntegerLayers:
    """A network as those of contexts are: 3×3, then 1×1."""
    layers = [
        random_layer(rng, a, b, k=1 if i else 3)
        for i, (a, b) in enumerate(itertools.pairwise(widths))
    ]
    layers[0] = replace(layers[0], reading=reading(rng, widths[0]))
    layers[-1] = replace(layers[-1], low=-STREAM, high=STREAM)
    return IntegerLayers(tuple(layers))


@dataclass(frozen=True)
class Form:
    """Sizes of a random network of all that there is.

    Attributes:
        channels: of its input.
        width: of its stream.
        blocks: residual blocks at each of two scales.
        whole: whether a whole layer goes beside.
    """

    channels: int = 5
    width: int = 3
    blocks: int = 1
    whole: bool = True


def synthesis(rng: np.random.Generator, form: Form = Form()) -> IntegerLayers:
    """A network as that of a synthesis: two scales, residual blocks, a whole layer beside."""
    layers: list[IntegerLayer] = []
    channels = form.channels
    for out, shuffle in ((form.width, 1), (4 * form.width, 2)):
        layer = random_layer(rng, channels, out, k=3, low=-STREAM, high=STREAM)
        low = 0 if layers else -MOST_READ
        layers.append(replace(layer, reading=reading(rng, channels, low), shuffle=shuffle))
        channels = layer.channels if shuffle == 1 else form.width
        for _ in range(form.blocks):
            down = random_layer(rng, channels, 2, k=3)
            layers.append(replace(down, reading=reading(rng, channels, 0)))
            up = random_layer(rng, 2, channels, k=3, low=-STREAM, high=STREAM)
            layers.append(replace(up, adds=2))
    last = random_layer(rng, channels, 12, k=3, low=-STREAM, high=STREAM)
    layers.append(replace(last, reading=reading(rng, channels), shuffle=2))
    whole = None
    if form.whole:
        whole = WholeLayer(
            rng.integers(-16000, 16000, (48, form.channels)).astype(np.int16),
            rng.integers(-60000, 60000, 48).astype(np.int32),
            shift=int(rng.integers(7, 16)),
            shuffle=4,
            drop=int(rng.integers(0, 5)),
            low=-3000,
            high=4000,
        )
    return IntegerLayers(tuple(layers), whole)


def latents_in_steps(coder: LearnedCoder) -> LatentCoder:
    """What codes a learned coder's latents, where it goes in steps and not on a lattice."""
    assert isinstance(coder.latents, LatentCoder)
    return coder.latents


def encode_latents(
    coder: LearnedCoder, pictures: NDArray[np.uint8], codes: NDArray[np.uint8], *, quality: int
) -> tuple[Ints, list[bytes]]:
    """ŷ and messages of pictures (n, H, W, 3), each in one piece."""
    each = np.full(len(pictures), quality)
    return coder.latents.encode(coder.analyse(pictures, quality), codes, quality=each)


def decode_latents(
    coder: LearnedCoder,
    messages: Sequence[bytes],
    codes: NDArray[np.uint8],
    *,
    size: tuple[int, int],
    quality: int,
) -> Ints:
    """ŷ of messages of pictures of (H, W), each in one piece."""
    h, w = (-(-side // STRIDE) for side in size)
    each = np.full(len(messages), quality)
    return coder.latents.decode(messages, codes, size=(h, w), quality=each)


def side_codes(codec: Codec, images: Sequence[Image]) -> NDArray[np.uint8]:
    """Side codes (n, M) of images, of a codec whose payloads begin with one."""
    side = codec.parts.side_code()
    assert side is not None
    return side.codes(images)
