"""Thrift's compact protocol, as far as Parquet's metadata need it: read into plain values."""

from __future__ import annotations

from typing import Any

_DEEPEST = 16
_TRUE, _FALSE, _I8, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


def read_struct(data: bytes | memoryview, at: int, stop: int) -> tuple[dict[int, Any], int]:
    """Read a structure.

    Nothing is allocated that the bytes do not hold: a list has at most as many elements as bytes
    are left.

    Args:
        data: the bytes that hold it.
        at: where it begins.
        stop: where it must have ended.

    Returns:
        Its fields by number: integers, floats, bytes, lists, structures; and the place behind it.

    Raises:
        ValueError: the bytes end within it, or are no structure.
    """
    return _struct(data, at, stop, 0)


def _struct(data: bytes | memoryview, at: int, stop: int, depth: int) -> tuple[dict[int, Any], int]:
    if depth > _DEEPEST:
        raise ValueError("its metadata are nested too deep")
    fields: dict[int, Any] = {}
    number = 0
    while at < stop:
        head = data[at]
        at += 1
        if not head:
            return fields, at
        kind, step = head & 15, head >> 4
        if step:
            number += step
        else:
            number, at = _signed(data, at, stop)
        if number in fields:
            raise ValueError("its metadata hold a field twice")
        if kind <= _FALSE:
            fields[number] = kind == _TRUE
        else:
            fields[number], at = _value(data, at, stop, kind, depth)
    raise ValueError("its metadata end early")


def _value(data: bytes | memoryview, at: int, stop: int, kind: int, depth: int) -> tuple[Any, int]:
    if _I16 <= kind <= _I64:
        return _signed(data, at, stop)
    if kind == _BINARY:
        length, at = _unsigned(data, at, stop)
        if length > stop - at:
            raise ValueError("its metadata end early")
        return bytes(data[at : at + length]), at + length
    if kind == _STRUCT:
        return _struct(data, at, stop, depth + 1)
    if kind in (_LIST, _SET):
        return _list(data, at, stop, depth + 1)
    if kind in (_TRUE, _FALSE, _I8) and at < stop:
        return data[at], at + 1
    if kind == _DOUBLE and at + 8 <= stop:
        return None, at + 8
    raise ValueError("its metadata hold what Parquet has no use for")


def _list(data: bytes | memoryview, at: int, stop: int, depth: int) -> tuple[list[Any], int]:
    if depth > _DEEPEST or at >= stop:
        raise ValueError("its metadata are nested too deep, or end early")
    count, kind = data[at] >> 4, data[at] & 15
    at += 1
    if count == 15:
        count, at = _unsigned(data, at, stop)
    if count > stop - at:
        raise ValueError("its metadata end early")
    values = []
    for _ in range(count):
        value, at = _value(data, at, stop, kind, depth)
        values.append(value)
    return values, at


def _signed(data: bytes | memoryview, at: int, stop: int) -> tuple[int, int]:
    number, at = _unsigned(data, at, stop)
    return number >> 1 ^ -(number & 1), at


def _unsigned(data: bytes | memoryview, at: int, stop: int) -> tuple[int, int]:
    number = shift = 0
    while at < stop and shift < 64:
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
        shift += 7
    raise ValueError("its metadata hold a broken number")
