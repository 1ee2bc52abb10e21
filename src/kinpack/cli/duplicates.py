"""The command that finds duplicates: dedup."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import kinpack
from kinpack.cli.options import ArchiveArgument, At, Force, Threads
from kinpack.cli.reporting import Report
from kinpack.cli.showing import Html, Sheet, refuse_looks, refuse_places, write_looks
from kinpack.errors import counted, shown

if TYPE_CHECKING:
    from kinpack.archive.duplicates.report import DuplicateReport, Group

SHOWN = 5
"""Images of a group that are printed; all are in --json and in the file of groups."""


def dedup(
    report: Report,
    archive: ArchiveArgument,
    keep: Annotated[
        Literal["best", "first", "largest"],
        typer.Option(
            help="Which image of a group is kept: the best (colours, pixels, quality, bytes), the "
            "first that was added, or the largest (pixels, bytes)."
        ),
    ] = "best",
    others: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the ids of the images that are not kept, for rm --from."
        ),
    ] = None,
    band: Annotated[
        Literal["exact", "same", "alike"],
        typer.Option(
            help="Which of them --others writes: exact copies, the same picture, too, or "
            "all that is alike, too."
        ),
    ] = "same",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the groups to a .csv or .json file."
        ),
    ] = None,
    sheet: Sheet = None,
    html: Html = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Look through stored codes alone, and draw only what is near: mirrored and turned "
            "copies are not looked for.",
        ),
    ] = False,
    codes: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="By which codes, as info names them; auto for the first."
        ),
    ] = "auto",
    force: Force = False,
    threads: Threads = None,
    at: At = None,
) -> None:
    """Find images that are the same, or alike; nothing is deleted.

    Groups come in three bands: exact (the same pixels), same (the same picture, re-encoded,
    resized, toned, cropped, mirrored and so on) and alike. Around the image that is kept stand the
    others, each of which was compared with it.

    Example:
      kinpack dedup photos.kin --sheet groups.png
      kinpack dedup photos.kin --keep largest --others others.txt
      kinpack rm photos.kin --from others.txt
    """
    from kinpack.archive.duplicates.strips import strips_of
    from kinpack.archive.duplicates.writing import TABLES, groups_file, list_of_ids
    from kinpack.archive.stores.staged_file import staged_file

    refuse_places(others, output, force=force)
    refuse_looks(sheet, html, force=force)
    if output is not None and output.suffix.lower() not in TABLES:
        raise typer.BadParameter(f"{output}: groups are written to a .csv or a .json file")
    with kinpack.Archive.open(archive, at=at) as opened:
        with report.meter("finding duplicates", len(opened)) as meter:
            found = opened.duplicates(
                keep=keep, codes=codes, quick=quick, threads=threads, told=meter.move
            )
        files: list[tuple[Path, bytes]] = []
        if output is not None:
            files.append((output, groups_file(found, output.suffix.lower())))
        if others is not None:
            files.append((others, list_of_ids(found.others(band))))
        if found.groups:
            write_looks(
                strips_of(found),
                opened.read,
                title=f"{shown(archive)}: {counted(len(found.groups), 'group')}",
                sheet=sheet,
                html=html,
                force=force,
            )
        else:
            for file in filter(None, (sheet, html)):
                report.warn(f"{shown(file)}: not written, since there are no groups")
    for path, content in files:
        with staged_file(path, replace=force) as staged:
            staged.write(content)
    report.result(found.to_dict(), lines_of(found))
    if others is not None:
        count = len(found.others(band))
        report.say(
            f"{shown(others)}: {counted(count, 'id')}; delete them with: kinpack rm "
            f"{shown(archive)} --from {shown(others)}"
        )


def lines_of(found: DuplicateReport) -> Iterator[str]:
    """What is printed of a report: groups, then how they were found."""
    for number, group in enumerate(found.groups, start=1):
        yield f"{number:4}  {group.band:5}  keep {shown(group.kept)}"
        yield from _others(group)
    counts = {
        name: sum(one.band == name for one in found.groups) for name in ("exact", "same", "alike")
    }
    yield (
        f"{counted(found.images, 'image')}: {counted(counts['exact'], 'group')} of exact copies, "
        f"{counts['same']:,} of the same picture, {counts['alike']:,} alike; "
        f"{counted(len(found.others()), 'image', 'is a copy/are copies')}"
    )
    yield from _how(found)


def _others(group: Group) -> Iterator[str]:
    for one in group.others[:SHOWN]:
        told = ", ".join(one.changes)
        yield f"{'':13}{one.band:5}  {one.similarity:4.2f}  {shown(one.id)}  {told}".rstrip()
    if len(group.others) > SHOWN:
        yield f"{'':13}and {len(group.others) - SHOWN:,} more"


def _how(found: DuplicateReport) -> Iterator[str]:
    """How far what was found can be relied on."""
    told = found.thresholds
    if told is not None:
        yield (
            f"false pairs: {told.strangers_same:,} of {told.strangers:,} random pairs count as the "
            f"same picture, {told.strangers_alike:,} as alike, duplicates among them too; "
            + (
                f"by the tail {told.expected_same:.1e} of all pairs"
                if told.expected_same is not None
                else "too few to tell more"
            )
        )
        yield (
            f"copies: of {told.kin:,} changed copies made for it {told.kin_within:.1%} are "
            f"near enough to be compared, and {told.kin_same:.1%} as similar as {told.same:.2f}, "
            "from which on pictures are the same"
        )
    if not found.turned:
        yield "mirrored and turned copies were not looked for"
    if found.found_in_cells < 1:
        yield f"cells of codes brought {found.found_in_cells:.1%} of what is near"
    if found.uncoded:
        images = counted(found.uncoded, "image", "has/have")
        yield f"{images} no code, so that exact copies alone are found"
    if found.damaged:
        yield f"{counted(found.damaged, 'image', 'is/are')} damaged, and not compared"
