"""Limits of memory, and work cut by them: pixels of an image, pixels held, depth of JSON values."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import PIL.Image

from kinpack.errors import ImageError

VARIABLE = "KINPACK_MAX_PIXELS"
"""The environment variable that sets the limit."""

_LARGEST = 65535**2

PIXEL_BYTES = 64 << 20
"""Most bytes of decoded pixels held at a time, beyond one image."""

DECODING = 16
"""Bytes that a decoder takes for a pixel, at most, as a rule."""

T = TypeVar("T")


def most_pixels() -> int:
    """Most pixels that an image may have, to be read, encoded or drawn.

    It is Pillow's own limit against decompression bombs, twice ``PIL.Image.MAX_IMAGE_PIXELS`` or
    178,956,970, unless the environment variable ``KINPACK_MAX_PIXELS`` sets another one; where
    that is higher, Pillow's is raised to it.

    Raises:
        ImageError: the variable is no whole number from 1 on.
    """
    pillows = PIL.Image.MAX_IMAGE_PIXELS
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return _LARGEST if pillows is None else min(_LARGEST, 2 * pillows)
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 20 and int(text)):
        raise ImageError(f"{VARIABLE} is {text[:40]!r}; set it to a number of pixels, as 400000000")
    limit = int(text)
    if pillows is not None and limit > pillows:
        PIL.Image.MAX_IMAGE_PIXELS = limit
    return limit


def too_many(width: int, height: int) -> str | None:
    """What is said of an image of more pixels than the limit; ``None`` if it is allowed.

    Raises:
        ImageError: the limit is set to nonsense.
    """
    limit = most_pixels()
    if width * height <= limit:
        return None
    return (
        f"{width}×{height} pixels are more than the limit against decompression bombs "
        f"({limit:,}); if you trust it, set the environment variable {VARIABLE}={width * height}"
    )


def batches(
    things: Iterable[T], size: int, *, n_bytes: Callable[[T], int], full: int | None = None
) -> Iterator[list[T]]:
    """Cut a sequence into batches, fewer in each where pictures are large.

    Args:
        things: in order.
        size: most in a batch.
        n_bytes: bytes that one is worth, as a rule of its pixels.
        full: a batch ends with the one that brings its bytes to so many; by default 64 MiB.
    """
    full = PIXEL_BYTES if full is None else full
    batch: list[T] = []
    held = 0
    for thing in things:
        batch.append(thing)
        held += n_bytes(thing)
        if len(batch) >= size or held >= full:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


DEEPEST = 64
"""Lists and objects within each other, the outermost counted."""


def in_parts(
    function: Callable[..., Iterable[T]],
    *columns: Any,
    size: int,
    threads: int | None,
    **options: Any,
) -> list[T]:
    """Apply a function to parts of columns, in threads: while one codes, another's networks run.

    Args:
        function: takes a part of each column, and gives a result for each row.
        columns: sequences or arrays of equal lengths.
        size: most rows of a part.
        threads: most threads; None takes as many as there are cores.
        options: that the function takes by their names.
    """
    n = len(columns[0])
    parts = [[column[i : i + size] for column in columns] for i in range(0, n, size)]
    if threads == 1 or len(parts) < 2:
        return [one for part in parts for one in function(*part, **options)]
    with ThreadPoolExecutor(threads or cores()) as pool:
        made = pool.map(lambda part: function(*part, **options), parts)
        return [one for some in made for one in some]


def cores() -> int:
    """Cores that this process may use: threads beyond them cost memory, and bring nothing."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def too_deep(value: Any) -> bool:
    """Whether JSON values are nested deeper than any reader follows.

    Args:
        value: of lists, dictionaries and plain values, such as ``json.loads`` gives.
    """
    level = [value]
    for _ in range(DEEPEST):
        inner = [one for one in level if isinstance(one, (dict, list))]
        if not inner:
            return False
        level = [part for one in inner for part in (one.values() if isinstance(one, dict) else one)]
    return True
