"""Files that are written whole or not at all: results as JSON, arrays, and whatever else."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Give a place to write to, which takes the file's name once the block has ended well.

    Args:
        path: of the file; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    yield unfinished
    unfinished.replace(path)


def write_json(path: Path, values: Any) -> None:
    """Write a result file; numbers to six decimal places."""
    with written_whole(path) as unfinished:
        unfinished.write_text(json.dumps(_rounded(values), indent=1, ensure_ascii=False) + "\n")


def write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write named arrays as one ``.npz`` file."""
    named: dict[str, Any] = dict(arrays)
    with written_whole(path) as unfinished, unfinished.open("wb") as stream:
        np.savez_compressed(stream, **named)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value
