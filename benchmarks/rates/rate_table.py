"""What the rate–distortion benchmark prints: a line a measurement, and tables at equal quality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.rates.rate_curves import AT, Row

_WIDTH = 100
console = Console(highlight=False, width=max(_WIDTH, Console().width))


def print_row(row: Row) -> None:
    """One line for one measurement."""
    rate = 8 * row["bytes"] / row["pixels"]
    seconds = f"{row['seconds']:7.1f} s" if "seconds" in row else " " * 9
    print(
        f"{row['data']:13} {row['codec']:24} {rate:7.3f} bpp {row['psnr_mean']:6.2f} dB {seconds}  "
        f"{row['setting']}",
        flush=True,
    )


def print_summary(name: str, summary: Mapping[str, Any]) -> None:
    """Tables of one data set: rates and ratios at given PSNR, and BD-rates."""
    _print_at(f"{name}: bits a pixel", summary["bits_per_pixel"], "{:.3f}")
    _print_at(f"{name}: bytes over those of WebP files", summary["ratio_to_webp_file"], "{:.3f}")
    low, high = summary["bd_range"]
    table = Table(title=f"{name}: BD-rate, {low:g} to {high:g} dB", title_justify="left")
    table.add_column("codec")
    table.add_column("against")
    table.add_column("%", justify="right")
    for against in ("webp-file", "avif-payload-s4"):
        for codec, value in summary[f"bd_rate_to_{against.replace('-', '_')}"].items():
            table.add_row(codec, against, "–" if value is None else f"{100 * value:+.1f}")
    if table.row_count:
        console.print(table)


def _print_at(title: str, values: Mapping[str, Mapping[str, float | None]], form: str) -> None:
    table = Table(title=title, title_justify="left")
    table.add_column("codec", no_wrap=True)
    for psnr in AT:
        table.add_column(f"{psnr} dB", justify="right", no_wrap=True)
    for codec, at in values.items():
        cells = (at[str(psnr)] for psnr in AT)
        table.add_row(codec, *("–" if cell is None else form.format(cell) for cell in cells))
    console.print(table)
