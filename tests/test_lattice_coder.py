"""Messages of a coder with a lattice: exact round trips, an independent reference, damage."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.codec.learned.dense_layers import DenseLayers, DenseNetwork, read
from kinpack.codec.learned.lattice import levels_of, order_of
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.codec.learned.lattice_contexts import (
    Group,
    GroupContext,
    LatticeFormat,
    LevelContext,
    network_of,
)
from kinpack.codec.learned.symbol_choice import MAX_STEP
from kinpack.errors import CodecError, PayloadError
from tests.lattice_coders import CHANNELS, LATENT, LOW, coder, latents, layers, parts


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 3),
    st.integers(0, 9),
    st.integers(1, 18),
    st.integers(1, 18),
    st.lists(st.integers(1, 99), min_size=1, max_size=4),
)
def test_what_is_decoded_is_what_was_encoded(
    seed: int, other: int, h: int, w: int, qualities: list[int]
) -> None:
    quality, y = np.array(qualities), latents(other, len(qualities), h, w)
    y_hat, messages = coder(seed).encode(y, quality=quality)
    assert (coder(seed).decode(messages, size=(h, w), quality=quality) == y_hat).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 9), st.integers(1, 12), st.integers(1, 12))
def test_a_message_does_not_depend_on_what_is_coded_beside_it(seed: int, h: int, w: int) -> None:
    quality, y = np.array([20, 50, 80]), latents(seed, 3, h, w)
    _, together = coder().encode(y, quality=quality)
    for i in range(3):
        _, (alone,) = coder().encode(y[i : i + 1], quality=quality[i : i + 1])
        assert alone == together[i]


def test_no_picture_makes_no_message() -> None:
    y_hat, messages = coder().encode(np.zeros((0, CHANNELS, 3, 4)), quality=np.zeros(0, np.int64))
    assert messages == []
    assert y_hat.shape == (0, CHANNELS, 3, 4)
    assert coder().decode([], size=(3, 4), quality=np.zeros(0, np.int64)).shape == y_hat.shape


def test_groups_of_zeros_cost_next_to_nothing() -> None:
    made, own = coder(), parts()
    y, quality = latents(1, 1, 12, 12), np.array([50])
    _, (full,) = made.encode(y, quality=quality)
    # A coarse step leaves nothing of the groups.
    y[:, LOW:] = 0
    made = LatticeCoder(
        LATENT,
        levels=own.levels,
        contexts=[_silent(context) for context in own.contexts],
        choice=own.choice,
    )
    y_hat, (short,) = made.encode(y, quality=quality)
    assert not y_hat[:, LOW:].any()
    assert len(short) < len(full) / 2
    assert (made.decode([short], size=(12, 12), quality=quality) == y_hat).all()


def _silent(context: GroupContext) -> GroupContext:
    """A network that predicts 0 of everything."""
    parts = [
        replace(layer, weight=0 * layer.weight, bias=0 * layer.bias)
        for layer in context.network.layers
    ]
    return GroupContext(DenseLayers(tuple(parts)), context.shift)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 9)])
def test_predictions_are_those_of_plain_loops(size: tuple[int, int]) -> None:
    """The lattice's means and tables, in Python's own integers, from the description alone."""
    made, own, (h, w) = coder(2), parts(2), size
    rng = np.random.default_rng(5)
    order = order_of(h, w)
    values = rng.integers(-3000, 3000, size=(h, w, LOW))
    known = np.zeros((1, 1 + h * w, LOW), dtype=np.int64)
    known[0, 1:] = values.reshape(h * w, LOW)[order.places]
    quality = np.array([63])
    start = 0
    for level, count, neighbours in zip(order.levels, order.counts, order.neighbours, strict=True):
        mean, table = made.predict_level(level, known, neighbours, quality)
        for i, place in enumerate(order.places[start : start + count].tolist()):
            row, column = divmod(place, w)
            s = level.spacing
            if level.kind == "diagonal":
                shifts = [(-1, -1), (-1, 1), (1, -1), (1, 1), (-3, -1), (-3, 1), (3, -1), (3, 1)]
                shifts += [(-1, -3), (-1, 3), (1, -3), (1, 3)]
            else:
                shifts = [(-1, 0), (0, -1), (0, 1), (1, 0), (-2, -1), (-2, 1), (2, -1), (2, 1)]
                shifts += [(-1, -2), (-1, 2), (1, -2), (1, 2)]
            found: list[list[int] | None] = []
            for a, b in shifts:
                at, beside = row + a * s, column + b * s
                inside = 0 <= at < h and 0 <= beside < w and level.kind != "first"
                found.append(values[at, beside].tolist() if inside else None)
            near = [each for each in found[:4] if each is not None]
            middle = [
                (2 * sum(each[c] for each in near) + max(1, len(near))) // (2 * max(1, len(near)))
                for c in range(LOW)
            ]
            context = own.levels[network_of(level)]
            x = [
                0 if each is None else _read(each[c] - middle[c], int(context.difference_shift[c]))
                for each in found
                for c in range(LOW)
            ]
            x += [_read(middle[c], int(context.mean_shift[c])) for c in range(LOW)]
            x += [0 if each is None else 128 for each in found]
            x += [63 - 50, 32 * (s.bit_length() - 4)]
            out = _run(context, x)
            assert mean[0, i].tolist() == [middle[c] + out[c] for c in range(LOW)]
            shift = int(made.choice.table_shift[63])
            bins = [min(max(v + shift, 0), made.choice.count - 1) for v in out[LOW:]]
            assert table[0, i].tolist() == bins
        start += count


def _read(value: int, shift: int) -> int:
    return min(255, max(-255, (value + ((1 << shift) >> 1)) >> shift))


def _run(context: LevelContext, x: list[int]) -> list[int]:
    for layer in context.network.layers:
        sums = [
            sum(a * int(b) for a, b in zip(x, layer.weight[:, k], strict=True))
            for k in range(layer.weight.shape[1])
        ]
        x = [
            min(layer.high, max(layer.low, (total + int(bias)) >> int(shift)))
            for total, bias, shift in zip(sums, layer.bias, layer.shift, strict=True)
        ]
    return x


@pytest.mark.parametrize("optimise", [True, False])
def test_networks_give_the_same_in_onnxruntime(optimise: bool) -> None:
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(8)
    made = layers(rng, 11, 6)
    rows = rng.integers(-255, 256, size=(3, 40, 11)).astype(np.float32)
    for threads in (None, 1, 2):
        network = DenseNetwork(made, name="context0", threads=threads, optimise=optimise)
        assert (network.rows(rows) == made(rows)).all()
        assert network.rows(rows[:0]).shape == (0, 40, 6)


def test_reading_rounds_and_clips() -> None:
    shift = np.array([0, 1, 4])
    values = np.array([[300, 3, 8], [-300, -3, -8], [-1, 1, 4000]])
    assert read(values, shift).tolist() == [[255, 2, 1], [-255, -1, 0], [-1, 1, 250]]


def test_damaged_messages_are_refused_or_drawn() -> None:
    made, quality = coder(), np.array([55])
    _, (message,) = made.encode(latents(4, 1, 6, 7), quality=quality)
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(message)
        broken[int(rng.integers(len(broken)))] ^= int(rng.integers(1, 256))
        cut = bytes(broken[: int(rng.integers(len(broken) + 1))])
        with suppress(PayloadError):
            y_hat = made.decode([cut], size=(6, 7), quality=quality)
            assert np.abs(y_hat).max() <= made.choice.limit


def test_networks_that_could_leave_exact_arithmetic_are_refused() -> None:
    made = layers(np.random.default_rng(0), 4, 2)
    first = made.layers[0]
    wide = replace(first, bias=np.full(7, (1 << 24) - 1, dtype=np.int32))
    with pytest.raises(CodecError, match="exact"):
        DenseLayers((wide, made.layers[1]))
    with pytest.raises(CodecError, match="exact"):
        DenseLayers((replace(first, high=256), made.layers[1]))
    with pytest.raises(CodecError, match="exact"):
        DenseLayers(())


def test_parts_that_do_not_fit_are_refused() -> None:
    made = parts()
    for change in (
        {"latent": replace(LATENT, groups=(Group(2, 5, True),))},
        {"latent": replace(LATENT, limit=LATENT.limit - 1)},
        {"levels": made.levels[:-1]},
        {"contexts": made.contexts[::-1]},
        {"choice": replace(made.choice, error_bits=np.ones(3))},
    ):
        given = {
            "latent": LATENT,
            "levels": made.levels,
            "contexts": made.contexts,
            "choice": made.choice,
        }
        with pytest.raises(CodecError):
            LatticeCoder(**{**given, **change})  # type: ignore[arg-type]
    with pytest.raises(CodecError):
        replace(made.choice, step_units=np.zeros(101, dtype=np.int64))
    for number in (MAX_STEP, -MAX_STEP, -(1 << 63)):
        shift = made.choice.table_shift.copy()
        shift[50] = number
        with pytest.raises(CodecError):
            replace(made.choice, table_shift=shift)


def test_the_levels_have_networks_of_their_own_up_to_a_spacing() -> None:
    found = [network_of(level) for level in levels_of(32, 32)]
    assert found == [0, 5, 6, 5, 6, 5, 6, 3, 4, 1, 2]


def test_formats_survive_as_plain_values_and_odd_ones_are_refused() -> None:
    values = LATENT.to_dict()
    assert LatticeFormat.from_dict(values) == LATENT
    assert LATENT.channels == CHANNELS
    for change in (
        {"low": 0},
        {"low": 3},
        {"groups": [[2, 5]]},
        {"groups": [[2, 5, True], [4, 9, False]]},
        {"groups": [[2, 2000, False]]},
        {"unit": 0},
        {"limit": 1 << 20},
        {"gain": float("inf")},
        {"gain": "much"},
    ):
        with pytest.raises(CodecError):
            LatticeFormat.from_dict({**values, **change})
    for missing in values:
        with pytest.raises(CodecError):
            LatticeFormat.from_dict({key: v for key, v in values.items() if key != missing})


def test_a_coder_survives_as_header_and_arrays() -> None:
    made, header = coder(1), {"lattice": LATENT.to_dict()}
    arrays = made.to_arrays()
    again = LatticeCoder.from_file(header, arrays)
    y, quality = latents(2, 2, 7, 4), np.array([33, 66])
    codes = np.zeros((2, 4), dtype=np.uint8)
    y_hat, messages = again.encode(y, codes, quality=quality)
    assert messages == made.encode(y, quality=quality)[1]
    assert (again.decode(messages, codes + 1, size=(7, 4), quality=quality) == y_hat).all()
    for name in arrays:
        without = {key: value for key, value in arrays.items() if key != name}
        damaged = [without]
        if name != "error_bits":
            damaged.append({**arrays, name: arrays[name].astype(np.float32)})
        for some in damaged:
            with pytest.raises(CodecError):
                LatticeCoder.from_file(header, some)
