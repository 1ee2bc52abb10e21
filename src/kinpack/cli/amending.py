"""The commands that delete and rename images of an archive: rm and mv."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import kinpack
from kinpack.archive.stores.opening import place_of
from kinpack.cli.options import ArchiveArgument
from kinpack.cli.reporting import Report, counted
from kinpack.errors import NotFoundError, shown

if TYPE_CHECKING:
    from kinpack.archive.care.purging import PurgeReport

DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Tell what would be done, and change nothing.")
]
Purge = Annotated[
    bool, typer.Option("--purge", help="Leave nothing of deleted images; forget old revisions.")
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
