"""What the table of rate and quality asks: data sets, rivals, ranges, limits; and its rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from benchmarks.measuring.measures import MEASURES
from benchmarks.rates.rate_curves import Curve, Row, curve
from kinpack.codec.packets.target import Classic
from kinpack.metrics import MetricError, bd_rate

LEARNED = "kinpack"
CLASSIC = "kinpack-classic"
CLASSIC_RULES: tuple[Classic, ...] = ("never", "auto")
"""Whether classic payloads may stand in for learned ones; both are measured."""

RANGES: Mapping[str, tuple[float, float]] = {
    "cifar10-toy": (26, 36),
    "fashion-mnist": (28, 36),
    "emoji": (28, 38),
    "thumbs64": (28, 38),
}
"""Range of PSNR, in dB, of each data set's BD-rates."""

PAYLOAD_ANCHORS = (
    "avif-payload-s4",
    "avif-sheet-s0",
    "webp-file",
    "jpeg-file",
    "jxl-file",
    CLASSIC,
)
DISK_ANCHORS = (CLASSIC, "webp-file", "jpeg-file", "jxl-file", "avif-file")


@dataclass(frozen=True)
class Limit:
    """What a BD-rate is to reach, in percent, at most.

    Attributes:
        must: what is asked.
        goal: what is hoped for.
        classic: the rule for classic payloads that counts.
    """

    must: float
    goal: float
    classic: str = "auto"


LIMITS: Mapping[tuple[str, str, str], Limit] = {
    ("cifar10-toy", "payload", "avif-payload-s4"): Limit(-5, -25),
    ("cifar10-toy", "payload", "avif-sheet-s0"): Limit(6, -17),
    ("cifar10-toy", "payload", "webp-file"): Limit(-44, -56),
    ("cifar10-toy", "payload", "jpeg-file"): Limit(-72, -78),
    ("fashion-mnist", "payload", "avif-payload-s4"): Limit(-15, -40),
    ("emoji", "payload", "avif-payload-s4"): Limit(-15, -40),
    ("thumbs64", "payload", "avif-payload-s4"): Limit(10, -10, classic="never"),
    ("cifar10-toy", "disk", CLASSIC): Limit(-4, -20),
}
"""Limits by data set, table and anchor."""


def own_name(classic: str, table: str) -> str:
    """What our measurements are called in the rows that they are made of."""
    return f"{LEARNED}-{classic}" + ("-payload" if table == "payload" else "")


def anchor_name(anchor: str, table: str) -> str:
    """What an anchor's measurements are called."""
    return f"{anchor}-payload" if (anchor, table) == (CLASSIC, "payload") else anchor


def bd_rows(
    name: str, rows: Sequence[Row], span: tuple[float, float] | None = None
) -> list[dict[str, Any]]:
    """BD-rates of ours against every anchor that was measured.

    Args:
        name: the data set.
        rows: its measurements.
        span: range of PSNR in dB; by default that of ``RANGES``.

    Returns:
        JSON values, a row for each table, anchor and rule for classic payloads: ``data``,
        ``table``, ``codec``, ``classic``, ``anchor``, ``range_db``, ``bd_rate_percent``,
        ``points`` of both curves, and ``seen``: BD-rates by the other measures (`by_measure`).
        Where a curve does not cover the range the BD-rate is None; ``why`` tells it, and
        ``covered`` gives that of the part that both cover. Where a limit is set and this variant
        counts for it, ``must_percent``, ``goal_percent`` and ``reached``: "goal", "must", "no" or
        None.
    """
    measured = {row["codec"] for row in rows}
    low, high = span or RANGES[name]
    found = []
    for table, anchors in (("payload", PAYLOAD_ANCHORS), ("disk", DISK_ANCHORS)):
        for anchor in anchors:
            for classic in CLASSIC_RULES:
                ours, theirs = own_name(classic, table), anchor_name(anchor, table)
                if not {ours, theirs} <= measured:
                    continue
                a, b = curve(rows, theirs), curve(rows, ours)
                value, why = _bd_percent(a, b, low, high)
                one: dict[str, Any] = {
                    "data": name,
                    "table": table,
                    "codec": LEARNED,
                    "classic": classic,
                    "anchor": anchor,
                    "range_db": [low, high],
                    "bd_rate_percent": value,
                    "points": [len(b), len(a)],
                    "seen": by_measure(rows, ours, theirs, MEASURES[1:]),
                }
                if why:
                    one["why"] = why
                    one["covered"] = _covered(a, b, low, high)
                limit = LIMITS.get((name, table, anchor))
                if limit and limit.classic == classic:
                    one["must_percent"], one["goal_percent"] = limit.must, limit.goal
                    one["reached"] = reached(value, limit)
                found.append(one)
    return found


def reached(percent: float | None, limit: Limit) -> str | None:
    """Which of its limits a BD-rate keeps: "goal", "must" or "no"; None if it is not known."""
    if percent is None:
        return None
    return "goal" if percent <= limit.goal else "must" if percent <= limit.must else "no"


def _bd_percent(a: Curve, b: Curve, low: float, high: float) -> tuple[float | None, str]:
    try:
        value = bd_rate(
            [rate for _, rate in a],
            [psnr for psnr, _ in a],
            [rate for _, rate in b],
            [psnr for psnr, _ in b],
            low=low,
            high=high,
        )
    except MetricError as error:
        return None, str(error)
    return round(100 * value, 2), ""


def _covered(a: Curve, b: Curve, low: float, high: float) -> dict[str, Any] | None:
    """BD-rate over the part of a range that both curves cover; None if there is none."""
    if not a or not b:
        return None
    low, high = max(low, a[0][0], b[0][0]), min(high, a[-1][0], b[-1][0])
    value, why = _bd_percent(a, b, low, high)
    if why:
        return None
    return {"range_db": [round(low, 2), round(high, 2)], "bd_rate_percent": value}


def by_measure(
    rows: Sequence[Row], codec: str, anchor: str, measures: Sequence[str] = MEASURES
) -> dict[str, dict[str, Any]]:
    """BD-rates of a codec against another, each over what both curves cover.

    Args:
        rows: measurements of one data set.
        codec: name of the one.
        anchor: name of the other.
        measures: by which qualities are equal.

    Returns:
        Measure -> ``percent`` and ``range`` of `quality_of`; none of a measure that was not taken,
        over which the curves have nothing in common, or where one has a gap of half of that.
    """
    found = {}
    for measure in measures:
        a, b = curve(rows, anchor, measure), curve(rows, codec, measure)
        part = _covered(a, b, -math.inf, math.inf)
        if part is not None and not any(_has_gap(each, *part["range_db"]) for each in (a, b)):
            found[measure] = {"percent": part["bd_rate_percent"], "range": part["range_db"]}
    return found


def _has_gap(points: Curve, low: float, high: float) -> bool:
    """Whether nothing was measured over half of a range, where a curve would be made up."""
    inside = [low, *(quality for quality, _ in points if low < quality < high), high]
    return max(b - a for a, b in pairwise(inside)) > (high - low) / 2


def curve_points(rows: Iterable[Row]) -> dict[str, list[dict[str, Any]]]:
    """Measured points of each codec of one data set, by PSNR: what the BD-rates are made of."""
    points: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["psnr_mean"]):
        point = {
            "setting": row["setting"],
            "psnr_db": round(row["psnr_mean"], 4),
            "bits_per_pixel": round(8 * row["bytes"] / row["pixels"], 6),
            "bytes": row["bytes"],
        }
        point |= {
            f"{name}_mean": round(row[f"{name}_mean"], 5)
            for name in MEASURES[1:]
            if f"{name}_mean" in row
        }
        if "kinds" in row:
            point["kinds"] = row["kinds"]
        points.setdefault(row["codec"], []).append(point)
    return points
