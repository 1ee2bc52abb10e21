"""Adaptive binary arithmetic coding of matrices of integers, in the manner of CABAC.

The items of a matrix are coded one after the other. An integer of a lane (a dimension of the items)
is spelled as bins: flags "magnitude above 0", "above 1", … up to UNARY of them, what exceeds UNARY
as an Exp-Golomb code of order 0 in bins of equal chances, and the sign unless it is 0. A bin is
coded for all lanes before the next one. The probabilities of flags and signs adapt: each lane has
its own contexts, and no model is sent.

A context follows VVC (ITU-T H.266, 9.3): two estimators, one fast and one slow, each moving a share
of the way to every bin it sees; their mean is the probability. The first bins move them further
(1/2, 1/3, 1/4, …: the estimate of Krichevsky and Trofimov), for items may be only some hundreds.

All states are integers and all probabilities multiples of 2^-16, so that a stream is the same on
every machine. The arithmetic coder is constriction's range coder, as in ``range_coder``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.range_coder import LIMIT, trimmed
from kinpack.errors import PayloadError

UNARY = 14
"""Flags of a magnitude; what is not below it continues as an Exp-Golomb code."""
OWN_FLAGS = 6
"""Flags that have contexts of their own; those that follow share one."""
ZONES = 3
"""Contexts of each of the first two flags: neighbours' magnitudes sum to 0, to 1 or 2, to more."""
FAST, SLOW = 6, 8
"""The estimators move by 2^-FAST and by 2^-SLOW of the way once they have settled."""
SIGNS_SEEN = 4
"""Bins that a sign's context counts as seen at the start, half of them 1: most signs are even."""

_STATE = 24
"""Bits of an estimator; the slow one could not move with the 16 of a probability."""
_RATE = 16
_EDGE = 1 << 9
"""States keep this far from 0 and 1: probabilities are at least 2^-15."""
_TARGETS = np.array([_EDGE, (1 << _STATE) - _EDGE], dtype=np.int64)
_SETTLED = 1 << SLOW
_RATES = tuple(
    np.array([max((1 << _RATE) // (n + 2), 1 << _RATE - shift) for n in range(_SETTLED + 1)])
    for shift in (FAST, SLOW)
)
_SIGN = 2 * ZONES
_CONTEXTS = _SIGN + 1 + OWN_FLAGS - 2 + 1
_LONGEST = 30
"""Ones that an Exp-Golomb prefix can have: magnitudes are below 2^31."""

Ints = NDArray[np.int64]
Bits = NDArray[np.int32]


class _Port(Protocol):
    """One end of a stream of bins, so that writer and reader cannot differ in their order."""

    def code(self, bits: Bits | None, chances: NDArray[np.float64]) -> Bits:
        """Return bins, given their probabilities of being 1; a writer is told them."""


class _Writer:
    def __init__(self) -> None:
        import constriction

        self.coder = constriction.stream.queue.RangeEncoder()
        self._model = constriction.stream.model.Bernoulli(perfect=False)

    def code(self, bits: Bits | None, chances: NDArray[np.float64]) -> Bits:
        if bits is None:
            raise TypeError("a writer is given its bits")
        self.coder.encode(bits, self._model, chances)
        return bits


class _Reader:
    def __init__(self, data: bytes) -> None:
        import constriction

        words = np.frombuffer(data + b"\0" * (-len(data) % 4), dtype=">u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._model = constriction.stream.model.Bernoulli(perfect=False)

    def code(self, bits: Bits | None, chances: NDArray[np.float64]) -> Bits:
        found: Bits = self._coder.decode(self._model, chances)
        return found


class _Contexts:
    """Adaptive probabilities, context c of lane l at place c · L + l."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        size = _CONTEXTS * lanes
        self._fast = np.full(size, 1 << _STATE - 1, dtype=np.int64)
        self._slow = self._fast.copy()
        self._seen = np.zeros(size, dtype=np.int64)
        self._seen[_SIGN * lanes : (_SIGN + 1) * lanes] = SIGNS_SEEN

    def code(self, port: _Port, context: Ints | int, lanes: Ints, bits: Bits | None) -> Bits:
        """Code one bin of each of some lanes, and learn from it."""
        places = context * self._lanes + lanes
        fast, slow, seen = self._fast[places], self._slow[places], self._seen[places]
        # Half the sum, cut to 16 bits, as a fraction: exact in float64.
        chances = np.ldexp((fast + slow >> _STATE - 15).astype(np.float64), -16)
        bits = port.code(bits, chances)
        target = _TARGETS[bits]
        self._fast[places] = fast + ((target - fast) * _RATES[0][seen] >> _RATE)
        self._slow[places] = slow + ((target - slow) * _RATES[1][seen] >> _RATE)
        self._seen[places] = np.minimum(seen + 1, _SETTLED)
        return bits


def encode_binary(symbols: Ints, *, neighbours: Ints | None = None) -> bytes:
    """Encode a matrix of integers.

    Args:
        symbols: (N, L) int64, item by lane; magnitudes below 2^31.
        neighbours: (L, k) int64; row l names up to k lanes whose magnitudes in the same item tell
            of lane l's, −1 where there are fewer. Lanes that have neighbours are coded after those
            that have none, and may only name these.

    Returns:
        The message, in the fewest bytes that still decode to it.

    Raises:
        PayloadError: a symbol is outside the coder's range.
        ValueError: the neighbours are not as described.
    """
    n_lanes = symbols.shape[1]
    passes = _passes(n_lanes, neighbours)
    if symbols.size and (symbols.min() <= -LIMIT or symbols.max() >= LIMIT):
        raise PayloadError(f"a symbol is outside ±{LIMIT}; lower the quality")
    port, contexts = _Writer(), _Contexts(n_lanes)
    for item in symbols:
        magnitudes = np.abs(item)
        for lanes, near in passes:
            _code(port, contexts, lanes, _zones(magnitudes, near), item[lanes])
    return trimmed(port.coder)


def decode_binary(
    data: bytes, n_items: int, n_lanes: int, *, neighbours: Ints | None = None
) -> Ints:
    """Decode a message of ``encode_binary``.

    Args:
        data: the message.
        n_items: N, number of items.
        n_lanes: L, number of lanes.
        neighbours: as given to the encoder.

    Returns:
        (N, L) int64, item by lane.

    Raises:
        PayloadError: the bytes are no such message.
        ValueError: the neighbours are not as described there.
    """
    passes = _passes(n_lanes, neighbours)
    symbols = np.zeros((n_items, n_lanes), dtype=np.int64)
    port, contexts = _Reader(data), _Contexts(n_lanes)
    try:
        for item in symbols:
            for lanes, near in passes:
                item[lanes] = _code(port, contexts, lanes, _zones(np.abs(item), near), None)
    except AssertionError as error:
        raise PayloadError(f"an entropy-coded payload is damaged ({error})") from error
    return symbols


def _passes(n_lanes: int, neighbours: Ints | None) -> list[tuple[Ints, Ints | None]]:
    """Lanes of each pass over an item, and their neighbours; L stands for none."""
    if neighbours is None:
        return [(np.arange(n_lanes), None)] if n_lanes else []
    if neighbours.ndim != 2 or len(neighbours) != n_lanes:
        raise ValueError(f"neighbours are not given for {n_lanes} lanes: {neighbours.shape}")
    later = neighbours.max(axis=1, initial=-1) >= 0
    named = neighbours[neighbours >= 0]
    if (neighbours < -1).any() or (named >= n_lanes).any() or later[named].any():
        raise ValueError("a neighbour is no lane, or has neighbours itself")
    near = np.where(neighbours < 0, n_lanes, neighbours)[later]
    first, second = np.flatnonzero(~later), np.flatnonzero(later)
    passes: list[tuple[Ints, Ints | None]] = [(first, None), (second, near)]
    return [part for part in passes if len(part[0])]


def _zones(magnitudes: Ints, near: Ints | None) -> Ints | int:
    """Zone of each lane of a pass: 0, 1 or 2."""
    if near is None:
        return 0
    total = np.append(magnitudes, 0)[near].sum(axis=1)
    zones: Ints = np.searchsorted(np.array([1, 3]), total, side="right")
    return zones


def _code(
    port: _Port, contexts: _Contexts, lanes: Ints, zones: Ints | int, known: Ints | None
) -> Ints:
    """Code the integers of some lanes of an item; ``known`` says them to a writer."""
    goals = None if known is None else np.abs(known)
    magnitudes = np.zeros(len(lanes), dtype=np.int64)
    alive = nonzero = np.arange(len(lanes))
    for level in range(UNARY):
        if level < 2:
            context = level * ZONES + (zones if isinstance(zones, int) else zones[alive])
        else:
            context = _SIGN - 1 + min(level, OWN_FLAGS)
        told = None if goals is None else (goals[alive] > level).astype(np.int32)
        alive = alive[contexts.code(port, context, lanes[alive], told) != 0]
        if not len(alive):
            break
        magnitudes[alive] = level + 1
        nonzero = nonzero if level else alive
    else:
        rest = None if goals is None else goals[alive] - UNARY
        magnitudes[alive] += _code_rest(port, len(alive), rest)
        if magnitudes.max() >= LIMIT:
            raise PayloadError("an entropy-coded payload is damaged: a symbol is out of range")
    if magnitudes.any():
        told = None if known is None else (known[nonzero] < 0).astype(np.int32)
        negative = contexts.code(port, _SIGN, lanes[nonzero], told)
        magnitudes[nonzero[negative != 0]] *= -1
    return magnitudes


def _code_rest(port: _Port, count: int, known: Ints | None) -> Ints:
    """Code integers from 0 on by Exp-Golomb codes of order 0.

    v + 1 has b bits: b − 1 ones, a zero unless there are 30 of them, its bits after the highest.
    The prefixes go bin by bin through all integers, then the suffixes integer by integer.
    """
    widths = np.zeros(count, dtype=np.int64)
    goals = None if known is None else np.frexp((known + 1).astype(np.float64))[1] - 1
    alive = np.arange(count)
    for width in range(_LONGEST):
        told = None if goals is None else (goals[alive] > width).astype(np.int32)
        alive = alive[_bypass(port, len(alive), told) != 0]
        if not len(alive):
            break
        widths[alive] = width + 1
    owner = np.repeat(np.arange(count), widths)
    shifts = np.repeat(np.cumsum(widths), widths) - np.arange(len(owner)) - 1
    told = None if known is None else ((known + 1)[owner] >> shifts & 1).astype(np.int32)
    bits = _bypass(port, len(owner), told)
    values = 1 << widths
    np.add.at(values, owner, bits.astype(np.int64) << shifts)
    return values - 1


def _bypass(port: _Port, count: int, bits: Bits | None) -> Bits:
    """Code bins of equal chances."""
    return port.code(bits, np.full(count, 0.5))
