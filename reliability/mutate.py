"""Mutations of bytes and of JSON values, as the fuzzing makes them: all by chance, from a seed."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

NUMBERS = (
    *(0, 1, 2, 3, 7, 8, 15, 16, 63, 64, 127, 128, 255, 256, 4095, 16383, 16384, 32767, 32768),
    *(65535, 65536, (1 << 24) - 1, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32),
    *((1 << 53) + 1, 1 << 60, (1 << 60) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1),
)
"""Integers at which sizes and signs go wrong."""

_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.0, 1e308, 1e-320, "", "a", "\0", "é\n", [], {}),
    *([[]], {"": 0}, [0, 1], [None], "../../x", "9" * 400, 10**40, -(10**40), *NUMBERS),
)
_DEEPEST = 300
_LONGEST = 1 << 16


def varint(number: int) -> bytes:
    """Seven bits a byte, lowest first, as Protocol Buffers, Thrift and kinpack write integers."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Bytes with a few changes: of bits, of integers, of spans; cut, repeated or spliced.

    Args:
        data: what to change.
        chance: of the case.
        others: of which parts may be taken.
    """
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        _change(made, chance, others)
    return bytes(made)


def mutated_part(data: bytes, start: int, stop: int, chance: random.Random) -> bytes:
    """Bytes of which only those from ``start`` to ``stop`` are changed, in place mostly."""
    return data[:start] + mutated(data[start:stop], chance) + data[stop:]


def _change(made: bytearray, chance: random.Random, others: Sequence[bytes]) -> None:
    at = chance.randrange(len(made) + 1)
    way = chance.randrange(10)
    if not made or way == 0:
        made[at:at] = chance.randbytes(chance.choice((1, 1, 2, 4, 16)))
        return
    at = min(at, len(made) - 1)
    span = min(len(made) - at, chance.choice((1, 1, 2, 4, 8, 64, 1024)))
    if way == 1:
        made[at] ^= 1 << chance.randrange(8)
    elif way == 2:
        made[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    elif way == 3:
        width = chance.choice((2, 4, 8))
        number = chance.choice(NUMBERS) & (1 << 8 * width) - 1
        order = "big" if chance.random() < 0.5 else "little"
        made[at : at + width] = number.to_bytes(width, order)  # type: ignore[arg-type]
    elif way == 4:  # a varint in place of the one that seems to begin here
        stop = at
        while stop < len(made) - 1 and made[stop] & 128 and stop < at + 9:
            stop += 1
        made[at : stop + 1] = varint(chance.choice(NUMBERS))
    elif way == 5:
        del made[at : at + span]
    elif way == 6:
        made[at : at + span] = bytes([chance.choice((0, 255, made[at]))]) * span
    elif way == 7:
        times = chance.choice((2, 2, 3, 100))
        made[at : at + span] = (made[at : at + span] * times)[:_LONGEST]
    elif way == 8:
        other = chance.choice(others) if others else bytes(made)
        begin = chance.randrange(len(other) + 1)
        made[at : at + span] = other[begin : begin + span]
    else:
        del made[chance.choice((at, len(made) - span)) :]


def mutated_json(value: Any, chance: random.Random) -> Any:
    """JSON values with a few changes: values of another sort, keys removed, lists made longer."""
    made = copy.deepcopy(value)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        places = list(_places(made))
        if not places:
            return _any_value(chance)
        holder, key = chance.choice(places)
        _change_value(holder, key, chance)
    return made


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place of a value: what holds it, and its key or index."""
    found: list[tuple[Any, Any]] = []
    waiting = [value] if isinstance(value, (dict, list)) else []
    while waiting:
        one = waiting.pop()
        items = one.items() if isinstance(one, dict) else enumerate(one)
        for key, inner in items:
            found.append((one, key))
            if isinstance(inner, (dict, list)):
                waiting.append(inner)
    return found


def _any_value(chance: random.Random) -> Any:
    """One of the odd values: a copy, for what is changed later must not change them."""
    return copy.deepcopy(chance.choice(_VALUES))


def _change_value(holder: Any, key: Any, chance: random.Random) -> None:
    way, old = chance.randrange(9), holder[key]
    if way < 3:
        holder[key] = _any_value(chance)
    elif way == 3 and isinstance(old, (int, float)):
        holder[key] = old + chance.choice((-1, 1, -old, 255, 1 << 16))
    elif way == 4:
        del holder[key]
    elif way == 5 and isinstance(holder, list):
        holder.extend(copy.deepcopy(old) for _ in range(chance.choice((1, 2, 100))))
    elif way == 5:
        holder[str(chance.randrange(100))] = copy.deepcopy(old)
    elif way == 6 and isinstance(old, str):
        raw = bytearray(old.encode("utf-8", "surrogatepass"))
        _change(raw, chance, ())
        holder[key] = raw.decode("utf-8", "replace")
    elif way == 7:
        for _ in range(chance.choice((1, 10, _DEEPEST))):
            old = [old] if chance.random() < 0.5 else {"a": old}
        holder[key] = old
    else:
        other = chance.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
        holder[key], holder[other] = holder[other], holder[key]
