"""The commands that delete and rename images of an archive, or let it follow a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import kinpack
from kinpack.archive.adding.gathering import AddReport
from kinpack.archive.stores.opening import place_of
from kinpack.archive.syncing.comparing import Unknown
from kinpack.cli.options import (
    ArchiveArgument,
    Choice,
    Columns,
    DamagedAsPacked,
    EffortAsPacked,
    Exclude,
    Include,
    MinPsnr,
    Prefix,
    Range,
    Root,
    Size,
    SkipBroken,
    Strict,
    Threads,
    open_together,
    paths,
    refuse_several,
)
from kinpack.cli.packing import (
    OfBroken,
    Packed,
    facts_of_taken,
    warn_of_taken,
    words_of_taken,
)
from kinpack.cli.reporting import Report
from kinpack.errors import NotFoundError, counted, shown

if TYPE_CHECKING:
    from kinpack.archive.care.purging import PurgeReport
    from kinpack.archive.syncing.report import SyncReport

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done, and change nothing.")
]
Purge = Annotated[
    bool, typer.Option("--purge", help="Leave nothing of deleted images; forget old revisions.")
]
Folders = Annotated[
    list[str],
    typer.Argument(metavar="FOLDER", help="Folders of pictures, as for add.", autocompletion=paths),
]
_Pair = tuple[str, str]


def rm(
    report: Report,
    archive: ArchiveArgument,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            help="The images, as ls names them, or patterns, as 'beach/*.jpg'.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Delete images of this label alone; all without IDs."),
    ] = None,
    listed: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Delete images of a list alone, one id a line; all of them without IDs.",
        ),
    ] = None,
    purge: Purge = False,
    dry_run: DryRun = False,
) -> None:
    """Delete images from an archive.

    Conditions narrow down: with IDs and --label images go that meet both. One commit deletes all
    of them. Earlier revisions keep them; compact and gc free their bytes, or --purge does so at
    once. A deleted id may be added again.

    Example:
      kinpack rm photos.kin beach/03.jpg beach/04.jpg
      kinpack rm photos.kin 'city/0*' --dry-run
      kinpack rm photos.kin --label forest
      kinpack rm photos.kin --from others.txt
      kinpack rm photos.kin beach/05.jpg --purge
    """
    if not ids and label is None and listed is None:
        raise typer.BadParameter("name images by their ids, by --label, or by --from")
    with kinpack.Archive.open(archive) as opened, report.meter("purging", None) as meter:
        named = list(ids) if ids else None
        if listed is not None:
            named = _of_list(opened, listed, named, purged=purge)
        done = opened.remove(
            named, label=label, purge=purge, dry_run=dry_run, progress=meter.advance
        )
        images, number = len(opened), opened.manifest.number
    if dry_run:
        facts: dict[str, Any] = {"removed": done.removed, "ids": done.ids, "dry_run": True}
        report.result(facts, map(shown, done.ids))
        report.say(f"{shown(archive)}: {counted(done.removed, 'image')} would be deleted")
        return
    facts = {"removed": done.removed, "images": images, "number": number}
    kept = f"revision {number - 1} still has them" if done.removed else "there was nothing to do"
    if done.purged:
        facts["purged"] = asdict(done.purged)
        kept = told_purge(archive, done.purged)
    line = f"{shown(archive)}: {counted(done.removed, 'image')} deleted, {images:,} left; {kept}"
    report.done(facts, line)


def _of_list(
    opened: kinpack.Archive, listed: Path, named: Sequence[str] | None, *, purged: bool
) -> list[str]:
    """The ids of a list, of which only those that were named too, if any were.

    Raises:
        NotFoundError: one is not there.
    """
    from kinpack.archive.amending.removal import Selection
    from kinpack.archive.duplicates.writing import ids_of_list

    found = []
    for number, one in enumerate(ids_of_list(listed), start=1):
        if not purged and one not in opened:
            raise NotFoundError(
                f"{shown(listed)}, line {number}: {opened.where} holds no image {one!r}; nothing "
                "was deleted; list its ids with: kinpack ls ARCHIVE"
            )
        found.append(one)
    if named is None:
        return found
    every = opened.ids
    ids = {every[place] for place in Selection(ids=named).positions(opened.snapshot)}
    return [one for one in found if one in ids]


def mv(
    report: Report,
    archive: ArchiveArgument,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[OLD NEW]", help="An id, as ls names it, and the new one."),
    ] = None,
    prefix: Annotated[
        _Pair | None,
        typer.Option(
            "--prefix",
            metavar="OLD NEW",
            help="What ids begin with, and what takes its place, as beach/ coast/.",
        ),
    ] = None,
    label: Annotated[
        _Pair | None,
        typer.Option(
            "--label", metavar="OLD NEW", help="A label, and what takes its place; '' is none."
        ),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Rename images: ids, what ids begin with, labels.

    One commit renames all of them, and no payload is touched. Earlier revisions keep the former
    names. Labels do not follow ids: give --prefix and --label where both are to change.

    Example:
      kinpack mv photos.kin beach/03.jpg beach/sunset.jpg
      kinpack mv photos.kin --prefix beach/ coast/ --label beach coast
    """
    if len(names or ()) not in (0, 2):
        raise typer.BadParameter("name one id and its new name, or give --prefix or --label")
    if not (names or prefix or label):
        raise typer.BadParameter("name an id and its new name, or give --prefix or --label")
    ids = {names[0]: names[1]} if names else {}
    with kinpack.Archive.open(archive) as opened:
        done = opened.rename(ids, prefix=prefix, label=label, dry_run=dry_run)
        number = opened.manifest.number
    facts = {
        "renamed": [{"from": old, "to": new} for old, new in done.renamed],
        "relabelled": done.relabelled,
        "number": number,
        "dry_run": dry_run,
    }
    lines = [f"{shown(old)} -> {shown(new)}" for old, new in done.renamed] if dry_run else []
    report.result(facts, lines)
    would = "would get" if dry_run else "got"
    told = [
        f"{counted(count, 'image')} {would} another {what}"
        for count, what in ((len(done.renamed), "id"), (done.relabelled, "label"))
        if count
    ]
    report.say(f"{shown(archive)}: {', '.join(told) or 'there was nothing to do'}")


def sync(
    report: Report,
    archive: ArchiveArgument,
    source: Folders,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete the images whose files are gone.")
    ] = False,
    unknown: Annotated[
        Unknown,
        typer.Option(
            help="Of images of which the archive notes no size, time and hash: refuse to go on; "
            "keep them, and note these; or replace them."
        ),
    ] = "refuse",
    quality: Annotated[
        int | None, typer.Option(metavar="Q", min=1, max=100, help="From 1 to 100.")
    ] = None,
    min_psnr: MinPsnr = None,
    size: Size = None,
    effort: EffortAsPacked = None,
    include: Include = None,
    exclude: Exclude = None,
    prefix: Prefix = "",
    root: Root = None,
    damaged: DamagedAsPacked = None,
    sample_range: Range = None,
    columns: Columns = None,
    skip_broken: SkipBroken = False,
    strict: Strict = False,
    threads: Threads = None,
    dry_run: DryRun = False,
) -> None:
    """Follow a folder: take in what is new, changed or renamed.

    What is gone is told, or deleted with --delete.

    Files of the size and time that the archive notes are the same, and not read. Those that were
    renamed are known by their hash, and nothing is coded anew. Images that the folder does not
    speak for, below another --prefix or --root or left out by patterns, are not touched. All else
    is as for add. An archive notes size, time and hash if it was packed with --columns file,hash.

    Example:
      kinpack sync photos.kin photos --dry-run
      kinpack sync photos.kin photos --delete
    """
    refuse_several(quality=quality, min_psnr=min_psnr)
    refuse_several(skip_broken=skip_broken or None, strict=strict or None)
    with kinpack.Archive.open(archive) as opened:
        packed = Packed.of(opened, archive, quality=quality, min_psnr=min_psnr, size=size)
        choice = Choice(
            include=include or (),
            exclude=exclude or (),
            prefix=prefix,
            root=root,
            damaged=damaged or packed.damaged,
            sample_range=sample_range or packed.sample_range,
        )
        columns = packed.columns if columns is None else columns
        images = open_together(source, choice, size=packed.size, columns=columns)
        broken = OfBroken.asked(images, skip=skip_broken, strict=strict)
        with (
            broken.told(),
            report.meters("looking", "adding", total=None) as (looking, adding),
        ):
            done = opened.sync(
                images,
                packed.target(effort=effort, threads=threads),
                delete=delete,
                unknown=unknown,
                dry_run=dry_run,
                skip_broken=broken.is_skipped,
                looking=looking,
                progress=adding,
            )
        number, n_bytes = opened.manifest.number, opened.manifest.bytes_on_disk
    added = done.added or AddReport()
    facts = {**facts_of_taken(images, added), **done.to_dict()}
    facts |= {"number": number, "bytes": n_bytes}
    report.result({**facts, "dry_run": dry_run}, _lines_of(done) if dry_run else ())
    warn_of_taken(report, images, added)
    if done.gone and not delete:
        report.warn(
            f"{counted(len(done.gone), 'image')} of files that are gone, as {shown(done.gone[0])}; "
            "--delete deletes them"
        )
    would = "would be: " * dry_run
    words = ", ".join(_words_of(done, added, dry_run=dry_run))
    report.say(
        f"{shown(archive)}: {would}{words}; {counted(done.images, 'image')} in {n_bytes:,} bytes"
    )
    broken.leave(added)


def _lines_of(done: SyncReport) -> Iterator[str]:
    """What would be done, image by image."""
    yield from (f"new {shown(name)}" for name in done.new)
    yield from (f"changed {shown(name)}" for name in done.changed)
    yield from (f"renamed {shown(old)} -> {shown(new)}" for old, new in done.renamed)
    yield from (f"touched {shown(name)}" for name in done.touched)
    yield from (f"trusted {shown(name)}" for name in done.trusted)
    yield from (f"gone {shown(name)}" for name in done.gone)


def _words_of(done: SyncReport, added: AddReport, *, dry_run: bool) -> Iterator[str]:
    """What was done, or would be, in numbers."""
    counts = {
        "added": len(done.new) if dry_run else added.added,
        "replaced": len(done.changed) if dry_run else added.replaced,
        "renamed": len(done.renamed),
        "deleted" if done.removed else "gone": len(done.gone),
        "with another time alone": len(done.touched),
        "taken for the same": len(done.trusted),
    }
    told = [(what, count) for what, count in counts.items() if count]
    for number, (what, count) in enumerate(told):
        yield f"{counted(count, 'image') if number == 0 else f'{count:,}'} {what}"
    if not told:
        yield "nothing to do"
    yield f"{done.unchanged:,} unchanged"
    yield from words_of_taken(added)


def told_purge(archive: str, done: PurgeReport) -> str:
    """What a purge has done, in a few words."""
    words = [f"{counted(len(done.files), 'file')} of {done.bytes:,} bytes purged"]
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
        young = counted(len(done.young), "file")
        words.append(f"{young} of no revision stay for a day: purge again then")
    return "; ".join(words)
