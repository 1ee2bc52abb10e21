"""Collecting: forgets earlier revisions, and removes the files that no remaining one names."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from numbers import Real

from kinpack.archive.revisions.manifest import codec_file, describer_file, manifest_file
from kinpack.archive.revisions.manifest_chain import load_manifest, load_record, unbroken_numbers
from kinpack.archive.revisions.record import Record
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
        bytes: their bytes.
        dry_run: whether they are still there.
    """

    revisions: list[int] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    bytes: int = 0
    dry_run: bool = False


def collect(
    store: Store, *, keep: int = 1, min_age: float = MIN_AGE, dry_run: bool = False
) -> GcReport:
    """Forget old revisions, then remove all files of the archive's that no kept revision names.

    Nothing is removed while anybody writes, nor where that cannot be known.

    Args:
        store: where the archive lies.
        keep: the newest revisions to keep at least, 1 or more.
        min_age: seconds for which a revision is kept after another has followed it, since somebody
            may still be reading it.
        dry_run: whether to remove nothing.

    Raises:
        ArchiveError: somebody is writing, a manifest that is to be kept is damaged, or the store
            cannot be written; nothing that a kept revision names is ever removed.
    """
    whole_number(keep, "keep", ArchiveError)
    if not isinstance(min_age, Real):
        raise ArchiveError(f"min_age is {min_age!r}; it is a number of seconds")
    with store.alone():
        return sweep(store, keep, datetime.now(UTC) - timedelta(seconds=min_age), dry_run=dry_run)


def sweep(
    store: Store, keep: int = 1, latest: datetime | None = None, *, dry_run: bool = False
) -> GcReport:
    """Do as ``collect``, while nobody writes; revisions before a purge go at any age.

    Args:
        store: where the archive lies.
        keep: the newest revisions to keep at least.
        latest: revisions that were followed later are kept; ``None`` keeps all others.
        dry_run: whether to remove nothing.
    """
    numbers = unbroken_numbers(store)
    if not numbers:
        load_manifest(store)  # says that it is no archive
    first = _first_kept(store, numbers, keep, latest)
    report = GcReport(
        revisions=[number for number in numbers if number < first],
        kept=[number for number in numbers if number >= first],
        dry_run=dry_run,
    )
    named: set[str] = set()
    for number in report.kept:
        record = load_record(store, number)
        named.update(*(entry.files for entry in record.segments))
        if record.base is None:
            named.add(codec_file(record.codec))
        if record.describer:
            named.add(describer_file(record.describer))
    manifests = [manifest_file(number) for number in report.revisions]
    others = [name for name in store.list() if _is_ours(name) and name not in named]
    report.files = manifests + others
    report.bytes = sum(store.size(name) for name in report.files)
    if not dry_run:
        # Revisions go first, oldest first: whatever interrupts this leaves a whole later part.
        store.delete(*manifests)
        store.delete(*others)
    return report


def purged_files(record: Record) -> set[str]:
    """Names of the files that were to go with a purge, if that is what the commit was."""
    names = record.change.get("files") if record.change.get("verb") == PURGE else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _first_kept(store: Store, numbers: list[int], keep: int, latest: datetime | None) -> int:
    """Number of the first revision to keep.

    The revisions before it have been followed long enough, or purged, and its manifest is whole: so
    those after it build on none before it, and name all segments that they need.
    """
    spared = numbers[max(0, len(numbers) - keep) + 1 :]
    for number in reversed(numbers[1:]):
        record = load_record(store, number)
        if record.base is None and (
            record.change.get("verb") == PURGE
            or (latest and number not in spared and _time(record, store) <= latest)
        ):
            return number
    return numbers[0]


def _time(record: Record, store: Store) -> datetime:
    try:
        return datetime.strptime(record.created, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise ArchiveError(
            f"{store.where(manifest_file(record.number))}: damaged manifest: created is "
            f"{record.created!r}, no time; restore the file from a copy"
        ) from error


def _is_ours(name: str) -> bool:
    """Whether a file is of a sort that only kinpack writes, other than a manifest."""
    folder, _, file = name.rpartition("/")
    suffix = file.rpartition(".")[2]
    return file.startswith(TEMPORARY) or (folder, suffix) in (
        ("segments", "parquet"),
        ("codecs", "kinc"),
        ("describers", "kine"),
        ("codes", "bin"),
    )
