"""Changing: what is done to an open archive as a whole, one revision after the other."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.care.summary import summary
from kinpack.archive.revisions.leftovers import remove_leftovers
from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.manifest_chain import commit, refreshed
from kinpack.archive.revisions.opened import Sharing
from kinpack.archive.revisions.reader import Reader
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.archive.revisions.stored_codec import Codec, Described, as_describer
from kinpack.archive.searching.finer import finer_column
from kinpack.archive.segments.code_file import column_name
from kinpack.archive.stores.store import Store
from kinpack.archive.stores.system_errors import is_full
from kinpack.errors import ArchiveError, NotFoundError
from kinpack.jobs.table import EngineName
from kinpack.progress import Progress

if TYPE_CHECKING:
    from kinpack.archive.amending.embedding import Coding, EmbedReport
    from kinpack.archive.amending.removal import Selection
    from kinpack.archive.amending.renaming import RenameReport
    from kinpack.archive.care.collecting import GcReport
    from kinpack.archive.care.compaction import CompactReport
    from kinpack.archive.care.history import Revision
    from kinpack.archive.care.purging import RemoveReport
    from kinpack.archive.care.verification import VerifyReport
    from kinpack.archive.segments.segment import Segment
    from kinpack.describers.describer import Describer

_Result = TypeVar("_Result")


class Changeable(Reader):
    """What can be done to an archive beyond reading; ``Archive`` adds making, opening and adding.

    Args:
        store: where the archive lies.
        manifest: the revision.
        path: the archive's folder or file, or its address.
        codec: the archive's codec, if it is loaded already.
        describers: those of its describers that are loaded already, by their SHA-256.
        unborn: whether it is an archive only with its first commit.
        fixed: whether it stays at its revision, for reading.
    """

    def __init__(
        self,
        store: Store,
        manifest: Manifest,
        *,
        path: Path | str,
        codec: Codec | None,
        describers: Mapping[str, Describer] | None = None,
        unborn: bool = False,
        fixed: bool = False,
    ) -> None:
        super().__init__(store, manifest, codec, describers)
        self.path = path
        self._unborn = unborn
        self._fixed = fixed
        self._failed = False
        self._tidied = False
        self._changing = threading.Lock()
        self._changer: int | None = None  # the thread that does

    def refresh(self) -> None:
        """Show the newest revision.

        Raises:
            ArchiveError: the archive was opened at a fixed revision, or its manifest is damaged.
        """
        if self._fixed:
            raise ArchiveError(
                f"{self.path}: opened at revision {self.manifest.number}, which stays; open it "
                "without a number for the newest"
            )
        if not self._unborn:
            shown = self._snapshot.manifest
            newest = refreshed(self._store, shown)
            if newest is not shown:
                self._snapshot = Snapshot(self._store, newest, self._snapshot)

    def remove(
        self,
        ids: Iterable[str] | None = None,
        *,
        label: str | None = None,
        purge: bool = False,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> RemoveReport:
        """Delete images in one commit; a deleted id may be added again.

        Earlier revisions keep the images, unless they are purged. Their bytes stay until the
        archive is compacted and those revisions are collected.

        Args:
            ids: of the images, or of one, or patterns, in which ``*`` stands for any characters;
                naming an image twice is no error.
            label: delete images of this label alone, all of them where no ids are given.
            purge: whether nothing is to stay of these images and of all that were deleted before
                (which may be named again): as ``compact`` does it, without merging segments.
            dry_run: whether to delete nothing, and only tell.
            progress: called with the number of images just copied, to purge.

        Raises:
            NotFoundError: an id is not there, or no image meets all that is asked; nothing is
                deleted then.
            ArchiveError: the archive cannot be written, or, to purge, somebody is writing.
        """
        from kinpack.archive.amending.removal import Selection, removal
        from kinpack.archive.care.purging import RemoveReport

        names: list[Any] | None = None
        if ids is None and label is None:
            raise NotFoundError(
                f"{self.where}: an id is a string, and none is named, nor a label: name images"
            )
        if ids is not None:
            names = [ids] if isinstance(ids, str) or not isinstance(ids, Iterable) else list(ids)
        chosen = Selection(ids=names, label=label)
        if dry_run:
            snapshot = self._snapshot
            there = sorted(chosen.positions(snapshot))
            return RemoveReport(len(there), tuple(one.id for one in snapshot.entries_at(there)))
        if purge:
            removed, compacted = self._purge(chosen, progress=progress)
            return RemoveReport(removed, purged=compacted.purged)
        try:
            with self._writing():
                return RemoveReport(self._commit(lambda base: removal(base, chosen)))
        except ArchiveError as error:
            if not is_full(error):
                raise
            raise self._no_room() from error

    def rename(
        self,
        ids: Mapping[str, str] | None = None,
        *,
        prefix: tuple[str, str] | None = None,
        label: tuple[str, str] | None = None,
        dry_run: bool = False,
    ) -> RenameReport:
        """Give images other ids or labels in one commit; payloads stay as they are.

        Earlier revisions keep the former names, and so do the segments' files until the archive is
        compacted, copied or sealed. Labels do not follow ids: name both where both are to change.

        Args:
            ids: new ids by the former ones; two may be exchanged.
            prefix: what the ids of some begin with, and what takes its place.
            label: a label, and what takes its place; an empty text stands for no label.
            dry_run: whether to rename nothing, and only tell.

        Raises:
            NotFoundError: an id is not there, none begins so, or no image has the label; nothing is
                renamed then.
            ArchiveError: two images would have one id, a name is no text or too long, a segment is
                damaged, or the archive cannot be written.
        """
        from kinpack.archive.amending.renaming import Names, Renaming

        renaming = Renaming(self._store, Names(ids=dict(ids or {}), prefix=prefix, label=label))
        if dry_run:
            return renaming.proposed(self._snapshot)[1]
        with self._writing():
            try:
                return self._commit(renaming.following)
            except BaseException:
                renaming.discard()
                raise

    def embed(
        self,
        describer: Described | None = None,
        *,
        name: str | None = None,
        fine: bool = False,
        progress: Progress | None = None,
        threads: int | None = None,
        jobs: int | None = 1,
        engine: EngineName = "processes",
    ) -> EmbedReport:
        """Give the images codes of a describer, made of their pictures as held; one commit.

        Payloads stay as they are. Codes of the same name and another describer are replaced. Where
        a describer is there already, only images that have no code of it get one.

        Args:
            describer: what makes the codes, or the name of one that ships, or the path of its file;
                by default the one that makes the codes of this name already.
            name: of the column of codes; by default the describer's own.
            fine: whether they get the describer's longer codes, too, in another commit: the column
                ``<name>-fine``, by which a search orders the nearest anew.
            progress: called with the number of images just described.
            threads: that work at a time; ``None`` for as many as there are cores.
            jobs: processes that draw and describe; ``None`` for as many as suit. The codes are the
                same.
            engine: what runs them, as for ``add``.

        Raises:
            ArchiveError: a column cannot have this name, a segment is missing or damaged, or the
                archive cannot be written.
            CodecError: the describer cannot be loaded, or describes no pictures.
            PayloadError: a packet is damaged.
        """
        from kinpack.archive.amending.embedding import by_drawing
        from kinpack.archive.amending.shared_drawing import by_others

        if describer is None:
            name = self._usual(name)
            found = self._described(self.manifest, name)
        else:
            found = as_describer(describer)
        found.check_describes()
        column = name or found.name
        columns = {column: found} | ({finer_column(column): found.finer()} if fine else {})
        reports = []
        for of, one in columns.items():
            coding = by_drawing(self.codec, one, progress, threads)
            if jobs != 1 or engine != "processes":
                sharing = Sharing(self.path, None if threads and jobs is None else jobs, engine)
                coding = by_others(self._snapshot, self.codec, one, of, sharing, coding, progress)
            reports.append(self._embed(of, one, coding, complete=True))
        return reports[0]

    def learn_code(
        self,
        codes: str = "auto",
        *,
        name: str | None = None,
        progress: Progress | None = None,
        threads: int | None = None,
    ) -> EmbedReport:
        """Learn a code of the images' own, and give it to them; payloads stay as they are.

        The describer's network stays; the directions that are kept of what it gives, and the books,
        are learned anew of these images. Where the archive has longer codes, so are those.

        Args:
            codes: the column whose describer is begun with; ``auto`` for the first.
            name: of the column of the new codes; by default the same, whose codes are replaced.
            progress: called with the number of images just described: first to learn, then to code.
            threads: that work at a time; ``None`` for as many as there are cores.

        Raises:
            SearchError: there is no such column.
            ArchiveError: a segment is missing or damaged, or the archive cannot be written.
            CodecError: the describer describes no pictures, or there are too few of them.
            PayloadError: a packet is damaged.
        """
        from kinpack.archive.amending.embedding import latents_of
        from kinpack.describers.own_books import with_own_books

        column = self._searcher().usual if codes == "auto" else codes
        found = self._described(self.manifest, column)
        found.check_describes()
        latents = latents_of(self._snapshot, self.codec, found, progress, threads)
        note = f"directions and books learned of {len(latents):,} images of an archive"
        own = with_own_books(found, latents, name=name or column, note=note)
        fine = self.manifest.describer(finer_column(column)) is not None
        return self.embed(own, name=own.name, fine=fine, progress=progress, threads=threads)

    def embed_vectors(
        self,
        vectors: Mapping[str, Sequence[float] | NDArray[Any]],
        *,
        name: str,
        fine: bool = False,
        note: str = "",
    ) -> EmbedReport:
        """Give the images codes of vectors that were made elsewhere; one commit.

        They are searched by id and by ``vector``, for instance a text's. Images that are added
        later have no such code until this is called again.

        Args:
            vectors: of each image by its id, (E,) numbers each; others are left aside. What is
                near is told by Euclidean distance: give vectors of length 1 for cosines.
            name: of the column of codes.
            fine: whether they get a code of 32 bytes beside that of 8, in another commit: the
                column ``<name>-fine``, by which a search orders the nearest anew.
            note: what to keep of how the vectors were made.

        Raises:
            ArchiveError: a column cannot have this name, an image has no vector, or the archive
                cannot be written.
            CodecError: vectors are of different sizes, or hold numbers that are not finite.
        """
        from kinpack.archive.amending.embedding import by_vectors
        from kinpack.describers.given_vectors import BOOKS, FINE_BOOKS, describer_of_vectors

        given = {of: np.asarray(one, np.float32) for of, one in vectors.items()}
        columns = {name: BOOKS} | ({finer_column(name): FINE_BOOKS} if fine else {})
        reports = []
        for column, books in columns.items():
            made = describer_of_vectors(list(given.values()), name=column, books=books, note=note)
            reports.append(self._embed(column, made, by_vectors(made, given), complete=False))
        return reports[0]

    def remove_codes(self, name: str) -> None:
        """Take a column of codes away, in one commit; its files stay until ``gc``.

        Args:
            name: of the column.

        Raises:
            SearchError: there is no such column.
            ArchiveError: the archive cannot be written.
        """
        from kinpack.archive.amending.embedding import without_column

        with self._writing():
            self._commit(lambda base: (without_column(base, name, self.where), None))

    def _embed(
        self, name: str, describer: Describer, coding: Coding, *, complete: bool
    ) -> EmbedReport:
        from kinpack.archive.amending.embedding import Embedding

        with self._writing():
            embedding = Embedding(
                self._store, column_name(name), describer, coding, complete=complete
            )
            try:
                report = self._commit(embedding.following)
            except BaseException:
                embedding.discard()
                raise
        self._loaded[describer.describer_id] = describer
        return report

    def _usual(self, name: str | None) -> str:
        """The name of the column that is meant: the first, where none is named."""
        entries = self.manifest.describers
        if name is None and not entries:
            raise ArchiveError(f"{self.where}: it has no describer; name one to embed")
        return name or entries[0].name

    def compact(self, *, purge: bool = False, progress: Progress | None = None) -> CompactReport:
        """Merge small segments and drop deleted images by copying bytes; nothing is coded again.

        Images keep their order, readers of earlier revisions go on. It commits every gigabyte or
        so: an interruption loses no more than that, and harms nothing. The old segments stay until
        ``gc`` removes the revisions that name them.

        Args:
            purge: whether nothing is to stay of deleted images: all earlier revisions are forgotten
                at once, unless they hold no image more; whoever reads one gets an error.
            progress: called with the number of images just copied.

        Raises:
            ArchiveError: a segment is missing or damaged, the archive cannot be written, or, to
                purge, somebody is writing.
            PayloadError: a packet is damaged.
        """
        from kinpack.archive.care.compaction import compact

        if purge:
            from kinpack.archive.amending.removal import Selection

            return self._purge(Selection(), merge=True, progress=progress)[1]
        with self._writing():
            self._snapshot, report = compact(self._store, self._snapshot, progress)
        return report

    def gc(
        self,
        *,
        keep: int = 1,
        min_age: float = 3600.0,
        orphan_age: float | None = None,
        dry_run: bool = False,
    ) -> GcReport:
        """Forget old revisions, and remove the files that no remaining one names.

        Args:
            keep: the newest revisions to keep at least, 1 or more.
            min_age: seconds for which a revision is kept after the next one, since somebody may
                still be reading it.
            orphan_age: seconds for which a file is kept that no revision ever named: by default a
                day in an object store, where a writer may stand still unseen, and none in a folder.
            dry_run: whether to remove nothing, and only tell.

        Raises:
            ArchiveError: somebody is writing, a manifest is damaged, or the archive cannot be
                written; nothing that a kept revision names is ever removed.
        """
        from kinpack.archive.care.collecting import collect

        with self._changing:
            self.refresh()
            return collect(
                self._store, keep=keep, min_age=min_age, orphan_age=orphan_age, dry_run=dry_run
            )

    def history(self) -> list[Revision]:
        """The revisions that can be opened by their number, the oldest first.

        Raises:
            ArchiveError: a manifest is damaged.
        """
        from kinpack.archive.care.history import history

        return history(self._store)

    def _no_room(self) -> ArchiveError:
        """The error for a full disk, with what frees some of it."""
        n_bytes = 0
        with suppress(ArchiveError):
            n_bytes = self.gc(min_age=0, dry_run=True).bytes
        cure = "free some elsewhere, or delete in a copy on another disk: kinpack copy"
        if n_bytes:
            cure = f"free {n_bytes:,} bytes, which takes none, with: kinpack gc --min-age 0"
        return ArchiveError(
            f"{self.where}: the disk is full, and to delete takes a few kilobytes, too; {cure}"
        )

    def _purge(self, chosen: Selection, **options: Any) -> tuple[int, CompactReport]:
        from kinpack.archive.care.purging import purge

        with self._writing(alone=True) as unsure:
            self._snapshot, removed, report = purge(
                self._store, self._snapshot, chosen, orphan_age=unsure or 0.0, **options
            )
        return removed, report

    @contextmanager
    def _writing(self, *, alone: bool = False) -> Iterator[float | None]:
        """A block within which this archive is changed, from its newest revision on."""
        store = self._store
        if self._changer == threading.get_ident():
            raise ArchiveError(
                f"{self.where}: a job holds the archive; commit its parts with the job, and do "
                "other things after its block"
            )
        with (
            self._changing,
            self._by_this_thread(),
            store.alone() if alone else store.writing(self._tidy) as unsure,
        ):
            self.refresh()
            try:
                yield unsure
            except BaseException:
                self._tidied = False
                raise

    @contextmanager
    def _by_this_thread(self) -> Iterator[None]:
        self._changer = threading.get_ident()
        try:
            yield
        finally:
            self._changer = None

    def _commit(
        self,
        propose: Callable[[Snapshot], tuple[Manifest | None, _Result]],
        written: Segment | None = None,
    ) -> _Result:
        """Commit, and show the new revision; the first one makes a new archive."""
        snapshot, result = commit(self._store, self._snapshot, propose, written)
        if self._unborn and snapshot.manifest.number:
            self._unborn = False
            self._store.end(born=True)
        self._snapshot = snapshot
        return result

    def _tidy(self) -> None:
        """Clean up behind dead writers, once; nobody else is writing."""
        if not self._tidied:
            with suppress(ArchiveError):
                remove_leftovers(self._store, self.manifest)
                self._tidied = True

    def info(self) -> dict[str, Any]:
        """The archive in numbers; see ``kinpack.archive.care.summary.summary``.

        Raises:
            ArchiveError: a file is missing or damaged.
        """
        return summary(self._store, self._snapshot)

    def verify(
        self,
        *,
        deep: bool = False,
        progress: Progress | None = None,
        jobs: int | None = 1,
        engine: EngineName = "processes",
    ) -> VerifyReport:
        """Check every byte of every file; see ``kinpack.archive.care.verification.verify``.

        Args:
            deep: whether to decode every image too.
            progress: called with the number of images just checked.
            jobs: processes that decode images; ``None`` for as many as suit.
            engine: what runs them, as for ``add``.
        """
        from kinpack.archive.care.verification import verify_store

        return verify_store(
            self._store,
            deep=deep,
            codec=self._codec,
            progress=progress,
            sharing=Sharing(self.path, jobs, engine),
        )
