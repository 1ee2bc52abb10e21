"""The figure of the sizes: photographs at each size, by PSNR and as ssimulacra2 sees them.

Quality runs to the right and the rate upwards, so that at equal quality the lower curve is the
better one and the distance between two curves is the ratio of their bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring.measures import NAMES, quality_of
from benchmarks.rates.rate_curves import Curve, rate_at


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
STYLES = {
    "kinpack-auto-payload": Style("kinpack", BLUE, width=2.4),
    "kinpack-never-payload": Style("kinpack, learned only", BLUE, "--", 1.8),
    "avif-payload-s4": Style("AVIF, payloads", GREEN),
    "webp-file": Style("WebP files", ORANGE),
    "jxl-file": Style("JPEG XL files", PURPLE),
    "jpeg-file": Style("JPEG files", GREY),
}
SHOWN = ("psnr", "ssimulacra2")
DRAWN = "photographs-"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Draw the curves of photographs as PNG and SVG beside the result file; nothing without any.

    Args:
        results: ``curves`` and ``machine``, each by kind and size.
        path: of the result file; the figures have its name with other suffixes.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = [name for name in results["curves"] if name.startswith(DRAWN)]
    if not names:
        return
    names.sort(key=lambda name: int(name.removeprefix(DRAWN)))
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(12.5, 0.5 + 4.4 * len(names)), layout="constrained")
        figure.suptitle(
            "Photographs: bits per pixel at equal quality, lower is better",
            x=0.01,
            ha="left",
            weight="bold",
        )
        panels = figure.subplots(len(names), len(SHOWN), squeeze=False)
        for row, name in zip(panels, names, strict=True):
            images = results["machine"][name]["images"]
            for axes, measure in zip(row, SHOWN, strict=True):
                lines = [
                    (style, points(results["curves"][name][codec], measure))
                    for codec, style in STYLES.items()
                    if codec in results["curves"][name]
                ]
                span = tuple(
                    end([quality for _, each in lines for quality, _ in each]) for end in (min, max)
                )
                title = f"{images} photographs, shorter side {name.removeprefix(DRAWN)} pixels"
                draw_lines(axes, lines, span, title=title, measure=NAMES[measure])
        figure.savefig(path.with_suffix(".png"), dpi=100)
        # Without the date, so that the same results give the same file.
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def points(measured: Sequence[Mapping[str, Any]], measure: str) -> Curve:
    """A curve of measured points by a measure; of those of one quality the cheapest."""
    cheapest: dict[float, float] = {}
    for point in sorted(measured, key=lambda point: -point["bits_per_pixel"]):
        quality = quality_of({**point, "psnr_mean": point["psnr_db"]}, measure)
        if quality is not None:
            cheapest[quality] = point["bits_per_pixel"]
    return sorted(cheapest.items())


def draw_lines(
    axes: Any,
    lines: Sequence[tuple[Style, Curve]],
    span: Sequence[float],
    *,
    title: str,
    measure: str,
) -> None:
    """Draw curves, each named at its end.

    Args:
        axes: of a figure.
        lines: what they look like, and their points.
        span: range of quality that is shown.
        title: above the axes.
        measure: of quality, in words.
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
    axes.set_xlabel(f"mean {measure}")
    axes.set_ylabel("bits per pixel")
    low, high = axes.get_ylim()
    choices = [[tick for tick in ticks if low <= tick <= high] for ticks in TICKS]
    ticks = next((ticks for ticks in choices if len(ticks) > 3), choices[-1])
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
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
    step = next(step for step in (1, 2, 10, 1000) if span[1] - span[0] < 9 * step)
    axes.set_xticks(range(math.ceil(span[0] / step) * step, math.floor(span[1]) + 1, step))
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
