"""Write the tables of docs/installing.md from what pip was asked, and from measured speeds.

    python -m benchmarks.pages.installing_tables [--check]

With --check nothing is written, and the exit code is 1 where the page would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from benchmarks.measuring.places import RESULTS, ROOT

PAGE = ROOT / "docs" / "installing.md"
ACTS = ("encode", "decode", "describe")


def machines_table(results: dict[str, Any]) -> str:
    """What is installed on each machine, with the Pythons that differ."""
    lines = ["| machine | installs | onnxruntime | constriction |", "|---|---|---|---|"]
    for machine in dict.fromkeys(row["machine"] for row in results["rows"]):
        rows = [row for row in results["rows"] if row["machine"] == machine]
        cells = [_pythons(rows, key) for key in ("installs", "onnxruntime", "constriction")]
        lines.append(f"| {machine} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pythons(rows: Iterable[dict[str, Any]], key: str) -> str:
    """Yes, no, or the Pythons for which a row has something."""
    found = {row["python"]: bool(row.get(key)) for row in rows}
    if len(set(found.values())) == 1:
        return "yes" if next(iter(found.values())) else "no"
    return "Python " + ", ".join(python for python, true in found.items() if true)


def without_table(results: dict[str, Any]) -> str:
    """Images a second without one package or both."""
    lines = [
        f"| {results['side']} × {results['side']} pixels, images a second of processor time | "
        + " | ".join(ACTS)
        + " |",
        "|---|" + "--:|" * len(ACTS),
    ]
    for row in results["rows"]:
        name = f"without {' and '.join(row['without'])}" if row["without"] else "with both"
        lines.append(f"| {name} | " + " | ".join(f"{row[act]:.0f}" for act in ACTS) + " |")
    return "\n".join(lines)


TABLES: dict[str, tuple[Path, Callable[[dict[str, Any]], str]]] = {
    "machines": (RESULTS / "platforms.json", machines_table),
    "without": (RESULTS / "without_engines.json", without_table),
}


def table(name: str) -> str:
    """The table of a name, or that it has not been measured."""
    path, make = TABLES[name]
    return make(json.loads(path.read_text())) if path.exists() else UNMEASURED


def main() -> None:
    """Fill the page, or with --check say whether it is filled."""
    fill_page(PAGE, table)


if __name__ == "__main__":
    main()
