"""The archive: images by id, found by kin, in immutable segments under numbered manifests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kinpack.archive.adding.addition import Addition
from kinpack.archive.adding.gathering import AddReport
from kinpack.archive.adding.job import Job
from kinpack.archive.adding.job_count import job_count
from kinpack.archive.adding.picture_loading import AddOptions, Duplicates
from kinpack.archive.adding.segment_writer import SegmentWriter, ShardCoding
from kinpack.archive.adding.source_reading import as_items
from kinpack.archive.care.changeable import Changeable
from kinpack.archive.duplicates.report import DuplicateReport, Keep
from kinpack.archive.revisions.manifest_chain import load_manifest
from kinpack.archive.revisions.stored_codec import (
    DEFAULT,
    Codec,
    Described,
    as_codec,
    as_describer,
    as_describers,
    store_files,
)
from kinpack.archive.revisions.waiting import waiting_names
from kinpack.archive.stores.opening import new_store, open_store, place_of
from kinpack.codec.packets.target import Target
from kinpack.errors import ArchiveError
from kinpack.jobs.engine import Engine
from kinpack.jobs.table import EngineName, engine_named
from kinpack.progress import Progress
from kinpack.sources.items import Item
from kinpack.sources.opening import Spec, at_once_of

if TYPE_CHECKING:
    from kinpack.archive.syncing.comparing import Unknown
    from kinpack.archive.syncing.report import SyncReport


class Archive(Changeable):
    """A collection of images in few bytes, read one by one and searched without being unpacked.

    An archive shows one revision, the newest when it was opened; what others commit meanwhile
    appears after ``refresh``. Its methods may be called from many threads. ``create`` and ``open``
    make one; a ``with`` block closes it.

    Attributes:
        path: the archive's folder or file, or its address.
    """

    _alone = False  # whether nobody else can be making the new archive
    _resumes = False  # whether what an interrupted call has finished stays for another one

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        codec: Codec | str | os.PathLike[str] = "default",
        *,
        describer: Described | Mapping[str, Described] | None = DEFAULT,
        metadata: dict[str, Any] | None = None,
        resume: bool = False,
    ) -> Archive:
        """Begin a new archive, which is one as soon as its first images are there, whole.

        It grows under its own name, marked as unfinished and locked, and nobody can open it before
        the first successful ``add`` ends. Until then an error that leaves a ``with`` block, or
        ``close`` after a failed ``add``, removes what was made; what a kill leaves is no archive,
        and the next ``create`` of that name takes it over. Closed without any ``add`` it is an
        empty archive.

        Args:
            path: the archive's folder, which must not exist, or be empty; its parent must exist.
                Or its address, ``s3://bucket/photos.kin``, ``gs://…``, ``az://…`` or ``memory://…``.
            codec: what codes the images, or the name of one that ships, or the path of its file,
                which the archive keeps a copy of.
            describer: what makes the codes by which they are searched, given likewise and kept
                likewise, or several by the names of their columns, the usual one first. One has its
                own name. Others can be added, and each be removed. With ``None`` there is nothing
                to search by until one is added.
            metadata: JSON values to note for ever: settings, source.
            resume: whether what an interrupted ``add`` with ``resume`` has finished here is kept,
                for one that goes on with it.

        Raises:
            ArchiveError: the path exists, another process is making it, or the place cannot be
                written.
            CodecError: the codec or the describer cannot be loaded.
        """
        store = new_store(path)
        try:
            codec, describers = as_codec(codec), as_describers(describer)
            alone = store.begin(keep=True) if resume else store.begin()
            try:
                found = {name: one.to_bytes() for name, one in describers.items()}
                manifest = store_files(store, codec.to_bytes(), found, metadata)
                if manifest.codec != codec.codec_id:
                    raise ArchiveError(
                        f"{store.where('')}: the codec calls itself {codec.codec_id}, but its "
                        f"bytes are {manifest.codec}; load it again from its file"
                    )
            except BaseException:
                store.end(born=False)
                raise
        except BaseException:
            store.close()
            raise
        loaded = {one.describer_id: one for one in describers.values()}
        made = cls(
            store, manifest, path=place_of(path), codec=codec, describers=loaded, unborn=True
        )
        made._alone, made._resumes = alone, resume
        return made

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        at: int | None = None,
        codec: Codec | str | os.PathLike[str] | None = None,
        describer: Described | None = None,
    ) -> Archive:
        """Open an archive at its newest revision, or at an earlier one to read.

        Nothing but the newest manifest is read here; the rest is read at the first need. A sealed
        archive is read in place, and cannot be changed.

        Args:
            path: the archive's folder, a sealed archive (``kinpack.seal``), the
                address of one, ``http://…`` or ``https://…``, or an address in an object store.
            at: number of the revision, as ``info`` gives it; ``None`` for the newest.
            codec: the archive's codec, if it is at hand already.
            describer: one of the archive's describers, if it is at hand already.

        Raises:
            ArchiveError: there is no archive, its manifest is damaged or newer than this version
                reads, or ``codec`` is another than the archive's.
        """
        codec = codec if codec is None else as_codec(codec)
        known = [] if describer is None else [as_describer(describer)]
        store = open_store(path)
        try:
            manifest = load_manifest(store, at)
            if codec is not None and codec.codec_id != manifest.codec:
                raise ArchiveError(
                    f"{store.where('')}: its codec is {manifest.codec[:12]}…, not "
                    f"{codec.codec_id[:12]}…; open it without a codec to use its own copy"
                )
        except BaseException:
            store.close()
            raise
        return cls(
            store,
            manifest,
            path=place_of(path),
            codec=codec,
            describers={one.describer_id: one for one in known},
            fixed=at is not None,
        )

    def close(self) -> None:
        """Release what is open; a new archive that nothing was added to is published empty."""
        try:
            if self._unborn and not self._failed:
                self._commit(lambda base: (base.manifest.following((), {"verb": "create"}), None))
        finally:
            if self._unborn:
                self._unborn = False
                self._store.end(born=False, keep=self._resumes and self._may_wait())
            self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._failed = self._failed or kind is not None
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as path and revision: whoever unpickles opens the same revision, for reading."""
        if self._changing.locked() or not self.manifest.number:
            raise ArchiveError(
                f"{self.where}: an archive that is being written cannot be sent to another process;"
                " finish, and send what Archive.open gives"
            )
        place = self.path.absolute() if isinstance(self.path, Path) else self.path
        return _open_revision, (place, self.manifest.number, self.manifest.checksum)

    def _may_wait(self) -> bool:
        """Whether something waits for an interrupted call to go on, as far as can be told."""
        with suppress(ArchiveError):
            return bool(waiting_names(self._store))
        return True

    def add(
        self,
        source: Spec | Iterable[Item],
        target: Target | None = None,
        *,
        on_duplicate: Duplicates = "error",
        skip_broken: bool = False,
        batch: int = 256,
        progress: Progress | None = None,
        measuring: Progress | None = None,
        jobs: int | None = 1,
        engine: EngineName = "processes",
        resume: bool = False,
        **asked: Any,
    ) -> AddReport:
        """Add images in one commit: all of them appear, durably, or none.

        What was there is not touched. An error, Ctrl-C or a kill leaves the former revision. What
        a target asked for and what was reached is noted in the manifest. With ``max_bytes`` the
        archive must be new, and the source is read twice.

        Args:
            source: the images: a ``Source``, items, whatever ``kinpack.open_source`` takes, or an
                open archive, whose images are drawn and coded anew.
            target: what they are coded to, all to the same; by default quality 60.
            on_duplicate: for an id that is there already: ``error`` refuses the whole source,
                ``skip`` keeps the old image, ``replace`` takes the new one.
            skip_broken: whether pictures that cannot be read are left out and reported; else the
                first one refuses the whole source.
            batch: images coded at a time.
            progress: called with the number of images just done.
            measuring: called likewise on the first reading for ``max_bytes``.
            jobs: processes that read and code images; ``None`` for as many as there are cores, and
                one where they would take longer to begin than they save. Ids, order and payloads
                are the same. A picture that ends its process counts as one that cannot be read.
            engine: what runs them: ``processes`` of this machine, or a cluster of ``ray`` or
                ``dask``.
            resume: whether what this does piece by piece waits for a week if it is interrupted, and
                whether what an interrupted call for the same images has done is taken up.
            asked: in place of a target its fields, as ``quality=40``, ``min_psnr=36`` or
                ``max_bytes=20_000_000``.

        Returns:
            How many were added, skipped and replaced, which were broken, and, where a target was
            given, the PSNR that was reached.

        Raises:
            ArchiveError: an id is there already, the disk is full, the place is read-only, or the
                images cannot fit.
            CodecError: a field of the target is not known or out of range.
            ImageError: a picture cannot be read.
            SourceError: the source fails.
        """
        asked_for, items = Target.of(target, asked), as_items(source)
        options = AddOptions(
            target=asked_for,
            on_duplicate=on_duplicate,
            skip_broken=skip_broken,
            batch=batch,
            at_once=at_once_of(items),
        )
        with self._writing():
            failed, self._failed = self._failed, True
            writer = self._segment_writer(options, waits=resume)
            addition = Addition(self._store, self._snapshot, self.codec, writer)
            try:
                if resume:
                    addition.find_waiting(alone=self._unborn and self._alone)
                with ExitStack() as running:
                    workers = job_count(items, writer, jobs)
                    others: Engine | None = None
                    if workers > 1 or engine != "processes":
                        work = ShardCoding(writer.single_threaded())
                        others = running.enter_context(engine_named(engine)(work, workers))
                    written = addition.take(items, progress, measuring, others)
                report = self._commit(addition.following, written)
                addition.committed()
            except BaseException as error:
                addition.discard()
                done = addition.waiting_images()
                if done and isinstance(error, KeyboardInterrupt):
                    raise KeyboardInterrupt(
                        f"{done:,} images are done, and wait for a week: the same command goes on "
                        "with them"
                    ) from error
                raise
            self._failed = failed
        return report

    def sync(
        self,
        source: Spec,
        target: Target | None = None,
        *,
        delete: bool = False,
        unknown: Unknown = "refuse",
        dry_run: bool = False,
        skip_broken: bool = False,
        looking: Progress | None = None,
        progress: Progress | None = None,
        **asked: Any,
    ) -> SyncReport:
        """Make the archive hold what a folder holds: take in what is new, replace what changed.

        Files are told apart by size, time of change and SHA-256, which the columns ``size``,
        ``modified`` and ``sha256`` keep: of files of the same size and time nothing is read. A file
        that an image was made of, under another name, gives the image that name, and nothing is
        coded anew. What is changed is replaced, and keeps its label and what columns say of it that
        the file does not. It makes one commit for what needs no coding, and one more for what does,
        if there is any: after a kill between them the first is there, and the next call does the
        rest.

        Args:
            source: the folder, or several: whatever ``kinpack.open_source`` makes picture files
                of, or what it gave. Only images that it speaks for can be gone: those whose ids lie
                below these folders, under the prefix, and match the patterns.
            target: what images are coded to, as for ``add``.
            delete: whether images are deleted whose files are gone; else they are told.
            unknown: what is done with images of which too little is known, for their archive was
                made without these columns: ``refuse`` to go on; ``keep`` them as they are, and note
                what their files are now; ``replace`` them.
            dry_run: whether to change nothing, and only tell.
            skip_broken: whether pictures that cannot be read are left out and reported; else the
                first one refuses all that is to be coded. An image whose file is broken stays.
            looking: called with the number of files just looked at.
            progress: called with the number of images just added.
            asked: in place of a target its fields, as for ``add``.

        Returns:
            What was new, changed, renamed and gone, and what came of adding.

        Raises:
            SourceError: it is no folder of picture files, or holds none.
            ArchiveError: too little is known of an image, or the archive cannot be written.
            ImageError: a picture cannot be read.
        """
        from kinpack.archive.amending.noting import Noting
        from kinpack.archive.syncing.comparing import SCHEMA, compare
        from kinpack.archive.syncing.following import TakenFiles, as_files, told_of
        from kinpack.archive.syncing.report import SyncReport

        target = Target.of(target, asked)
        files = as_files(source)
        if not self._fixed:
            self.refresh()
        base = self._snapshot
        found = compare(base, files, unknown, looking)
        if dry_run:
            return SyncReport.of(found, removed=delete, images=len(base))
        taken = TakenFiles(files, found, base)
        removed = [one.id for one in (*found.overwritten, *(found.gone if delete else ()))]
        noting = Noting(self._store, told_of(found, files), removed, SCHEMA)
        with self._writing():
            try:
                self._commit(noting.following)
            except BaseException:
                noting.discard()
                raise
        added = None
        if len(taken):
            added = self.add(
                taken, target, on_duplicate="replace", skip_broken=skip_broken, progress=progress
            )
        return SyncReport.of(found, removed=delete, images=len(self), added=added)

    @contextmanager
    def job(
        self,
        name: str = "",
        target: Target | None = None,
        *,
        on_duplicate: Duplicates = "error",
        skip_broken: bool = False,
        batch: int = 256,
        **asked: Any,
    ) -> Iterator[Job]:
        """Hold the archive for images that are coded elsewhere, by processes or other machines.

        ``job.writer.write_segment(items, shard=…)`` codes images and gives a part; it may be sent
        wherever the archive's place is reached, and be called again for what was lost.
        ``job.commit(parts)`` shows all images of parts at once; call it as often as you like. The
        block ends with the job: what was written and not committed is removed by the next writer.

        Args:
            name: of the job: one that is begun again has in ``job.done`` the names of the shards
                that are committed.
            target: as for ``add``.
            on_duplicate: for an id that the archive has already, as for ``add``. One that comes in
                two shards is always an error.
            skip_broken: as for ``add``.
            batch: as for ``add``.
            asked: as for ``add``.

        Raises:
            ArchiveError: the archive cannot be written, or somebody is cleaning up.
            CodecError: a field of the target is not known or out of range.
        """
        options = AddOptions(
            target=Target.of(target, asked),
            on_duplicate=on_duplicate,
            skip_broken=skip_broken,
            batch=batch,
        )
        if options.target.max_bytes is not None:
            raise ArchiveError(
                f"{self.where}: with max_bytes images are chosen among together; give a job a "
                "quality or min_psnr"
            )
        with self._writing():
            failed, self._failed = self._failed, True
            writer = self._segment_writer(options)
            yield Job(self._store, lambda: self._snapshot, self._commit, writer, name)
            self._failed = failed

    def _segment_writer(self, options: AddOptions, *, waits: bool = False) -> SegmentWriter:
        able = {name: one for name, one in self.describers.items() if one.describes}
        return SegmentWriter(
            self.path,
            self.codec,
            able,
            options,
            schema=self.manifest.columns,
            waits=waits,
            store=self._store,
        )

    def duplicates(
        self,
        *,
        keep: Keep = "best",
        codes: str = "auto",
        quick: bool = False,
        threads: int | None = None,
        told: Callable[[float, str], None] | None = None,
    ) -> DuplicateReport:
        """Find images that are the same: equal in all pixels, or changed copies; and alike ones.

        Nothing is changed. Images are drawn, one after the other, and looked for in all turns among
        the codes; those whose codes are near are compared as pictures. From where on they count is
        measured on changed copies, and on random pairs, of the archive's own images.

        Args:
            keep: which image of a group is kept: ``best`` for the one that has colours, most
                pixels, the highest quality and most bytes, in this order; ``first`` for the one
                that was added first; ``largest`` for the one that has most pixels and bytes.
            codes: the column by which candidates are found; ``auto`` for the first of pictures.
            quick: whether stored codes alone are looked through, and only images that are near to
                another drawn; mirrored and turned copies are not looked for then.
            threads: that describe at a time; ``None`` for as many as there are cores.
            told: called with the share that is done, 0 to 1, and with what is being done.

        Returns:
            Groups of images, each around one that is kept, and how they were found.

        Raises:
            SearchError: the archive has no codes of pictures, or an argument is not valid.
            CodecError: the describer describes no pictures.
            ArchiveError: a segment, the codec or the describer is missing or damaged.
        """
        from kinpack.archive.duplicates.finding import DuplicateOptions, find_duplicates

        options = DuplicateOptions(keep=keep, codes=codes, quick=quick, threads=threads)
        return find_duplicates(self, options, told)


def _open_revision(place: Path | str, number: int, checksum: str) -> Archive:
    """Open an archive that was pickled; another one that lies there by now is refused."""
    archive = Archive.open(place, at=number)
    if archive.manifest.checksum != checksum:
        archive.close()
        raise ArchiveError(
            f"{archive.where}: revision {number} is another one than was pickled; open the archive"
            " again, and send that"
        )
    return archive
