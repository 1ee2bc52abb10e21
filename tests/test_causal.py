"""Planes coded pixel by pixel: the arithmetic by plain loops, round trips, bounds, damage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, getcontext
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.codec.causal.causal_alpha import CAUSAL, CausalAlpha
from kinpack.codec.causal.causal_coder import CausalCoder
from kinpack.codec.causal.causal_context import MIRRORED, NEIGHBOURS, PLANES, Frame, rows_up, waves
from kinpack.codec.causal.causal_model import CausalModel
from kinpack.codec.causal.logistic_mixture import (
    _inverse_table,
    _sigmoid_table,
    _weight_table,
    level_count,
    levels_of,
    mixture_counts,
    values_of,
)
from kinpack.codec.classic.alpha import join
from kinpack.codec.classic.payloads import candidates
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.payload import Candidate, Payloads
from kinpack.errors import CodecError, PayloadError
from tests.causal_models import random_model
from tests.pictures import plane

Plane = NDArray[np.uint8]
SIZES = st.tuples(st.integers(1, 14), st.integers(1, 14))


# --- the arithmetic -------------------------------------------------------------------------------


def test_tables_are_the_nearest_integers() -> None:
    getcontext().prec = 40
    for k in (-1024, -640, -1, 0, 1, 77, 1024):
        exact = Decimal(1 << 16) / (1 + (Decimal(-k) / 64).exp())
        assert _sigmoid_table()[k + 1024] == int(exact.to_integral_value())
    for i in (0, 1, 16, 255):
        assert _weight_table()[i] == int(
            (Decimal(4096) * Decimal(2) ** (Decimal(-i) / 16)).to_integral_value()
        )
    for s in (-12, 0, 3, 28):
        exact = Decimal(1 << 18) * Decimal(2) ** (Decimal(-s) / 4)
        assert _inverse_table()[s + 12] == int(exact.to_integral_value())


def counts_by_loops(mixture: list[int], step: int) -> list[int]:
    """Frequencies of one pixel, as docs/format.md has them."""
    logs, means, scales = mixture[:3], mixture[3:6], mixture[6:]
    levels = (510 + step) // (2 * step) + 1
    reached = [0]
    weights = [int(_weight_table()[min(255, max(logs) - one)]) for one in logs]
    for j in range(levels - 1):
        edge, total = (2 * j + 1) * step * 8, 0
        for weight, mean, scale in zip(weights, means, scales, strict=True):
            inverse = int(_inverse_table()[min(28, max(-12, scale)) + 12])
            k = ((edge - mean) * inverse) >> 16
            total += weight * int(_sigmoid_table()[min(1024, max(-1024, k)) + 1024])
        reached.append(total)
    reached.append(sum(weights) << 16)
    return [((b - a) >> 10) + 1 for a, b in pairwise(reached)]


@given(
    st.lists(
        st.tuples(
            *(st.integers(-32767, 32767),) * 3,
            *(st.integers(-500, 5000),) * 3,
            *(st.integers(-40, 60),) * 3,
        ),
        max_size=4,
    ),
    st.integers(1, 255),
)
def test_frequencies_are_those_of_plain_integers(rows: list[tuple[int, ...]], step: int) -> None:
    mixtures = np.array(rows, dtype=np.int64).reshape(-1, 9)
    counts = mixture_counts(mixtures, step=step)
    assert counts.shape == (len(rows), level_count(step))
    for row, found in zip(rows, counts, strict=True):
        assert found.tolist() == counts_by_loops(list(row), step)
        assert found.min() >= 1


@given(st.integers(1, 255))
def test_levels_are_the_nearest_multiples(step: int) -> None:
    values = np.arange(256, dtype=np.uint8)
    levels = levels_of(values, step)
    assert levels.max() == level_count(step) - 1
    back = values_of(levels, step).astype(int)
    assert (np.abs(back - values) <= step / 2).all()
    assert (levels_of(values_of(levels, step), step) == levels).all() or step > 1
    if step == 1:
        assert (back == values).all()


# --- what a pixel is told -------------------------------------------------------------------------


@given(SIZES)
def test_waves_hold_each_pixel_once_and_only_look_back(size: tuple[int, int]) -> None:
    height, width = size
    found = waves(height, width)
    assert sorted(np.concatenate(found).tolist()) == list(range(height * width))
    when = np.empty(height * width, dtype=int)
    for number, pixels in enumerate(found):
        when[pixels] = number
    for y in range(height):
        for x in range(width):
            seen = [(y + dy, x + dx) for dy, dx in NEIGHBOURS]
            for d in MIRRORED:
                across = width - 1 - x + d
                up = int(rows_up(np.array([across - x]))[0])
                seen.append((max(y - up, -1), across))
            for row, column in seen:
                if row >= 0 and 0 <= column < width:
                    assert when[row * width + column] < when[y * width + x]


def test_inputs_by_loops(rng: np.random.Generator) -> None:
    values = rng.integers(0, 3, (2, 6, 9)).astype(np.uint8) * 100
    frame = Frame(2, 6, 9)
    frame.values[:] = values
    pixels = np.arange(54)
    made = frame.inputs(pixels, step=20)
    assert made.shape == (2, 54, PLANES)
    for i in range(2):
        for p in pixels.tolist():
            y, x = divmod(p, 9)

            def at(row: int, column: int, i: int = i) -> int:
                inside = 0 <= row < 6 and 0 <= column < 9
                return int(values[i, row, column]) if inside else 0

            near = [at(y + dy, x + dx) for dy, dx in NEIGHBOURS]
            mirrored = []
            for d in (-1, 0, 1):
                column, row = 8 - x + d, y
                while column >= x + 4 * (y - row):
                    row -= 1
                mirrored.append(at(row, column))
            expected = [*near, *(255 * (v == 0) for v in near), *mirrored]
            expected += [40, 255 * y // 5, 255 * x // 8]
            assert made[i, p].tolist() == expected


# --- round trips ----------------------------------------------------------------------------------


@settings(max_examples=30)
@given(SIZES, st.integers(0, 3), st.integers(1, 255), st.integers(0, 2), st.booleans())
def test_round_trip(size: tuple[int, int], n: int, step: int, seed: int, places: bool) -> None:
    model = random_model(seed, places=places)
    coder = CausalCoder(model)
    planes = np.stack([plane(*size, i) for i in range(n)]) if n else np.zeros((0, *size), np.uint8)
    messages = coder.encode(planes, step=step)
    wanted = values_of(levels_of(planes, step), step)
    assert (coder.decode(messages, size=size, step=step) == wanted).all()
    # Alone and among others, a picture has the same message.
    for i, message in enumerate(messages):
        assert coder.encode(planes[i : i + 1], step=step) == [message]


def test_bytes_are_the_entropy() -> None:
    model = random_model(1)
    coder = CausalCoder(model)
    planes = np.stack([plane(24, 20, i) for i in range(4)])
    levels = levels_of(planes, 9).reshape(4, -1)
    frame = Frame(4, 24, 20)
    frame.values[:] = values_of(levels, 9).reshape(planes.shape)
    x = frame.inputs(np.arange(480), step=9)
    for i, message in enumerate(coder.encode(planes, step=9)):
        counts = mixture_counts(model(x[i]), step=9)
        p = counts[np.arange(480), levels[i]] / counts.sum(1)
        assert len(message) <= -np.log2(p).sum() / 8 * 1.001 + 3


def test_flat_surroundings_are_predicted_as_any(rng: np.random.Generator) -> None:
    """What is taken from memory is what the network says."""
    coder = CausalCoder(random_model(2, places=False))
    planes = np.zeros((1, 12, 12), np.uint8)
    planes[0, 3:9, 2:11] = 255
    frame = Frame(1, 12, 12)
    frame.values[:] = planes
    x = frame.inputs(np.arange(144), step=1).reshape(144, -1)
    assert (coder._mostly_flat(x, 1) == coder._predicted(x, 1)).all()
    assert coder._flat


@pytest.mark.parametrize("step", [1, 30])
def test_damage_is_refused_or_gives_some_plane(step: int) -> None:
    coder = CausalCoder(random_model(3))
    (message,) = coder.encode(plane(9, 9, 0)[None], step=step)
    rng = np.random.default_rng(0)
    for trial in range(40):
        damaged = bytearray(message)
        damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
        cut = bytes(damaged[: int(rng.integers(len(damaged)))] if trial % 2 else damaged)
        try:
            drawn = coder.decode([cut], size=(9, 9), step=step)
        except PayloadError:
            continue
        assert drawn.shape == (1, 9, 9)


# --- networks of strangers ------------------------------------------------------------------------


def test_arrays_there_and_back() -> None:
    model = random_model(4)
    again = CausalModel.from_arrays(model.to_arrays("grey"), "grey")
    x = np.random.default_rng(0).integers(0, 256, (50, PLANES))
    assert (again(x) == model(x)).all()
    assert np.abs(model(x)).max() <= 32767


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("grey_weight0", None),
        ("grey_weight0", np.zeros((3, 8), np.int16)),
        ("grey_weight1", np.zeros((8, 8), np.float32)),
        ("grey_weight2", np.zeros((8, 8), np.int16)),
        ("grey_bias0", np.zeros(7, np.int64)),
        ("grey_bias1", np.full(8, 1 << 60)),
        ("grey_shift0", np.full(8, 41, np.uint8)),
        ("grey_shift2", np.full(9, -1)),
        ("grey_weight0", np.zeros((PLANES, 2000), np.int16)),
    ],
)
def test_other_arrays_are_refused(name: str, value: NDArray[np.generic] | None) -> None:
    arrays = random_model(4).to_arrays("grey")
    del arrays[name]
    if value is not None:
        arrays[name] = value
    with pytest.raises(CodecError, match="make it anew"):
        CausalModel.from_arrays(arrays, "grey")


# --- alpha ----------------------------------------------------------------------------------------


def rgba(height: int, width: int, seed: int) -> Plane:
    rng = np.random.default_rng(seed)
    colour = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return np.dstack([colour, plane(height, width, seed, noise=0)])


def test_alpha_parts_before_colours_of_any_kind() -> None:
    alpha = CausalAlpha(CausalCoder(random_model(5, places=False)))
    images = [rgba(11, 8, 0), rgba(11, 8, 1), rgba(5, 7, 2)]
    parts = alpha.parts(images)
    assert all(part[0] == CAUSAL for part in parts)
    packets = []
    for image, part in zip(images, parts, strict=True):
        made = candidates(image, quality=60, kinds=[Kind.AVIF])[0]
        longer = Candidate(made.kind, join(bytes(len(part) + 1), b"colour"), made.error)
        short = CausalAlpha.shortened(longer, part)
        assert short.payload == join(part, b"colour")
        assert CausalAlpha.shortened(longer, b"") is longer
        kept = Candidate(made.kind, b"\x00colour", made.error)
        assert CausalAlpha.shortened(kept, part) is kept
        height, width, _ = image.shape
        packets.append(Packet(width, height, 4, Kind.AVIF, 60, short.payload))
    left, planes = alpha.taken_off(packets)
    assert [one.payload for one in left] == [b"\x00colour"] * 3
    for i, image in enumerate(images):
        assert (planes[i] == image[:, :, 3]).all()


class Opaque:
    """Pictures of any packet, opaque, or of another size than it states."""

    kinds = (Kind.AVIF,)
    at_once = 1

    def __init__(self, images: list[Plane]) -> None:
        self._images = images

    def takes(self, image: Plane) -> bool:
        return True

    def encode(self, *given: Any, draw: bool = True) -> list[Candidate]:
        return []

    def decode(self, packets: Sequence[Packet]) -> list[Plane]:
        drawn = [self._images.pop(0).copy() for _ in packets]
        for image in drawn:
            image[:, :, 3] = 255
        return drawn


def test_planes_are_put_on_what_is_drawn() -> None:
    alpha = CausalAlpha(CausalCoder(random_model(5, places=False)))
    images = [rgba(11, 8, 0), rgba(11, 8, 1), rgba(5, 7, 2)]
    packets = [
        Packet(image.shape[1], image.shape[0], 4, Kind.AVIF, 60, join(part, b"colour"))
        for image, part in zip(images, alpha.parts(images), strict=True)
    ]
    payload = Opaque([*images, images[2]])
    payloads = Payloads("some", {Opaque.kinds: lambda: payload}, own=(), alpha=alpha)
    drawn = payloads.decode(packets, threads=1)
    assert all((a == b).all() for a, b in zip(drawn, images, strict=True))
    with pytest.raises(PayloadError, match="another size"):
        payloads.decode(packets[:1], threads=1)


def test_what_has_no_plane_of_its_own_has_no_part() -> None:
    alpha = CausalAlpha(CausalCoder(random_model(5, places=False)))
    opaque = np.full((4, 4, 4), 255, np.uint8)
    assert alpha.parts([opaque, opaque[:, :, :3], opaque[:, :, :1]]) == [b"", b"", b""]
    packet = Packet(4, 4, 4, Kind.WEBP_LOSSLESS, 60, b"\x02\x03\x00rest")
    assert alpha.taken_off([packet]) == ([packet], {})
    damaged = Packet(4, 4, 4, Kind.AVIF, 60, b"\x7f\x03")
    with pytest.raises(PayloadError, match="damaged"):
        alpha.taken_off([damaged])


def test_bits_of_a_certain_plane_are_few() -> None:
    """A mixture that is sure costs next to nothing: the floor of 1 of each level is small."""
    sure = np.array([[0, 0, 0, -32, -32, -32, -12, -12, -12]])
    counts = mixture_counts(sure, step=1)[0]
    assert -math.log2(counts[0] / counts.sum()) < 0.001
