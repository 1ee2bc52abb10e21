"""Protocol Buffers messages, read by hand: nothing unforeseen is skipped, no length is believed.

A message is a row of fields, each a key (its number, and the sort of what follows) and a value.
Readers of this format are lenient by custom: they skip what they do not know, merge what is there
twice, and cut numbers that are too long. Two readers may then see two different messages in the
same bytes. Here all of that is refused, so that what is accepted means the same to every reader.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError

Kind = Literal["int", "ints", "floats", "text", "bytes", "refused"]
Message = dict[str, list[Any]]

MAX_FIELDS = 1 << 17
"""Most fields of all messages of a file: reading them takes a second or so."""
MAX_TEXT = 256
"""Longest name, in bytes."""
MAX_PACKED = 1 << 20
"""Longest row of packed integers, in bytes: each takes up to 40 times that while it is read."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_LONGEST = 10
"""Bytes of a number of 64 bits, 7 a byte."""


@dataclass(frozen=True)
class Field:
    """What a field of a message may hold.

    Attributes:
        name: key in the message that was read, and what it is called in messages to people.
        kind: ``int``: signed, 64 bits; ``ints`` and ``floats``: rows, packed or not; ``text``:
            UTF-8; ``bytes``: as they are, for a message within this one too; ``refused``: a message
            that has this field is refused.
        repeated: whether it may be there more than once (rows always may).
    """

    name: str
    kind: Kind
    repeated: bool = False


class MessageReader:
    """Reads the messages of one file, and counts their fields."""

    def __init__(self) -> None:
        self._fields = 0

    def read(self, data: memoryview, fields: Mapping[int, Field], what: str) -> Message:
        """Read one message.

        Args:
            data: its bytes.
            fields: what each field number stands for.
            what: the message is called, for errors.

        Returns:
            The values of each field by its name, in order; rows are one array, int64 or float32.
            Fields that are not there are empty lists, rows of length 0 in case of rows.

        Raises:
            CodecError: the bytes are no such message, or hold more than is foreseen.
        """
        message: Message = {field.name: [] for field in fields.values()}
        at = 0
        while at < len(data):
            self._fields += 1
            if self._fields > MAX_FIELDS:
                raise CodecError(f"it has more than {MAX_FIELDS} fields")
            key, at = _varint(data, at)
            number, wire = key >> 3, key & 7
            field = fields.get(number)
            if field is None:
                raise CodecError(f"{what} has the field {number}, which is not known here")
            if field.kind == "refused":
                raise CodecError(f"{what} has {field.name}, which are not allowed")
            values = message[field.name]
            if values and not field.repeated and field.kind not in ("ints", "floats"):
                raise CodecError(f"{what} has two {field.name}")
            value: Any
            if wire == _VARINT:
                value, at = _varint(data, at)
                value = value - (1 << 64) if value >> 63 else value
            else:
                length = 4
                if wire == _LENGTH:
                    length, at = _varint(data, at)
                elif wire != _FIXED32:
                    raise CodecError(f"{what} has a field of the sort {wire}")
                if length > len(data) - at:
                    raise CodecError(f"{what} ends too early")
                value, at = data[at : at + length], at + length
            values.append(_value(field, wire, value, what))
        for field in fields.values():
            if field.kind in ("ints", "floats"):
                empty = np.empty(0, np.int64 if field.kind == "ints" else np.float32)
                message[field.name] = [np.concatenate([empty, *message[field.name]])]
        return message


def _value(field: Field, wire: int, value: Any, what: str) -> Any:
    """Value of one field: an int for a varint, else the bytes it takes."""
    match field.kind, wire:
        case "int", 0:
            return value
        case "ints", 0:
            return np.array([value], np.int64)
        case "ints", 2:
            return _packed(value, f"{what}'s {field.name}")
        case "floats", 2 | 5:
            if len(value) % 4:
                raise CodecError(f"{what}'s {field.name} end within a number")
            return np.frombuffer(value, "<f4").astype(np.float32, copy=False)
        case "bytes", 2:
            return value
        case "text", 2:
            return _text(value, f"{what}'s {field.name}")
    raise CodecError(f"{what}'s {field.name} is of the sort {wire}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Unsigned number at a place, and the place after it."""
    value = 0
    for i in range(min(_LONGEST, len(data) - at)):
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            if value >> 64 or (i and not byte):
                raise CodecError("a number is longer than it should be")
            return value, at + i + 1
    raise CodecError("a number does not end")


def _packed(data: memoryview, what: str) -> NDArray[np.int64]:
    """Row of numbers that follow each other."""
    if len(data) > MAX_PACKED:
        raise CodecError(f"{what} take more than {MAX_PACKED} bytes; store them raw")
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 0x80)
    if len(raw) and (not len(ends) or ends[-1] != len(raw) - 1):
        raise CodecError(f"{what} end within a number")
    lengths = np.diff(ends, prepend=-1)
    last = raw[ends]
    if ((lengths > _LONGEST) | ((lengths == _LONGEST) & (last > 1))).any() or (
        (lengths > 1) & (last == 0)
    ).any():
        raise CodecError(f"{what} hold a number that is longer than it should be")
    values = np.zeros(len(ends), np.uint64)
    for i in range(int(lengths.max(initial=0))):
        has = lengths > i
        bits = (raw[(ends - lengths + 1 + i)[has]] & 0x7F).astype(np.uint64)
        values[has] |= bits << np.uint64(7 * i)
    return values.view(np.int64)


def _text(data: memoryview, what: str) -> str:
    if len(data) > MAX_TEXT:
        raise CodecError(f"{what} has more than {MAX_TEXT} bytes")
    try:
        return bytes(data).decode()
    except UnicodeDecodeError as error:
        raise CodecError(f"{what} is no text") from error
