"""How deep JSON values of files may be nested."""

from __future__ import annotations

from typing import Any

DEEPEST = 64
"""Lists and objects within each other, the outermost counted."""


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
