"""The commands on an archive's life: rm, compact, gc, history, copy, seal, export, repair."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

import kinpack
from kinpack.archive.stores.opening import place_of
from kinpack.cli.options import (
    ArchiveArgument,
    ArchiveOutput,
    At,
    OnDuplicate,
    Output,
    Threads,
)
from kinpack.cli.reporting import Report, one_line, working
from kinpack.errors import ArchiveError, NotFoundError, shown

if TYPE_CHECKING:
    from kinpack.archive.care.purging import PurgeReport

DryRun = Annotated[bool, typer.Option("--dry-run", help="Tell what would go, and remove nothing.")]
Purge = Annotated[
    bool, typer.Option("--purge", help="Leave nothing of deleted images; forget old revisions.")
]


def rm(
    report: Report,
    archive: ArchiveArgument,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The images, as ls names them.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(metavar="NAME", help="Delete all images of this label.")
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE", help="Delete the images of a list, one id a line."),
    ] = None,
    purge: Purge = False,
) -> None:
    """Delete images from an archive.

    One commit deletes all of them. Earlier revisions keep them; compact and gc free their bytes, or
    --purge does so at once. A deleted id may be added again.

    Example:
      kinpack rm photos.kin beach/03.jpg beach/04.jpg
      kinpack rm photos.kin --label forest
      kinpack rm photos.kin --from others.txt
      kinpack rm photos.kin beach/05.jpg --purge
    """
    from kinpack.archive.duplicates.writing import ids_of_list

    if not ids and label is None and listed is None:
        raise typer.BadParameter("name images by their ids, by --label, or by --from")
    named = list(ids or ())
    with kinpack.Archive.open(archive) as opened, report.meter("purging", None) as meter:
        for number_of, one in enumerate(ids_of_list(listed) if listed else (), start=1):
            if not purge and one not in opened:
                raise NotFoundError(
                    f"{shown(listed or '')}, line {number_of}: {shown(archive)} holds no image "
                    f"{one!r}; nothing was deleted; list its ids with: kinpack ls ARCHIVE"
                )
            named.append(one)
        done = opened.remove(named, label=label, purge=purge, progress=meter.advance)
        images, number = len(opened), opened.manifest.number
    facts: dict[str, Any] = {"removed": done.removed, "images": images, "number": number}
    kept = f"revision {number - 1} still has them" if done.removed else "there was nothing to do"
    if done.purged:
        facts["purged"] = asdict(done.purged)
        kept = _purged(archive, done.purged)
    line = f"{shown(archive)}: {done.removed:,} images deleted, {images:,} left; {kept}"
    report.done(facts, line)


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
        f"{shown(archive)}: {done.images:,} images copied, {done.dropped:,} deleted ones dropped; "
        f"{done.segments_before:,} segments of {done.bytes_before:,} bytes became "
        f"{done.segments_after:,} of {done.bytes_after:,}"
        + (f"; {_purged(archive, done.purged)}" if done.purged else ""),
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
        f"{shown(archive)}: {len(done.files):,} files of {done.bytes:,} bytes {verb}, "
        f"{len(done.revisions):,} revisions forgotten, {len(done.kept):,} kept"
        + (f"; {len(done.young):,} files may be somebody's who writes" if done.young else ""),
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
    report.done(asdict(done), f"{shown(output)}: {done.images:,} images copied")


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
        f"{shown(output)}: {done.images:,} images of {len(archives)} archives"
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
    report.done(facts, f"{shown(output)}: {facts['images']:,} images in {n_bytes:,} bytes")


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
    report.done(facts, f"{shown(output)}: {facts['images']:,} images")


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
    threads: Threads = None,
    at: At = None,
) -> None:
    """Write the images as a data set for other programs.

    Example:
      kinpack export photos.kin -o dataset --format parquet
    """
    with working(report, "exporting", archive, at) as (opened, advance):
        count = kinpack.export(
            opened, output, form, format=picture, threads=threads, progress=advance
        )
    report.done(
        {"images": count, "folder": str(output), "format": form, "picture": picture},
        f"exported {count:,} images to {shown(output)}",
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
            f"{shown(archive)}: {len(done.lost):,} images are lost; {done.images:,} are saved in "
            f"{shown(output)}"
        )
    report.say(f"{shown(output)}: all {done.images:,} images are saved")


def _purged(archive: str, done: PurgeReport) -> str:
    """What a purge has done, in a few words."""
    words = [f"{len(done.files):,} files of {done.bytes:,} bytes purged"]
    if not done.files:
        words = ["there was nothing to purge"]
    if done.revisions:
        ends = dict.fromkeys((done.revisions[0], done.revisions[-1]))
        words.append(f"revisions forgotten: {' to '.join(map(str, ends))}")
    if done.finished:
        words.append("what was deleted or half purged before is gone with it")
    if done.files and isinstance(place_of(archive), str):
        words.append("older versions of objects, if the bucket keeps any, are to be removed there")
    if done.young:
        words.append(f"{len(done.young):,} files of no revision stay for a day: purge again then")
    return "; ".join(words)


def _words(change: dict[str, object]) -> list[str]:
    """What a commit did, in a few words: its verb, then its counts."""
    verb = str(change.pop("verb", "-"))
    return [verb, *(f"{key} {value}" for key, value in change.items() if value and key != "files")]
