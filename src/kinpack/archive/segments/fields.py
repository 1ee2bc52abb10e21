"""Fields of JSON objects, checked: each is of the type and the size that it has to be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from kinpack.errors import ArchiveError
from kinpack.limits import DEEPEST, too_deep

LARGEST = 1 << 60
"""Largest integer that a field may hold."""


class MalformedError(ArchiveError):
    """A file is not of the form that it should have; the text says why."""


def same_keys(values: Any, expected: Iterable[str], what: str) -> None:
    """See that an object has exactly the expected fields.

    Raises:
        MalformedError: it has others.
    """
    if not isinstance(values, Mapping) or set(values) != set(expected):
        raise MalformedError(f"a {what} has other fields than {', '.join(expected)}")


def integer(values: Mapping[str, Any], key: str, low: int, high: int = LARGEST) -> int:
    """An integer field.

    Raises:
        MalformedError: it is none, or not from ``low`` to ``high``.
    """
    value = values[key]
    if type(value) is not int or not low <= value <= high:
        raise MalformedError(f"{key} is {value!r}, not an integer from {low} to {high}")
    return value


def hexadecimal(values: Mapping[str, Any], key: str, digits: int) -> str:
    """A field of lower-case hexadecimal digits.

    Raises:
        MalformedError: it is no such text.
    """
    value = values[key]
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
        raise MalformedError(f"{key} is {value!r}, not {digits} hexadecimal digits")
    return value


def shallow(value: Any, what: str) -> None:
    """See that JSON values are not nested deeper than any reader follows.

    Raises:
        MalformedError: they are.
    """
    if too_deep(value):
        raise MalformedError(f"its {what} are nested deeper than {DEEPEST}")


def of_type(values: Mapping[str, Any], key: str, kind: type) -> Any:
    """A field of a type.

    Raises:
        MalformedError: it is of another type.
    """
    value = values[key]
    if type(value) is not kind:
        raise MalformedError(f"{key} is of the wrong type")
    return value
