"""Arguments as callers give them: checked, with a line that says what is wanted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import SupportsIndex

from kinpack.errors import KinpackError


def whole_number(
    value: object, name: str, error: type[KinpackError] = KinpackError, *, least: int = 1
) -> int:
    """Give a whole number, of any type that is one.

    Args:
        value: the number.
        name: what the caller knows it by.
        error: what is raised where it is none.
        least: the smallest that will do.

    Raises:
        KinpackError: it is none, or too small.
    """
    if not isinstance(value, SupportsIndex) or isinstance(value, bool) or value.__index__() < least:
        raise error(f"{name} is {value!r}; it is a whole number, {least} or more")
    return value.__index__()


def path_of(given: object, what: str, error: type[KinpackError] = KinpackError) -> Path:
    """Give the path of a file or a folder.

    Args:
        given: the path.
        what: what lies there, or is to.
        error: what is raised where it is none.

    Raises:
        KinpackError: it is something else.
    """
    if not isinstance(given, (str, os.PathLike)):
        raise error(
            f"{what} is named by a path, not by something of the type {type(given).__name__}"
        )
    return Path(given)
