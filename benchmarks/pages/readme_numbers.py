"""Write the tables of README.md from the result files, so that no number there is typed by hand.

    python -m benchmarks.pages.readme_numbers [--check]

A table stands between `<!-- numbers: NAME -->` and `<!-- end of numbers -->`; NAME is one of
`TABLES`. Where a result file is missing the table says that it has not been measured. With
--check nothing is written, and the exit code is 1 where README.md would change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measuring.filled_page import UNMEASURED, fill_page
from benchmarks.measuring.places import RESULTS, ROOT
from benchmarks.pages.codec_tables import CODECS, by_size

README = ROOT / "README.md"

SIDE = 256
"""Shorter side, in pixels, of the pictures in the table of rates."""


def demo_table(path: Path) -> str:
    """What `make demo` measured, from the JSON that it writes with --results."""
    result: dict[str, Any] = json.loads(path.read_text())
    ours = result["kinpack"]
    rows = [
        f"| {ours['images']:,} thumbnails | bytes | with the codec | PSNR, dB | × kinpack |",
        "|---|--:|--:|--:|--:|",
        f"| **kinpack archive** | **{ours['bytes']:,}** | {ours['bytes'] + ours['codec_bytes']:,} "
        f"| {ours['psnr']:.2f} | 1 |",
    ]
    for rival in result["files"]:
        setting = "exact" if rival["quality"] is None else f"{rival['psnr']:.2f}"
        rows.append(
            f"| {rival['name']} files | {rival['bytes']:,} | {rival['bytes']:,} | {setting} "
            f"| {rival['bytes'] / ours['bytes']:.2f} |"
        )
    return "\n".join(rows)


def rate_table(path: Path) -> str:
    """Bytes at equal quality at 256 pixels, of every codec and by every measure."""
    return by_size(json.loads(path.read_text()), tuple(CODECS), SIDE)


#: name -> (result file, what makes the table of it)
TABLES: dict[str, tuple[Path, Callable[[Path], str]]] = {
    "demo": (RESULTS / "demo.json", demo_table),
    "rates": (RESULTS / "sizes.json", rate_table),
}


def measured(name: str) -> str:
    """The table of a name, or that it has not been measured."""
    path, make = TABLES[name]
    return make(path) if path.exists() else UNMEASURED


def main() -> None:
    """Fill README.md, or with --check say whether it is filled."""
    fill_page(README, measured)


if __name__ == "__main__":
    main()
