"""What single parts of the shipped codec save: each switched off alone, with true payloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.codes import side_codes
from benchmarks.rates.rate_curves import bd_rate_or_none
from kinpack.codec.codec import Codec
from kinpack.codec.learned.symbol_choice import MAX_STEP, SymbolChoice, table_arrays
from kinpack.entropy.tables import FrequencyTables
from kinpack.learn.freezing.scales import BINS_PER_OCTAVE
from kinpack.learn.freezing.tables import gaussian_tables
from kinpack.learn.models.bottlenecks import SCALE_LOW
from kinpack.metrics import psnr
from kinpack.networks.container import Container, read_container
from kinpack.pictures.images import Image

Arrays = Mapping[str, NDArray[Any]]

NEVER = 1e9
"""Bits that a squared step of error is worth, so that no symbol but the nearest is chosen."""


def without_shift(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """ŷ in the middle of its cell."""
    return {"inward_shifts": np.zeros_like(arrays["inward_shifts"])}


def without_choice(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Always the nearest symbol."""
    return {"error_bits": np.full_like(arrays["error_bits"], NEVER)}


def without_learned_tables(arrays: Arrays) -> dict[str, NDArray[Any]]:
    """Tables of Gaussians."""
    choice = SymbolChoice.from_arrays(arrays, limit=MAX_STEP - 1)
    count, others = choice.count, range(choice.count, len(choice.tables))  # others: no latents'
    tables = gaussian_tables(2.0 ** (SCALE_LOW + (np.arange(count) + 0.5) / BINS_PER_OCTAVE))
    lists = [tables.table(t).tolist() for t in range(count)]
    lists += [choice.tables.table(t).tolist() for t in others]
    lows = [*tables.lows.tolist(), *choice.tables.lows[count:].tolist()]
    return table_arrays(FrequencyTables.from_lists(lists, lows))


PARTS: Mapping[str, Callable[[Arrays], dict[str, NDArray[Any]]]] = {
    "latents moved inward in their cells": without_shift,
    "symbols chosen by bits and error": without_choice,
    "frequency tables learned from symbols": without_learned_tables,
}


def measure_parts(
    images: Sequence[Image], qualities: Sequence[int], *, threads: int, span: tuple[float, float]
) -> list[dict[str, Any]]:
    """What each part saves.

    Args:
        images: uint8 (H, W, 3) each.
        qualities: at which curves are measured.
        threads: of the networks.
        span: range of PSNR, in dB.

    Returns:
        JSON values, a row for each part: BD-rate in percent of the codec with it against the codec
        without it, and the points of both.
    """
    codec = Codec.load("default", threads=threads)
    content = read_container(codec.to_bytes(), where="the shipped codec 'default'")
    whole = points(codec, images, qualities)
    rows = []
    for name, change in PARTS.items():
        arrays = {**content.arrays, **change(content.arrays)}
        other = Codec.from_container(Container(content.header, content.blobs, arrays))
        found = points(other, images, qualities)
        curves = [sorted((p["psnr"], p["bytes_per_image"]) for p in of) for of in (found, whole)]
        saved = bd_rate_or_none(curves[0], curves[1], span)
        percent = None if saved is None else round(100 * saved, 2)
        rows.append({"part": name, "bd_rate_percent": percent, "points": found})
    return [*rows, {"part": None, "points": whole}]


def points(
    codec: Codec, images: Sequence[Image], qualities: Sequence[int]
) -> list[dict[str, float]]:
    """PSNR in dB and bytes of payload an image, at each quality."""
    coder, codes = codec.parts.untested_coder(), side_codes(codec, images)
    found = []
    for quality in qualities:
        payloads, drawn = coder.encode(images, codes, quality=quality)
        values = [psnr(a, b) for a, b in zip(images, drawn, strict=True)]
        size = float(np.mean([len(payload) for payload in payloads]))
        found.append({"quality": quality, "psnr": float(np.mean(values)), "bytes_per_image": size})
    return found
