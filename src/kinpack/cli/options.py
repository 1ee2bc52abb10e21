"""The arguments and options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import typer

from kinpack.archive.buckets import SCHEMES
from kinpack.errors import KinpackError
from kinpack.images import shown
from kinpack.items import Source
from kinpack.sources import open_source

ArchiveArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="ARCHIVE",
        help="A folder, or an address as s3://bucket/photos.kin; to read, a sealed archive or its "
        "http address, too.",
    ),
]
At: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="NUMBER", min=1, help="Read an earlier state, as history numbers them."),
]
Sources: TypeAlias = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="A folder of pictures, picture files, or a data set (a folder of Parquet files, or "
        "OWNER/NAME of the Hugging Face hub).",
    ),
]


def _local(path: Path) -> Path:
    """Refuse an address where only a path will do."""
    scheme, colon, _ = str(path).partition(":/")
    if colon and scheme.lower() in (*SCHEMES, "http", "https"):
        raise typer.BadParameter(f"{path}: this is written to a local path; name one")
    return path


Output: TypeAlias = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="PATH", help="What to write.", callback=_local),
]
ArchiveOutput: TypeAlias = Annotated[
    str,
    typer.Option(
        "--output", "-o", metavar="ARCHIVE", help="The archive to make: a folder, or an address."
    ),
]
Quality: TypeAlias = Annotated[
    int, typer.Option(metavar="Q", min=1, max=100, help="1 to 100; 100 is lossless.")
]
Size: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Reduce larger pictures to this longest side, in pixels; 0 leaves them.",
    ),
]
Split: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="The one split of a data set to take.")
]
Escape: TypeAlias = Annotated[
    Literal["auto", "off", "always"],
    typer.Option(
        help="Classic payloads in place of learned ones: where they serve better, never, always."
    ),
]
OnDuplicate: TypeAlias = Annotated[
    Literal["error", "skip", "replace"],
    typer.Option(help="For an id that is there already: refuse all, keep the old, take the new."),
]
SkipBroken: TypeAlias = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out pictures that cannot be read; else stop.")
]
Threads: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="How many; by default what suits the machine."),
]
Force: TypeAlias = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]
Json: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print the result as one JSON document.")
]
Quiet: TypeAlias = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress, nothing but results.")
]


def open_together(source: Sequence[str], *, size: int | None, split: str | None) -> Source:
    """Open what was named as one collection: one source of any sort, or several files.

    Args:
        source: the words of the command line.
        size: longest side in pixels; None or 0 leaves pictures as they are.
        split: the one split of a data set to take.

    Raises:
        KinpackError: as ``open_source``.
    """
    return open_source(source[0] if len(source) == 1 else source, size=size or None, split=split)


def refuse_existing(path: Path, *, force: bool) -> None:
    """See that a file may be written.

    Raises:
        KinpackError: it exists and may not be replaced, or is a folder.
    """
    if path.is_dir():
        raise KinpackError(f"{shown(path)}: is a folder; name a file to write")
    if os.path.lexists(path) and not force:
        raise KinpackError(f"{shown(path)}: this file exists; replace it with --force")
