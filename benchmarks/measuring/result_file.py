"""Result files: JSON that reads as a table, a row a line, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_WIDTH = 100
"""Characters of an object from which on what holds it has a line for each entry."""


def load_results(path: Path) -> dict[str, Any]:
    """The values of a result file; none if it is not there."""
    if not path.exists():
        return {}
    values: dict[str, Any] = json.loads(path.read_text())
    return values


def save_results(path: Path, values: Mapping[str, Any]) -> None:
    """Write a result file under another name, then rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(dumps(values) + "\n")
    part.replace(path)


def dumps(value: Any, indent: str = "") -> str:
    """JSON text: an entry a line where a list holds objects or an object much, else on one line."""
    if indent and not _is_table(value):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + "  "
    if isinstance(value, dict):
        entries = [f"{json.dumps(key)}: {dumps(entry, deeper)}" for key, entry in value.items()]
    else:
        entries = [dumps(entry, deeper) for entry in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    body = ",\n".join(deeper + entry for entry in entries)
    return f"{opening}\n{body}\n{indent}{closing}"


def _is_table(value: Any) -> bool:
    """Whether a value is written over several lines."""
    if isinstance(value, list):
        return any(isinstance(entry, dict) for entry in value)
    return isinstance(value, dict) and any(
        _is_table(entry) or (isinstance(entry, dict) and len(json.dumps(entry)) > _WIDTH)
        for entry in value.values()
    )
