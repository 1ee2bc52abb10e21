"""The figure of the photographs: a panel for each size, as `rate_plot` draws curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.rates.rate_curves import Curve
from benchmarks.rates.rate_plot import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SETTINGS,
    Style,
    draw_lines,
)

STYLES = {
    "kinpack-auto-payload": Style("kinpack", BLUE, width=2.4),
    "kinpack-never-payload": Style("kinpack, learned only", BLUE, "--", 1.8),
    "avif-payload-s4": Style("AVIF, payloads", GREEN),
    "webp-file": Style("WebP files", ORANGE),
    "jxl-file": Style("JPEG XL files", PURPLE),
    "jpeg-file": Style("JPEG files", GREY),
}
COLUMNS = 2


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw the curves as PNG and SVG beside the result file.

    Args:
        results: ``curves``, ``rows`` and ``machine``, each by size.
        path: of the result file; the figures have its name with other suffixes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = list(results["curves"])
    rows = -(-len(names) // COLUMNS)
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(12.5, 0.5 + 4.4 * rows), layout="constrained")
        figure.suptitle(
            "Photographs: bits per pixel at equal PSNR, lower is better",
            x=0.01,
            ha="left",
            weight="bold",
        )
        panels = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
        for axes, name in zip(panels, names, strict=False):
            about = results["machine"][name]
            span = next(row["range_db"] for row in results["rows"] if row["data"] == name)
            lines = [
                (style, points(results["curves"][name][codec]))
                for codec, style in STYLES.items()
                if codec in results["curves"][name]
            ]
            draw_lines(axes, lines, span, title=title(name, about["images"]))
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        figure.savefig(path.with_suffix(".png"), dpi=140)
        # Without the date, so that the same results give the same file.
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def title(name: str, images: int) -> str:
    """What a panel shows, in words."""
    size = name.removeprefix("photographs-")
    if size == "whole":
        return f"{images} whole photographs"
    return f"{images} photographs reduced to a shorter side of {size} pixels"


def points(measured: Sequence[Mapping[str, Any]]) -> Curve:
    """A curve of measured points; of those of one PSNR the cheapest."""
    cheapest: dict[float, float] = {}
    for point in sorted(measured, key=lambda point: -point["bits_per_pixel"]):
        cheapest[point["psnr_db"]] = point["bits_per_pixel"]
    return sorted(cheapest.items())
