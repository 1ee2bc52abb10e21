"""What benchmarks of rates print as they measure."""

from __future__ import annotations

import math

from rich.console import Console

from benchmarks.measuring.measures import MEASURES
from benchmarks.rates.rate_curves import Row

_WIDTH = 100
console = Console(highlight=False, width=max(_WIDTH, Console().width))


def print_row(row: Row) -> None:
    """One line for one measurement: rate, and the means of `MEASURES` in their order."""
    rate = 8 * row["bytes"] / row["pixels"]
    means = "".join(f"{row.get(f'{name}_mean', math.nan):9.4g}" for name in MEASURES)
    print(
        f"{row['data']:15} {row['codec']:22} {rate:7.3f} bpp{means} {row['seconds']:7.1f} s  "
        f"{row['setting']}",
        flush=True,
    )
