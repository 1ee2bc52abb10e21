"""The commands that read archives: unpack, get, info, verify, ls."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

import kinpack
from kinpack.cli.options import (
    ArchiveArgument,
    At,
    EngineOption,
    Force,
    Jobs,
    Output,
    Threads,
    UnsafeOption,
    Where,
    local,
    refuse_existing,
)
from kinpack.cli.reporting import Report, columns, known, one_line, working
from kinpack.errors import ArchiveError, counted, shown
from kinpack.pictures.picture_writing import save_image


def unpack(
    report: Report,
    archive: ArchiveArgument,
    output: Output,
    format: Annotated[  # noqa: A002
        Literal["png", "webp", "jpeg", "stored"],
        typer.Option(help="png and webp are lossless; stored is AVIF, WebP or PNG, as it lies."),
    ] = "png",
    unsafe: UnsafeOption = "rename",
    force: Force = False,
    threads: Threads = None,
    at: At = None,
) -> None:
    """Write all images as files below a folder.

    The table labels.csv beside them gives file, id and label of every image.

    Example:
      kinpack unpack photos.kin -o thumbnails --format webp
    """
    from kinpack.integrations.unpacking import TABLE, unsafe_ids

    with working(report, "unpacking", archive, at) as (opened, advance):
        odd = unsafe_ids(opened.ids)
        count = kinpack.unpack(
            opened,
            output,
            format=format,
            unsafe=unsafe,
            force=force,
            threads=threads,
            progress=advance,
        )
    facts = {"images": count, "folder": str(output), "format": format}
    facts |= {"table": str(output / TABLE), "unsafe": odd}
    if odd:
        done = "left out" if unsafe == "skip" else "written under another name"
        report.warn(f"{done}, since not every system takes the name for a file: {_some(odd)}")
    report.done(
        facts,
        f"unpacked {counted(count, 'image')} to {shown(output)}; {TABLE} there names and labels "
        "them",
    )


def _some(names: Sequence[str], most: int = 5) -> str:
    """The first of several names, and how many more there are."""
    rest = len(names) - most
    return ", ".join(map(shown, names[:most])) + (f" and {rest:,} more" if rest > 0 else "")


def get(
    report: Report,
    archive: ArchiveArgument,
    id: Annotated[str, typer.Argument(metavar="ID", help="The image, as ls names it.")],  # noqa: A002
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="What to write.  [default: the stored file, in this folder, named after the last "
            "part of ID]",
            callback=local,
        ),
    ] = None,
    force: Force = False,
    at: At = None,
) -> None:
    """Write one image as a file: PNG, WebP, JPEG, or as stored.

    Without -o it is the stored file, in this folder. Where the name ends as the stored file would,
    that file is written, and nothing is coded anew: AVIF of most photographs. With -o - it goes to
    standard output.

    Example:
      kinpack get photos.kin beach/03.jpg
      kinpack get photos.kin beach/03.jpg -o picture.png
      kinpack get photos.kin beach/03.jpg -o - > picture.avif
    """
    from kinpack.archive.revisions.stored_files import SUFFIXES, file_type
    from kinpack.archive.stores.staged_file import staged_file
    from kinpack.integrations.unpacking import file_names

    to_stdout = str(output) == "-"
    if to_stdout and report.json:
        raise ArchiveError("-o - writes the picture where --json would write: leave one of them")
    if not to_stdout and output is not None:
        refuse_existing(output, force=force)
    with kinpack.Archive.open(archive, at=at) as opened:
        entry = opened.entry(id)
        if output is None:
            [name] = file_names(
                [id.rpartition("/")[2]], [SUFFIXES[file_type(entry)]], where=id, unsafe="rename"
            )
            output = Path(name or "")
            refuse_existing(output, force=force)
        if to_stdout:
            sys.stdout.buffer.write(opened.file(id).data)
            sys.stdout.buffer.flush()
            return
        own, asked = SUFFIXES[file_type(entry)], output.suffix.lower()
        if asked == own:
            with staged_file(output, replace=True) as file:
                file.write(opened.file(id).data)
        elif asked == ".avif":
            raise ArchiveError(
                f"{shown(output)}: image {shown(id)!r} is not stored as AVIF, and none is made "
                f"anew: name a {own} file"
            )
        else:
            save_image(opened.read(id), output)
    size = {"width": entry.width, "height": entry.height, "channels": entry.channels}
    report.done(
        {"id": id, "file": str(output), **size},
        f"wrote {shown(output)}: {entry.width}×{entry.height} pixels",
    )


def info(
    report: Report,
    target: Annotated[
        str,
        typer.Argument(
            metavar="ARCHIVE|CODEC|DESCRIBER",
            help="An archive, a .kinc or .kine file, or the name of one that ships.",
        ),
    ],
    at: At = None,
) -> None:
    """Describe an archive, or say how a codec or describer was made.

    Example:
      kinpack info photos.kin
      kinpack info classic
    """
    from kinpack.archive.stores.table import is_sealed
    from kinpack.networks.container import CODEC_FILE, DESCRIBER_FILE

    is_file = Path(target).is_file() and not is_sealed(Path(target))
    unnamed = target in DESCRIBER_FILE.shipped and not Path(target).exists()
    if unnamed or target.endswith(DESCRIBER_FILE.suffix):
        made = kinpack.Describer.load(target).info()
        facts = {key: made[key] for key in ("name", "describer_id", "describer_bytes")} | made
    elif target in CODEC_FILE.shipped or target.endswith(CODEC_FILE.suffix) or is_file:
        made = kinpack.Codec.load(target).info()
        facts = {key: made[key] for key in ("name", "codec_id", "codec_bytes")} | made
    else:
        with kinpack.Archive.open(target, at=at) as opened:
            facts = opened.info()
    lines = columns((key.replace("_", " "), value) for key, value in facts.items())
    report.result(facts, lines)


def verify(
    report: Report,
    archive: ArchiveArgument,
    deep: Annotated[bool, typer.Option("--deep", help="Also decode every image.")] = False,
    jobs: Jobs = None,
    engine: EngineOption = "processes",
) -> None:
    """Check every byte of an archive.

    Prints a line for each problem; exits with 1 if there is one.

    Example:
      kinpack verify photos.kin --deep
    """
    from kinpack.archive.care.verification import verify as verify_archive

    with report.meter("verifying", None) as meter:
        found = verify_archive(archive, deep=deep, progress=meter.advance, jobs=jobs, engine=engine)
    notes = [] if report.quiet else [f"note: {note}" for note in found.notes]
    facts = {"ok": found.ok, **asdict(found)}
    report.result(facts, map(one_line, found.problems + notes))
    if not found.ok:
        count = len(found.problems)
        raise ArchiveError(
            f"{shown(archive)}: {count} problem{'s' * (count > 1)} found; restore from a copy what "
            "is damaged or missing"
        )
    read = "decoded" if deep else "checked"
    report.say(
        f"{shown(archive)} is whole: {counted(found.images, 'image')} {read}, {found.bytes:,} bytes"
    )


def ls(
    report: Report,
    archive: ArchiveArgument,
    label: Annotated[
        str | None, typer.Option(metavar="NAME", help="List images of this label alone.")
    ] = None,
    where: Where = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="List at most N images.")
    ] = None,
    at: At = None,
) -> None:
    """List images.

    Prints pixels, bytes of the payload, label, id, and what is known of it in columns that were
    added.

    Example:
      kinpack ls photos.kin --label beach --limit 20
      kinpack ls photos.kin --where "width > height"
    """
    with kinpack.Archive.open(archive, at=at) as opened:
        passing = None if where is None else opened.sql_filter(where)
        entries = (entry for entry in opened.entries(passing) if label in (None, entry.label))
        chosen = islice(entries, limit)
        rows: list[dict[str, Any]] = []
        if report.json:
            rows = [entry.to_dict() for entry in chosen]
        lines = (
            f"{f'{one.width}×{one.height}':>11} {one.length:>9,}  {shown(one.label or '-'):12}  "
            f"{shown(one.id)}{known(one.others)}"
            for one in chosen
        )
        report.result(rows, lines)
