"""The command estimate: what packing a collection would take, in about ten seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from time import process_time
from typing import TYPE_CHECKING, Annotated

import typer

import kinpack
from kinpack.cli.options import (
    Choice,
    Effort,
    Exclude,
    Include,
    Size,
    Sources,
    Split,
    open_together,
)
from kinpack.cli.reporting import Report, duration
from kinpack.errors import counted

if TYPE_CHECKING:
    from kinpack.archive.adding.estimation import Estimate


def estimate(
    report: Report,
    source: Sources,
    codec: Annotated[
        str, typer.Option(metavar="CODEC", help="default, classic or a .kinc file.")
    ] = "default",
    size: Size = None,
    split: Split = None,
    effort: Effort = "default",
    include: Include = None,
    exclude: Exclude = None,
    seconds: Annotated[
        float,
        typer.Option(metavar="N", min=1, help="Try pictures for about so long, of the processor."),
    ] = 10.0,
) -> None:
    """Tell from a sample what packing a collection takes.

    Prints time, bytes and PSNR at three qualities, beside JPEG, WebP and AVIF files of the same
    PSNR. Nothing is written.

    Example:
      kinpack estimate photos --size 256
    """
    from kinpack.archive.adding.estimation import estimate as tried

    choice = Choice(split=split, include=include or (), exclude=exclude or ())
    images = open_together(source, choice, size=size)
    loaded, target = kinpack.Codec.load(codec), kinpack.Target(effort=effort)
    left = max(seconds / 2, seconds - process_time())  # looking through the folder counts, too
    found = tried(images, loaded, target, seconds=left)
    report.result(asdict(found), _lines(found))


def _lines(found: Estimate) -> Iterator[str]:
    """The estimate as a table."""
    broken = f", {found.broken:,} of those looked at cannot be read" if found.broken else ""
    yield (
        f"{counted(found.pictures, 'picture')} of {found.megapixels:.2f} megapixels, told from "
        f"{found.tried:,}{broken}"
    )
    head = (
        "quality",
        "time",
        "bytes",
        "PSNR",
        *(f"as {form}" for form in found.settings[0].rivals),
    )
    rows = [
        (
            str(one.quality),
            duration(one.seconds),
            f"{one.bytes:,}",
            f"{one.psnr:.1f} dB",
            *("-" if size is None else f"{size:,}" for size in one.rivals.values()),
        )
        for one in found.settings
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "  ".join(f"{word:>{width}}" for word, width in zip(row, widths, strict=True))
