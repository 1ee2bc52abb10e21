"""The commands on an archive's life: compact, gc, history, copy, seal, export, repair."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from typing import Annotated, Literal

import typer

import kinpack
from kinpack.cli.amending import DryRun, Purge, told_purge
from kinpack.cli.options import (
    ArchiveArgument,
    ArchiveOutput,
    At,
    OnDuplicate,
    Output,
    Threads,
    UnsafeOption,
)
from kinpack.cli.reporting import Report, one_line, working
from kinpack.errors import ArchiveError, counted, shown


def compact(report: Report, archive: ArchiveArgument, purge: Purge = False) -> None:
    """Merge small segments and drop deleted images.

    This copies bytes and codes nothing again. An interruption harms nothing, and readers of earlier
    revisions go on. gc then frees the space. With --purge nothing stays of deleted images, readers
    of earlier revisions get an error, and the space is free at once.

    Example:
      kinpack compact photos.kin
      kinpack compact photos.kin --purge
    """
    from kinpack.archive.care.compaction import images_to_copy

    with (
        kinpack.Archive.open(archive) as opened,
        report.meter("compacting", images_to_copy(opened.manifest)) as meter,
    ):
        done = opened.compact(purge=purge, progress=meter.advance)
    report.done(
        asdict(done),
        f"{shown(archive)}: {counted(done.images, 'image')} copied, {done.dropped:,} deleted ones "
        "dropped; "
        f"{counted(done.segments_before, 'segment')} of {done.bytes_before:,} bytes became "
        f"{done.segments_after:,} of {done.bytes_after:,}"
        + (f"; {told_purge(archive, done.purged)}" if done.purged else ""),
    )


def gc(
    report: Report,
    archive: ArchiveArgument,
    keep: Annotated[
        int, typer.Option(metavar="N", min=1, help="Keep at least the N newest revisions.")
    ] = 1,
    min_age: Annotated[
        float,
        typer.Option(
            metavar="MINUTES",
            min=0,
            help="Keep revisions that were still the newest so many minutes ago.",
        ),
    ] = 60,
    orphan_age: Annotated[
        float | None,
        typer.Option(
            metavar="HOURS",
            min=0,
            help="Keep younger files that no revision ever named.  "
            "[default: 24 in object stores, else 0]",
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Forget old revisions, and remove files that only they need.

    This removes nothing while anybody writes. Readers of a removed revision get an error; revisions
    therefore stay for an hour after the next one.

    Example:
      kinpack gc photos.kin --keep 5
    """
    with kinpack.Archive.open(archive) as opened:
        done = opened.gc(
            keep=keep,
            min_age=60 * min_age,
            orphan_age=None if orphan_age is None else 3600 * orphan_age,
            dry_run=dry_run,
        )
    verb = "would be removed" if dry_run else "removed"
    report.done(
        asdict(done),
        f"{shown(archive)}: {counted(len(done.files), 'file')} of {done.bytes:,} bytes {verb}, "
        f"{counted(len(done.revisions), 'revision')} forgotten, {len(done.kept):,} kept"
        + (
            f"; {counted(len(done.young), 'file')} may be somebody's who writes"
            if done.young
            else ""
        ),
    )


def history(report: Report, archive: ArchiveArgument) -> None:
    """List the revisions that can be read with --at.

    Prints number, time (UTC), images and change.

    Example:
      kinpack history photos.kin
      kinpack ls photos.kin --at 1
    """
    with kinpack.Archive.open(archive) as opened:
        revisions = opened.history()
    report.result(
        [asdict(revision) for revision in revisions],
        (
            f"{revision.number:6}  {revision.created}  {revision.images:11,}  "
            + ", ".join(_words(dict(revision.change)))
            for revision in revisions
        ),
    )


def copy(
    report: Report,
    archive: ArchiveArgument,
    output: ArchiveOutput,
    at: At = None,
) -> None:
    """Copy an archive without its history.

    This copies and checks bytes, leaves deleted images behind and merges small segments.

    Example:
      kinpack copy photos.kin -o backup.kin
    """
    with working(report, "copying", archive, at) as (opened, advance):
        done = kinpack.copy(opened, output, progress=advance)
    report.done(asdict(done), f"{shown(output)}: {counted(done.images, 'image')} copied")


def merge(
    report: Report,
    archives: Annotated[
        list[str], typer.Argument(metavar="ARCHIVE", help="Archives of one codec and describer.")
    ],
    output: ArchiveOutput,
    on_duplicate: OnDuplicate = "error",
) -> None:
    """Merge archives of the same codec and describer into a new one.

    This copies bytes and codes nothing again.

    Example:
      kinpack merge photos.kin more.kin -o all.kin
    """
    with ExitStack() as stack:
        opened = [stack.enter_context(kinpack.Archive.open(path)) for path in archives]
        meter = stack.enter_context(report.meter("merging", sum(map(len, opened))))
        done = kinpack.merge(opened, output, on_duplicate=on_duplicate, progress=meter.advance)
    left_out = done.skipped + done.replaced
    report.done(
        asdict(done),
        f"{shown(output)}: {counted(done.images, 'image')} of {len(archives)} archives"
        + (f"; {left_out:,} left out whose id another one has" if left_out else ""),
    )


def seal(
    report: Report,
    archive: ArchiveArgument,
    output: Output,
    at: At = None,
) -> None:
    """Write an archive as one file that is read in place.

    The file is an uncompressed zip, on a disk or on any web server that serves parts of files. It
    cannot be changed; unseal turns it into a folder again.

    Example:
      kinpack seal photos.kin -o photos.kin.zip
      kinpack get photos.kin.zip beach/03.jpg -o picture.png
    """
    with working(report, "sealing", archive, at) as (opened, advance):
        n_bytes = kinpack.seal(opened, output, progress=advance)
        facts = {"images": len(opened), "bytes": n_bytes}
    report.done(facts, f"{shown(output)}: {counted(facts['images'], 'image')} in {n_bytes:,} bytes")


def unseal(
    report: Report,
    archive: ArchiveArgument,
    output: ArchiveOutput,
) -> None:
    """Write a sealed archive as a folder, which can be changed.

    Example:
      kinpack unseal photos.kin.zip -o photos.kin
    """
    with working(report, "unsealing", archive) as (opened, advance):
        kinpack.unseal(opened, output, progress=advance)
        facts = {"images": len(opened)}
    report.done(facts, f"{shown(output)}: {counted(facts['images'], 'image')}")


def export(
    report: Report,
    archive: ArchiveArgument,
    output: Output,
    form: Annotated[
        Literal["parquet", "lance", "webdataset", "imagefolder"],
        typer.Option("--format", help="The form of the data set."),
    ],
    picture: Annotated[
        Literal["png", "webp", "jpeg", "stored"],
        typer.Option(
            "--picture",
            help="The format of the pictures; png and webp are lossless; stored is as they lie.",
        ),
    ] = "png",
    unsafe: UnsafeOption = "rename",
    threads: Threads = None,
    at: At = None,
) -> None:
    """Write the images as a data set for other programs.

    Example:
      kinpack export photos.kin -o dataset --format parquet
    """
    with working(report, "exporting", archive, at) as (opened, advance):
        count = kinpack.export(
            opened,
            output,
            form,
            format=picture,
            unsafe=unsafe,
            threads=threads,
            progress=advance,
        )
    report.done(
        {"images": count, "folder": str(output), "format": form, "picture": picture},
        f"exported {counted(count, 'image')} to {shown(output)}",
    )


def repair(
    report: Report,
    archive: ArchiveArgument,
    output: ArchiveOutput,
    codec: Annotated[
        str | None, typer.Option(metavar="FILE", help="A copy of the codec, if it is damaged.")
    ] = None,
    describer: Annotated[
        str | None, typer.Option(metavar="FILE", help="A copy of the describer, if it is damaged.")
    ] = None,
) -> None:
    """Save the images that a damaged archive still holds whole.

    They go into a new archive; the damaged one stays as it is. Prints a line for each lost image;
    exits with 1 if there is one.

    Example:
      kinpack repair photos.kin -o saved.kin
    """
    with report.meter("repairing", None) as meter:
        done = kinpack.repair(
            archive,
            output,
            codec=kinpack.Codec.load(codec) if codec else None,
            describer=kinpack.Describer.load(describer) if describer else None,
            progress=meter.advance,
        )
    lines = [f"lost: {name}: {reason}" for name, reason in done.lost]
    lines += [] if report.quiet else [f"note: {note}" for note in done.notes]
    lost = [{"id": name, "reason": reason} for name, reason in done.lost]
    report.result({**asdict(done), "lost": lost}, map(one_line, lines))
    if done.lost:
        raise ArchiveError(
            f"{shown(archive)}: {len(done.lost):,} lost; {counted(done.images, 'image')} saved in "
            f"{shown(output)}"
        )
    report.say(f"{shown(output)}: {counted(done.images, 'image')} saved, none lost")


def _words(change: dict[str, object]) -> list[str]:
    """What a commit did, in a few words: its verb, then its counts."""
    verb = str(change.pop("verb", "-"))
    return [verb, *(f"{key} {value}" for key, value in change.items() if value and key != "files")]
