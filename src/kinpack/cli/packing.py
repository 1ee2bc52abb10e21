"""The commands that fill archives: pack and add."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

import kinpack
from kinpack.archive.revisions.stored_codec import DEFAULT
from kinpack.archive.searching.finer import finer_column
from kinpack.cli.describing import warn_of_few_bits
from kinpack.cli.learning import LEFT_OUT, learn_from, work_beside
from kinpack.cli.options import (
    ArchiveArgument,
    ArchiveOutput,
    Choice,
    Classic,
    Columns,
    DamagedAsPacked,
    DamagedOption,
    Effort,
    EffortAsPacked,
    EngineOption,
    Exclude,
    Include,
    Jobs,
    MaxBytes,
    Metadata,
    MinPsnr,
    OnDuplicate,
    PictureColumn,
    Prefix,
    Quality,
    Range,
    Root,
    Size,
    SkipBroken,
    Sources,
    Split,
    Strict,
    Threads,
    open_together,
    refuse_several,
)
from kinpack.cli.reporting import Report
from kinpack.codec.packets import target
from kinpack.errors import ArchiveError, ImageError, SourceError, counted, shown
from kinpack.file_names import fault_of
from kinpack.pictures.reading import Damaged
from kinpack.sources.file_columns import GROUPS, KNOWN_BY
from kinpack.sources.metadata import unmatched_of, with_metadata
from kinpack.sources.opening import left_out_of, subset
from kinpack.sources.picture_files import FileSource

ORIGINALS = 4.0
"""Megapixels from which on pictures are taken for those of a camera."""
SEEN = 16
"""Pictures that a codec is chosen by."""

if TYPE_CHECKING:
    from kinpack.archive.adding.gathering import AddReport
    from kinpack.pictures.images import Image
    from kinpack.sources.items import Source


def pack(
    report: Report,
    context: typer.Context,
    source: Sources,
    output: ArchiveOutput,
    codec: Annotated[
        str | None,
        typer.Option(
            metavar="CODEC",
            help="default, classic or a .kinc file.  [default: classic where default would do "
            "nothing]",
        ),
    ] = None,
    learn: Annotated[
        bool, typer.Option("--learn", help="First learn a codec from the collection.")
    ] = False,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="N", min=0.01, help="How long to learn.  [default: 20]"),
    ] = None,
    describer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DESCRIBER",
            help="What makes codes to search by: look, photo, classic, or a .kine file; several if "
            "given several times; none for no codes.  [default: look]",
        ),
    ] = None,
    fine: Annotated[
        bool,
        typer.Option(
            "--fine", help="Keep 32 bytes an image more, by which the first 100 are ordered anew."
        ),
    ] = False,
    quality: Quality = None,
    min_psnr: MinPsnr = None,
    max_bytes: MaxBytes = None,
    size: Size = None,
    split: Split = None,
    column: PictureColumn = None,
    classic: Classic = "auto",
    effort: Effort = "default",
    on_duplicate: OnDuplicate = "error",
    include: Include = None,
    exclude: Exclude = None,
    prefix: Prefix = "",
    root: Root = None,
    damaged: DamagedOption = "keep",
    sample_range: Range = "auto",
    columns: Columns = "none",
    metadata: Metadata = None,
    skip_broken: SkipBroken = False,
    strict: Strict = False,
    jobs: Jobs = None,
    engine: EngineOption = "processes",
    threads: Threads = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Take the first N pictures alone.")
    ] = None,
) -> None:
    """Pack a collection into a new archive.

    Example:
      kinpack pack photos -o photos.kin --size 256
      kinpack pack photos -o true.kin --min-psnr 36
      kinpack pack photos -o small.kin --max-bytes 20M
      kinpack pack photos -o own.kin --learn --minutes 20
      kinpack pack photos -o known.kin --columns file,exif --metadata photos.csv
    """
    refuse_several(quality=quality, min_psnr=min_psnr, max_bytes=max_bytes)
    refuse_several(codec=codec, learn=learn or None)
    refuse_several(jobs=jobs if jobs != 1 else None, max_bytes=max_bytes)
    if minutes is not None and not learn:
        raise typer.BadParameter("--minutes says how long to learn: give --learn, too")

    asked = kinpack.Target(
        quality=quality,
        min_psnr=min_psnr,
        max_bytes=max_bytes,
        classic=classic,
        effort=effort,
        threads=threads,
    )
    refuse_several(skip_broken=skip_broken or None, strict=strict or None)
    choice = Choice(
        split=split,
        column=column,
        include=include or (),
        exclude=exclude or (),
        prefix=prefix,
        root=root,
        damaged=damaged,
        sample_range=sample_range,
    )
    images = open_together(source, choice, size=size, columns=columns)
    if limit is not None:
        images = subset(images, stop=limit)
    images = _joined(report, images, metadata)
    broken = OfBroken.asked(images, skip=skip_broken, strict=strict)
    if learn:
        place = _place(output)
        loaded, _ = learn_from(
            context,
            report,
            [source],
            place,
            size=size,
            choice=choice,
            minutes=minutes,
            skip_broken=broken.is_skipped,
            threads=threads,
        )
        shutil.rmtree(work_beside(place))
    elif codec is None:
        seen = _spread(images)
        loaded = kinpack.Codec.suiting(seen, asked)
        _warn_of_originals(report, images, seen)
    else:
        loaded = kinpack.Codec.load(codec)
        _warn_of_originals(report, images, _spread(images, 3))
    finders = [kinpack.Describer.load(one) for one in describer or [DEFAULT] if one != "none"]
    noted = {
        "codec": loaded.name,
        **asked.asked,
        "size": size or None,
        "classic": asked.classic,
        "effort": asked.effort,
    }
    if sample_range != "auto":
        noted["range"] = list(sample_range)
    if damaged != "keep":
        noted["damaged"] = damaged
    if columns:
        noted["columns"] = list(columns)
    named = {one.name: one for one in finders}
    if fine:
        named |= {finer_column(one.name): one.finer() for one in finders}
    with kinpack.Archive.create(
        output, loaded, describer=named, metadata=noted, resume=True
    ) as archive:
        with (
            broken.told(),
            report.meters("measuring", "packing", total=len(images)) as (measuring, packing),
        ):
            added = archive.add(
                images,
                asked,
                on_duplicate=on_duplicate,
                skip_broken=broken.is_skipped,
                progress=packing,
                measuring=measuring,
                jobs=jobs,
                engine=engine,
                resume=True,
            )
        warn_of_taken(report, images, added)
        if not added.added:
            raise SourceError(
                f"{images.name}: none of its {counted(len(images), 'picture')} can be read; "
                "check that they are pictures"
            )
        warn_of_few_bits(report, archive)
        _report_added(report, archive, images, added)
    broken.leave(added)


def add(
    report: Report,
    archive: ArchiveArgument,
    source: Sources,
    quality: Annotated[
        int | None, typer.Option(metavar="Q", min=1, max=100, help="From 1 to 100.")
    ] = None,
    min_psnr: MinPsnr = None,
    size: Size = None,
    split: Split = None,
    column: PictureColumn = None,
    effort: EffortAsPacked = None,
    on_duplicate: OnDuplicate = "error",
    include: Include = None,
    exclude: Exclude = None,
    prefix: Prefix = "",
    root: Root = None,
    damaged: DamagedAsPacked = None,
    sample_range: Range = None,
    columns: Columns = None,
    metadata: Metadata = None,
    skip_broken: SkipBroken = False,
    strict: Strict = False,
    jobs: Jobs = None,
    engine: EngineOption = "processes",
    threads: Threads = None,
) -> None:
    """Add a collection to an archive, with its codec and describer.

    The images that are there stay untouched. New ones get the quality or PSNR, the size, the range
    of grey and the columns that the archive was packed with, unless you give others. An archive
    that was packed with --max-bytes needs --quality or --min-psnr.

    Example:
      kinpack add photos.kin more
    """
    refuse_several(quality=quality, min_psnr=min_psnr)
    refuse_several(skip_broken=skip_broken or None, strict=strict or None)

    with kinpack.Archive.open(archive) as opened:
        packed = Packed.of(opened, archive, quality=quality, min_psnr=min_psnr, size=size)
        choice = Choice(
            split=split,
            column=column,
            include=include or (),
            exclude=exclude or (),
            prefix=prefix,
            root=root,
            damaged=damaged or packed.damaged,
            sample_range=sample_range or packed.sample_range,
        )
        told = packed.columns if columns is None else columns
        images = open_together(source, choice, size=packed.size, columns=told)
        if columns is None and isinstance(images, FileSource):
            images = images.with_columns(packed.followed)
        images = _joined(report, images, metadata)
        broken = OfBroken.asked(images, skip=skip_broken, strict=strict)
        with broken.told(), report.meter("adding", len(images)) as meter:
            added = opened.add(
                images,
                packed.target(effort=effort, threads=threads),
                on_duplicate=on_duplicate,
                skip_broken=broken.is_skipped,
                progress=meter.advance,
                jobs=jobs,
                engine=engine,
                resume=True,
            )
        warn_of_taken(report, images, added)
        _report_added(report, opened, images, added)
    broken.leave(added)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """How more images are added to an archive: as the first were packed, unless others are asked.

    Attributes:
        quality: of the images, ``None`` where a PSNR is asked, or nothing.
        min_psnr: likewise.
        size: what larger pictures are reduced to.
        damaged: what is done with files that are cut short.
        sample_range: grey samples that become black and white.
        columns: what else is kept of each picture.
        followed: columns that are kept of files since the archive follows a folder.
        classic: whether classic payloads are tried.
        effort: spent on fewer bytes.
    """

    quality: int | None
    min_psnr: float | None
    size: Any
    damaged: Damaged
    sample_range: Any
    columns: tuple[str, ...]
    followed: tuple[str, ...]
    classic: target.Classic
    effort: target.Effort

    @classmethod
    def of(
        cls,
        opened: kinpack.Archive,
        archive: str,
        *,
        quality: int | None,
        min_psnr: float | None,
        size: Any,
    ) -> Self:
        """What is noted in an archive, or was given in its place.

        Raises:
            ArchiveError: it was packed with a number of bytes, which says nothing of more images.
        """
        noted = opened.manifest.metadata
        if quality is None and min_psnr is None:
            if "max_bytes" in noted:
                raise ArchiveError(
                    f"{shown(archive)}: packed with --max-bytes, which says nothing of more "
                    "images; add them with --quality or --min-psnr"
                )
            min_psnr, quality = noted.get("min_psnr"), noted.get("quality")
        size = noted.get("size") if size is None else size
        there = opened.columns.items()
        followed = [group for group in KNOWN_BY if GROUPS[group].items() <= there]
        return cls(
            quality=quality,
            min_psnr=min_psnr,
            size=tuple(size) if isinstance(size, list) else size,
            damaged=noted.get("damaged", "keep"),
            sample_range=noted.get("range", "auto"),
            columns=tuple(noted.get("columns", ())),
            followed=tuple(followed),
            classic=noted.get("classic", "auto"),
            effort=noted.get("effort", "default"),
        )

    def target(self, *, effort: target.Effort | None, threads: int | None) -> kinpack.Target:
        """What images are coded to."""
        return kinpack.Target(
            quality=self.quality,
            min_psnr=self.min_psnr,
            classic=self.classic,
            effort=effort or self.effort,
            threads=threads,
        )


class OfBroken(Enum):
    """What a picture that cannot be read comes to."""

    STOP = "nothing is kept"
    ONLY = "nothing is kept, since there was nothing else"
    TELL = "it is left out, and the exit code says so"
    ACCEPT = "it is left out"

    @classmethod
    def asked(cls, images: Source, *, skip: bool, strict: bool) -> Self:
        """What the options ask for; a single picture stops, since nothing else is left."""
        if skip:
            return cls.ACCEPT
        if strict:
            return cls.STOP
        return cls.ONLY if len(images) == 1 else cls.TELL

    @contextmanager
    def told(self) -> Iterator[None]:
        """A block in which the error that stops the work names the option that would not stop."""
        try:
            yield
        except ImageError as error:
            if self is not OfBroken.STOP:
                raise
            raise ImageError(
                f"{error}; without --strict, or with --skip-broken, it is left out, and all others "
                "are taken"
            ) from error

    @property
    def is_skipped(self) -> bool:
        """Whether such a picture is left out, and others are taken."""
        return self in (OfBroken.TELL, OfBroken.ACCEPT)

    def leave(self, added: AddReport) -> None:
        """Exit with the code that tells of pictures left out, if there are some."""
        if added.broken and self is OfBroken.TELL:
            raise typer.Exit(LEFT_OUT)


def _joined(report: Report, images: Source, metadata: Path | None) -> Source:
    """The pictures with what a table says of them; rows of none of them are told of."""
    if metadata is None:
        return images
    found = with_metadata(images, metadata)
    if rows := unmatched_of(found):
        report.warn(
            f"{shown(metadata)}: {counted(len(rows), 'row', 'is/are')} of no picture, as "
            f"{rows[0]!r}"
        )
    return found


def _spread(images: Source, most: int = SEEN) -> list[Image]:
    """Some pictures of a collection, evenly spread over it; those that cannot be read left out."""
    step = max(1, len(images) // most)
    found = []
    for item in islice(images, 0, most * step, step):
        with suppress(ImageError):
            found.append(item.load())
    return found


def _warn_of_originals(report: Report, images: Source, seen: Sequence[Image]) -> None:
    """Tell what packing whole pictures of a camera means, where these are such."""
    megapixels = sorted(image.shape[0] * image.shape[1] / 1e6 for image in seen)
    if megapixels and (median := megapixels[len(megapixels) // 2]) >= ORIGINALS:
        report.warn(
            f"{images.name}: pictures of {median:.1f} megapixels are packed whole, which takes "
            "seconds each: --size 2048 reduces them, and kinpack estimate tells what either takes"
        )


def _place(output: str) -> Path:
    """Path that a new archive has, or would have here; its checkpoints lie beside it meanwhile."""
    if "://" in output:
        return Path(output.rstrip("/").rpartition("/")[2])
    from kinpack.archive.revisions.new_archive import check_free

    check_free(Path(output))  # before minutes are spent
    return Path(output)


def warn_of_taken(report: Report, images: Source, added: AddReport) -> None:
    """Tell of what was not taken, and of what was taken in part."""
    if left_out := left_out_of(images):
        report.warn(f"{images.name}: left out: {left_out}")
    if added.unsafe:
        name = added.unsafe[0]
        report.warn(
            f"{counted(len(added.unsafe), 'name')} that not every system takes for a file, as "
            f"{shown(name)}, which {fault_of(name)}; unpack gives such files others, mv the images"
        )
    if added.repeated:
        name, same = added.repeated[0]
        report.warn(
            f"{counted(len(added.repeated), 'image')} stored already under another name, as "
            f"{shown(name)}, which is {shown(same)}; --root or --prefix gives former names again, "
            "dedup finds copies"
        )
    for name, share in added.damaged:
        report.warn(f"cut short, and taken: {name}: {_share(share)}")
    for _, reason in added.broken:
        report.warn(f"left out: {reason}")


def _share(missing: float) -> str:
    """Words for a share that is missing, 0 to 1; what is there is never told as all or nothing."""
    if missing == 0:
        return "its last bytes alone are missing, no pixel"
    return f"{min(99.9, max(0.1, 100 * missing)):.1f} % of the picture is missing"


def _report_added(
    report: Report, archive: kinpack.Archive, images: Source, added: AddReport
) -> None:
    """Tell what was added. A line needs the manifest alone; JSON has the facts of ``info``, too."""
    words = [f"{counted(added.added, 'image')} added"]
    words += [f"{added.replaced:,} replaced"] if added.replaced else []
    words += [f"{added.resumed:,} of them done before it was interrupted"] * bool(added.resumed)
    words += [f"{added.skipped:,} skipped that were there"] if added.skipped else []
    words += words_of_taken(added)
    manifest = archive.manifest
    allowed = manifest.metadata.get("max_bytes") if "reached" in manifest.metadata else None
    within = (
        f" of {allowed:,} allowed, beside the codec's {manifest.codec_bytes:,}" if allowed else ""
    )
    report.done(
        {**facts_of_taken(images, added), **archive.info()} if report.json else None,
        f"{shown(archive.path)}: {', '.join(words)}; {counted(added.images, 'image')} in "
        f"{added.bytes:,} bytes{within}, {added.bytes / max(1, added.images):,.1f} an image",
    )


def words_of_taken(added: AddReport) -> list[str]:
    """Words for pictures that are damaged, and for the PSNR that was reached."""
    words = [f"{len(added.damaged):,} of them cut short"] if added.damaged else []
    words += [f"{len(added.broken):,} left out that cannot be read"] if added.broken else []
    if added.lowest_psnr is not None and added.mean_psnr is not None:
        words += [f"PSNR at least {added.lowest_psnr:.2f} dB, {added.mean_psnr:.2f} dB on average"]
    return words


def facts_of_taken(images: Source, added: AddReport) -> dict[str, Any]:
    """What came of adding, as JSON values."""
    return {
        **asdict(added),
        "broken": [{"id": name, "reason": reason} for name, reason in added.broken],
        "damaged": [{"id": name, "missing": share} for name, share in added.damaged],
        "repeated": [{"id": name, "same_as": same} for name, same in added.repeated],
        "left_out": left_out_of(images).to_dict(),
    }
