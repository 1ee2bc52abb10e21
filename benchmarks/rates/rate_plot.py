"""The plot of the rate–distortion results: a row of panels for each data set.

PSNR runs to the right and the rate upwards, so that at equal quality the lower curve is the better
one and the distance between two curves is the ratio of their bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rates.rate_curves import FILES, Curve, Row, curve, rate_at, ratio


@dataclass(frozen=True)
class Style:
    """How a codec is drawn: its name in words, colour, line and width (points)."""

    name: str
    colour: str
    line: str = "-"
    width: float = 1.4


# Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, SKY, ORANGE, GREEN, GREY = "#0072B2", "#56B4E9", "#D55E00", "#009E73", "#777777"
PURPLE = "#CC79A7"
STYLES = {
    "kinpack": Style("kinpack", BLUE, width=2.4),
    "kinpack-classic": Style("kinpack, classic", SKY, width=2.4),
    "webp-file": Style("WebP files", ORANGE),
    "avif-file": Style("AVIF files", GREEN),
    "jpeg-file": Style("JPEG files", GREY),
    "kinpack-payload": Style("kinpack", BLUE, width=2.4),
    "kinpack-learned-payload": Style("kinpack, learned only", BLUE, "--", 1.8),
    "kinpack-classic-payload": Style("kinpack, classic", SKY, width=2.4),
    "webp-payload": Style("WebP", ORANGE),
    "avif-payload-s4": Style("AVIF", GREEN),
    "avif-sheet-s4": Style("AVIF, one sheet", GREEN, ":"),
    "jpeg-payload": Style("JPEG", GREY),
}
RATIOS = {
    "kinpack": Style("kinpack on disk", BLUE, width=2.4),
    "kinpack-classic": Style("kinpack, classic, on disk", SKY, width=2.4),
    "kinpack-learned-payload": Style("learned payloads and codes", BLUE, "--", 1.8),
}
TITLES = {
    "disk": "On disk: everything but the codec",
    "payload": "Payloads: with product codes, without heads",
}
TICKS = (
    (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24),
    (*np.arange(0.1, 2, 0.1), *np.arange(2, 5, 0.25), *np.arange(5, 25)),
)
"""Bits a pixel that an axis may name: few, and more for one that would have less than four."""

SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kinpack",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}
"""Matplotlib's settings for every figure of rates."""


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw the results as PNG and SVG beside the result file.

    Args:
        results: ``rows``, and ``summary`` for each data set.
        path: of the result file; the plots have its name with other suffixes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(SETTINGS):
        names = list(results["summary"])
        figure = Figure(figsize=(15.5, 0.5 + 4.4 * len(names)), layout="constrained")
        parts = figure.subfigures(len(names), 1, hspace=0.04, squeeze=False)
        for part, name in zip(parts[:, 0], names, strict=True):
            rows = [row for row in results["rows"] if row["data"] == name]
            part.suptitle(
                f"{name}, {rows[0]['images']:,} images: lower is better",
                x=0.01,
                ha="left",
                weight="bold",
            )
            left, middle, right = part.subplots(1, 3)
            span = results["summary"][name]["bd_range"]
            _draw_rates(left, rows, "disk", span)
            _draw_rates(middle, rows, "payload", span)
            _draw_ratios(right, rows, span)
        figure.savefig(path.with_suffix(".png"), dpi=140)
        # Without the date, so that the same results give the same file.
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def _draw_rates(axes: Any, rows: Sequence[Row], table: str, span: Sequence[float]) -> None:
    """Rates over PSNR of the codecs of one table."""
    present = dict.fromkeys(row["codec"] for row in rows if row["table"] == table)
    lines = [(STYLES[codec], curve(rows, codec)) for codec in STYLES if codec in present]
    draw_lines(axes, lines, span, title=TITLES[table])


def draw_lines(
    axes: Any, lines: Sequence[tuple[Style, Curve]], span: Sequence[float], *, title: str
) -> None:
    """Draw curves, each named at its end.

    Args:
        axes: of a figure.
        lines: what they look like, and their points.
        span: range of PSNR, in dB, that is shown.
        title: above the axes.
    """
    grid = np.linspace(span[0], span[1], 101)
    axes.set_yscale("log")
    ends = []
    for style, points in lines:
        x, y = _sampled(points, grid)
        if len(x):
            axes.plot(x, y, style.line, color=style.colour, lw=style.width)
            ends.append((style, x[-1], y[-1]))
        shown = [(psnr, rate) for psnr, rate in points if span[0] <= psnr <= span[1]]
        axes.plot(*zip(*shown, strict=True), "o", ms=3.2, color=style.colour) if shown else None
    axes.set_title(title)
    axes.set_xlabel("mean PSNR, dB")
    axes.set_ylabel("bits per pixel")
    low, high = axes.get_ylim()
    choices = [[tick for tick in ticks if low <= tick <= high] for ticks in TICKS]
    ticks = next((ticks for ticks in choices if len(ticks) > 3), choices[-1])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    _label(axes, ends, span)


def _draw_ratios(axes: Any, rows: Sequence[Row], span: Sequence[float]) -> None:
    """Bytes of ours over those of WebP files of equal PSNR."""
    files = curve(rows, FILES)
    ends = []
    for codec, style in RATIOS.items():
        points = curve(rows, codec)
        pairs = [
            (float(psnr), ratio(rate_at(points, psnr), rate_at(files, psnr)))
            for psnr in np.linspace(span[0], span[1], 101)
        ]
        known = [(psnr, value) for psnr, value in pairs if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), style.line, color=style.colour, lw=style.width)
            ends.append((style, *known[-1]))
    axes.axhline(1, color=ORANGE, lw=1.4)
    ends.append((Style("WebP files", ORANGE), span[1], 1.0))
    axes.set_title("Bytes over those of WebP files of equal PSNR")
    axes.set_xlabel("mean PSNR, dB")
    axes.set_ylabel("ratio")
    axes.set_ylim(0, max(1.1, axes.get_ylim()[1]))
    _label(axes, ends, span)


def _sampled(points: Curve, grid: Any) -> tuple[list[float], list[float]]:
    """The part of a curve that was measured, on a grid of PSNRs."""
    pairs = [(float(psnr), rate_at(points, psnr)) for psnr in grid]
    known = [(psnr, rate) for psnr, rate in pairs if rate is not None]
    return [psnr for psnr, _ in known], [rate for _, rate in known]


def _label(axes: Any, ends: Sequence[tuple[Style, float, float]], span: Sequence[float]) -> None:
    """Write each line's name to the right of its end, none upon another."""
    axes.grid(color="#dddddd", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_xlim(span[0], span[1])
    axes.set_xticks(
        range(math.ceil(span[0]), math.floor(span[1]) + 1, 1 if span[1] - span[0] < 6 else 2)
    )
    to_fraction = axes.transData + axes.transAxes.inverted()
    ordered = sorted(ends, key=lambda end: end[2])
    wanted = [float(to_fraction.transform((x, y))[1]) for _, x, y in ordered]
    for (style, x, y), place in zip(ordered, _spread(wanted, gap=0.052), strict=True):
        axes.annotate(
            style.name,
            xy=(x, y),
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            color=style.colour,
            weight="bold" if style.width > 2 else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": style.colour, "lw": 0.6, "relpos": (0, 0.5)},
        )


def _spread(wanted: Sequence[float], *, gap: float) -> list[float]:
    """Move places, rising, as little upwards and then downwards as keeps them a gap apart."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + gap) if places else place)
    top = 1.0
    for i in reversed(range(len(places))):
        places[i] = min(places[i], top)
        top = places[i] - gap
    return places
