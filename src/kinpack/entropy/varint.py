"""Integers of as many bytes as they need: seven bits a byte, the lowest first."""

from __future__ import annotations

from collections.abc import Iterable

from kinpack.errors import PayloadError

_LONGEST = 9


def write_varint(number: int) -> bytes:
    """The bytes of an integer from 0 on; all but the last have their highest bit set."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """Read an integer.

    Args:
        data: the bytes that hold it.
        place: where in ``data`` it starts.

    Returns:
        The integer and the place that follows it.

    Raises:
        PayloadError: The bytes end within it, or it has bytes that it does not need.
    """
    number = 0
    for i, byte in enumerate(data[place : place + _LONGEST]):
        number |= (byte & 127) << 7 * i
        if byte < 128:
            if byte == 0 and i:
                break
            return number, place + i + 1
    raise PayloadError("a payload is damaged: a length in it is broken; restore the archive")


def join_parts(parts: Iterable[bytes]) -> bytes:
    """Byte strings one after the other, the length of each before it."""
    return b"".join(write_varint(len(part)) + part for part in parts)


def split_parts(data: bytes, count: int) -> list[bytes]:
    """Read what `join_parts` made of so many byte strings.

    Raises:
        PayloadError: they do not fill the bytes.
    """
    parts, place = [], 0
    for _ in range(count):
        length, place = read_varint(data, place)
        parts.append(data[place : place + length])
        place += length
    if place != len(data):
        raise PayloadError.of("a payload", "its tiles do not fill it")
    return parts
