"""Collecting: forgets earlier revisions, and removes the files that no remaining one names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from numbers import Real

from kinpack.archive.revisions.leftovers import given_back, named_files, remove_unnamed
from kinpack.archive.revisions.manifest import TIME, codec_file, manifest_file
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, unbroken_numbers
from kinpack.archive.revisions.record import Record
from kinpack.archive.revisions.waiting import WAITING_SECONDS, spared_files
from kinpack.archive.stores.store import TEMPORARY, Store
from kinpack.arguments import whole_number
from kinpack.errors import ArchiveError

MIN_AGE = 3600.0
"""Seconds that a revision is kept, by default, after the next one: whoever reads it may go on."""

PURGE = "purge"
"""Verb of a commit before which no revision is to be kept, whatever its age."""


@dataclass(slots=True)
class GcReport:
    """What was removed, or with ``dry_run`` would be.

    Attributes:
        revisions: numbers of the revisions that can no longer be opened, ascending.
        kept: numbers of those that can.
        files: names of the files that were removed.
        young: names of files that no revision names and that were left, since a writer that stands
            still may yet commit them, or an interrupted addition may go on with them.
        bytes: their bytes.
        dry_run: whether they are still there.
    """

    revisions: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    young: list[str] = field(default_factory=list)
    bytes: int = 0
    dry_run: bool = False


def collect(
    store: Store,
    *,
    keep: int = 1,
    min_age: float = MIN_AGE,
    orphan_age: float | None = None,
    dry_run: bool = False,
) -> GcReport:
    """Forget old revisions, then remove all files of the archive's that no kept revision names.

    Nothing is removed while anybody writes, nor where that cannot be known.

    Args:
        store: where the archive lies.
        keep: the newest revisions to keep at least, 1 or more.
        min_age: seconds for which a revision is kept after another has followed it, since somebody
            may still be reading it. The later time counts of those that its writer and the store
            have noted; a revision is not older than those before it.
        orphan_age: seconds for which a file is kept that no revision ever named, by the clock of
            the store. By default a day in an object store, where a writer may stand still unseen;
            none in a folder, whose lock tells that there is no writer. What an interrupted addition
            has finished is kept for a week, unless an age is given.
        dry_run: whether to remove nothing.

    Raises:
        ArchiveError: somebody is writing, a manifest that is to be kept is damaged, or the store
            cannot be written; nothing that a kept revision names is ever removed.
    """
    whole_number(keep, "keep", ArchiveError)
    for name, age in (("min_age", min_age), ("orphan_age", orphan_age)):
        if not (isinstance(age, Real) or (age is None and name == "orphan_age")):
            raise ArchiveError(f"{name} is {age!r}; it is a number of seconds")
    with store.alone() as unsure:
        waiting = WAITING_SECONDS if orphan_age is None else orphan_age
        orphan_age = unsure if orphan_age is None else orphan_age
        return sweep(
            store,
            orphan_age,
            keep=keep,
            min_age=min_age,
            waiting_age=waiting,
            dry_run=dry_run,
        )


def sweep(
    store: Store,
    orphan_age: float,
    *,
    keep: int = 1,
    min_age: float | None = None,
    waiting_age: float = WAITING_SECONDS,
    dry_run: bool = False,
) -> GcReport:
    """Do as ``collect``, while nobody writes; revisions before a purge go at any age.

    Args:
        store: where the archive lies.
        orphan_age: seconds for which a file is kept that no revision ever named.
        keep: the newest revisions to keep at least.
        min_age: seconds for which a revision is kept after the next one; ``None`` keeps all others.
        waiting_age: seconds for which is kept what an interrupted addition has finished.
        dry_run: whether to remove nothing.
    """
    ages = dict(store.ages())
    ages = dict(zip(given_back(store, ages, dry_run=dry_run), ages.values(), strict=True))
    numbers = unbroken_numbers(store)
    if not numbers:
        load_manifest(store)  # says that it is no archive
    first = _first_kept(store, numbers, keep, min_age, ages)
    report = GcReport(
        revisions=[number for number in numbers if number < first],
        kept=[number for number in numbers if number >= first],
        dry_run=dry_run,
    )
    kept = [load_record(store, number) for number in report.kept]
    named = {name for record in kept for name in _named(record)}
    manifests = [manifest_file(number) for number in report.revisions]
    others = [name for name in sorted(ages) if _is_ours(name) and name not in named]
    young = {name for name in others if ages[name] < orphan_age}
    segments = [entry for record in kept for entry in record.segments]
    young.update(spared_files(store, ages, segments, waiting_age).intersection(others))
    young.difference_update(*map(purged_files, kept))
    for number in reversed(report.revisions):
        if young:
            with suppress(ArchiveError):  # what cannot be read any more goes like the others
                young.difference_update(_named(load_record(store, number)))
    report.young = sorted(young)
    others = [name for name in others if name not in young]
    report.files = manifests + others
    sizes = dict.fromkeys(report.files, 0)
    for name in sizes:
        with suppress(ArchiveError):  # a link or a pipe goes like all others
            sizes[name] = store.size(name)
    if not dry_run:
        # Revisions go first, oldest first: whatever interrupts this leaves a whole later part.
        store.delete(*manifests)
        stay = remove_unnamed(store, others, numbers[-1])
        report.files = [name for name in report.files if name not in stay]
    report.bytes = sum(sizes[name] for name in report.files)
    return report


def purged_files(record: Record) -> set[str]:
    """Names of the files that were to go with a purge, if that is what the commit was."""
    names = record.change.get("files") if record.change.get("verb") == PURGE else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _named(record: Record) -> set[str]:
    """The files that a manifest names."""
    codec = {codec_file(record.codec)} if record.base is None else set()
    return named_files(record) | codec


def _first_kept(
    store: Store,
    numbers: list[int],
    keep: int,
    min_age: float | None,
    ages: Mapping[str, float],
) -> int:
    """Number of the first revision to keep.

    The revisions before it have been followed long enough, or purged, and its manifest is whole: so
    those after it build on none before it, and name all segments that they need.
    """
    spared = numbers[max(0, len(numbers) - keep) + 1 :]
    stored = accumulate((ages.get(manifest_file(number), 0.0) for number in numbers), min)
    since = dict(zip(numbers, stored, strict=True))
    for number in reversed(numbers[1:]):
        record = load_record(store, number)
        if record.base is not None:
            continue
        if record.change.get("verb") == PURGE:
            return number
        if min_age is not None and number not in spared:
            told = _told_age(record, store)  # a clock that is behind tells too much,
            if min(since[number], told if told >= 0 else min_age) >= min_age:  # one ahead nothing
                return number
    return numbers[0]


def _told_age(record: Record, store: Store) -> float:
    """Seconds since a revision was committed, as its writer's clock and this one have it."""
    try:
        then = datetime.strptime(record.created, TIME).replace(tzinfo=UTC)
    except ValueError as error:
        raise ArchiveError(
            f"{store.where(manifest_file(record.number))}: damaged manifest: created is "
            f"{record.created!r}, no time; restore the file from a copy"
        ) from error
    return (datetime.now(UTC) - then).total_seconds()


def _is_ours(name: str) -> bool:
    """Whether a file is of a sort that only kinpack writes, other than a manifest."""
    folder, _, file = name.rpartition("/")
    suffix = file.rpartition(".")[2]
    return file.startswith(TEMPORARY) or (folder, suffix) in (
        ("segments", "parquet"),
        ("segments", "index"),
        ("segments", "json"),
        ("codecs", "kinc"),
        ("describers", "kine"),
        ("codes", "bin"),
    )
