"""The commands on archives: pack, add, unpack, get, search, info, verify, ls."""

from __future__ import annotations

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinpack.cli.options import (
    ArchiveArgument,
    ArchiveOutput,
    At,
    Escape,
    Force,
    Json,
    MaxBytes,
    MinPsnr,
    OnDuplicate,
    Output,
    Quality,
    Quiet,
    Size,
    SkipBroken,
    Sources,
    Split,
    Threads,
    open_together,
    refuse_existing,
    refuse_several,
)
from kinpack.cli.reporting import Report, columns, one_line
from kinpack.errors import ArchiveError, SourceError
from kinpack.images import load_image, save_image, shown
from kinpack.sources import subset

if TYPE_CHECKING:
    from kinpack.archive.adding import AddReport
    from kinpack.archive.archive import Archive


def pack(
    source: Sources,
    output: ArchiveOutput,
    codec: Annotated[
        str, typer.Option(metavar="CODEC", help="A .kinc file, or classic, or default.")
    ] = "default",
    embedder: Annotated[
        str | None,
        typer.Option(
            metavar="EMBEDDER",
            help="Search by codes of their own, of kin or a .kine file, in place of the codec's.",
        ),
    ] = None,
    quality: Quality = None,
    min_psnr: MinPsnr = None,
    max_bytes: MaxBytes = None,
    size: Size = None,
    split: Split = None,
    escape: Escape = "auto",
    on_duplicate: OnDuplicate = "error",
    skip_broken: SkipBroken = False,
    threads: Threads = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Take the first so many only.")
    ] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pack a collection into a new archive.

    Example:
      kinpack pack photos -o photos.kin --size 256
      kinpack pack photos -o true.kin --min-psnr 36
      kinpack pack photos -o small.kin --max-bytes 20M
    """
    refuse_several(quality=quality, min_psnr=min_psnr, max_bytes=max_bytes)
    from kinpack.archive.adding import AddOptions
    from kinpack.archive.archive import Archive
    from kinpack.codec.codec import Codec
    from kinpack.codec.embedder import Embedder

    report = Report(json=json, quiet=quiet)
    loaded = Codec.load(codec)
    embeds = None if embedder is None else Embedder.load(embedder)
    asked = AddOptions(quality=quality, min_psnr=min_psnr, max_bytes=max_bytes).asked
    metadata = {"codec": loaded.name, **asked, "size": size or None, "escape": escape}
    if embeds:
        metadata["embedder"] = embeds.name
    with Archive.create(output, loaded, embedder=embeds, metadata=metadata) as archive:
        images = open_together(source, size=size, split=split)
        if limit is not None:
            images = subset(images, stop=limit)
        with report.meters("measuring", "packing", total=len(images)) as (measuring, packing):
            added = archive.add(
                images,
                quality=quality,
                min_psnr=min_psnr,
                max_bytes=max_bytes,
                escape=escape,
                on_duplicate=on_duplicate,
                skip_broken=skip_broken,
                threads=threads,
                progress=packing,
                measuring=measuring,
            )
        _warn_of_broken(report, added)
        if not added.added:
            raise SourceError(
                f"{images.name}: none of its {len(images)} pictures can be read; check that they "
                "are pictures"
            )
        _report_added(report, archive, added)


def add(
    archive: ArchiveArgument,
    source: Sources,
    quality: Annotated[
        int | None, typer.Option(metavar="Q", min=1, max=100, help="1 to 100.")
    ] = None,
    min_psnr: MinPsnr = None,
    size: Size = None,
    split: Split = None,
    on_duplicate: OnDuplicate = "error",
    skip_broken: SkipBroken = False,
    threads: Threads = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Add a collection to an archive, with its codec and embedder.

    What is there is not touched. Quality or PSNR, and size, are those that the archive was packed
    with, unless others are given; one that was packed into a number of bytes needs them.

    Example:
      kinpack add photos.kin more
    """
    refuse_several(quality=quality, min_psnr=min_psnr)
    from kinpack.archive.archive import Archive

    report = Report(json=json, quiet=quiet)
    with Archive.open(archive) as opened:
        noted = opened.manifest.metadata
        size = noted.get("size") if size is None else size
        if quality is None and min_psnr is None:
            if "max_bytes" in noted:
                raise ArchiveError(
                    f"{shown(archive)}: packed with --max-bytes, which says nothing of more "
                    "images; add them with --quality or --min-psnr"
                )
            min_psnr, quality = noted.get("min_psnr"), noted.get("quality")
        images = open_together(source, size=size, split=split)
        with report.meter("adding", len(images)) as meter:
            added = opened.add(
                images,
                quality=quality,
                min_psnr=min_psnr,
                escape=noted.get("escape", "auto"),
                on_duplicate=on_duplicate,
                skip_broken=skip_broken,
                threads=threads,
                progress=meter.advance,
            )
        _warn_of_broken(report, added)
        _report_added(report, opened, added)


def unpack(
    archive: ArchiveArgument,
    output: Output,
    format: Annotated[  # noqa: A002
        Literal["png", "webp", "jpeg"], typer.Option(help="png and webp are lossless.")
    ] = "png",
    force: Force = False,
    threads: Threads = None,
    at: At = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write all images as files below a folder.

    The table labels.csv there gives file, id and label of every image.

    Example:
      kinpack unpack photos.kin -o thumbnails --format webp
    """
    from kinpack.archive.archive import Archive
    from kinpack.archive.unpacking import TABLE
    from kinpack.archive.unpacking import unpack as unpack_archive

    report = Report(json=json, quiet=quiet)
    with Archive.open(archive, at=at) as opened, report.meter("unpacking", len(opened)) as meter:
        count = unpack_archive(
            opened, output, format=format, force=force, threads=threads, progress=meter.advance
        )
    report.done(
        {"images": count, "folder": str(output), "format": format, "table": str(output / TABLE)},
        f"unpacked {count:,} images to {shown(output)}; {TABLE} there names and labels them",
    )


def get(
    archive: ArchiveArgument,
    id: Annotated[str, typer.Argument(metavar="ID", help="The image, as ls names it.")],  # noqa: A002
    output: Output,
    force: Force = False,
    at: At = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write one image as a file: PNG, WebP or JPEG.

    Example:
      kinpack get photos.kin beach/03.jpg -o picture.png
    """
    from kinpack.archive.archive import Archive

    refuse_existing(output, force=force)
    with Archive.open(archive, at=at) as opened:
        image = opened.read(id)
    save_image(image, output)
    height, width, channels = image.shape
    report = Report(json=json, quiet=quiet)
    report.done(
        {"id": id, "file": str(output), "width": width, "height": height, "channels": channels},
        f"wrote {shown(output)}: {width}×{height} pixels",
    )


def search(
    archive: ArchiveArgument,
    query: Annotated[
        str, typer.Argument(metavar="QUERY", help="A picture file, or id:NAME of an image inside.")
    ],
    k: Annotated[int, typer.Option("-k", metavar="K", min=1, help="How many images to find.")] = 10,
    codes: Annotated[
        Literal["auto", "codec", "embedder"],
        typer.Option(help="Whose codes: the embedder's if the archive has one, or as said."),
    ] = "auto",
    at: At = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the images most like a picture.

    Prints rank, distance, id and label, the nearest first.

    Example:
      kinpack search photos.kin query.jpg -k 5
      kinpack search photos.kin id:beach/03.jpg
    """
    from kinpack.archive.archive import Archive

    with Archive.open(archive, at=at) as opened:
        name = query.removeprefix("id:")
        asked = name if query.startswith("id:") else load_image(query)
        hits = opened.search(asked, k, codes=codes)
    rows = [
        {"rank": rank, "distance": hit.distance, "id": hit.id, "label": hit.label}
        for rank, hit in enumerate(hits, start=1)
    ]
    width = max((len(shown(hit.id)) for hit in hits), default=0)
    lines = (
        f"{rank:3}  {hit.distance:10.4f}  {shown(hit.id):{width}}  {shown(hit.label or '-')}"
        for rank, hit in enumerate(hits, start=1)
    )
    Report(json=json, quiet=quiet).result(rows, lines)


def info(
    target: Annotated[
        str,
        typer.Argument(
            metavar="ARCHIVE|CODEC|EMBEDDER",
            help="An archive; a .kinc or .kine file, or the name of one that ships.",
        ),
    ],
    at: At = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Describe an archive, or tell how a codec or an embedder was made.

    Example:
      kinpack info photos.kin
      kinpack info classic
    """
    from kinpack.archive.archive import Archive
    from kinpack.archive.opening import is_sealed
    from kinpack.codec import embedder
    from kinpack.codec.codec import SHIPPED, SUFFIX, Codec, describe

    is_file = Path(target).is_file() and not is_sealed(Path(target))
    unnamed = target in embedder.SHIPPED and not Path(target).exists()
    if unnamed or target.endswith(embedder.SUFFIX):
        made = embedder.describe(embedder.Embedder.load(target))
        facts = {key: made[key] for key in ("name", "embedder_id", "embedder_bytes")} | made
    elif target in SHIPPED or target.endswith(SUFFIX) or is_file:
        made = describe(Codec.load(target))
        facts = {key: made[key] for key in ("name", "codec_id", "codec_bytes")} | made
    else:
        with Archive.open(target, at=at) as opened:
            facts = opened.info()
    lines = columns((key.replace("_", " "), value) for key, value in facts.items())
    Report(json=json, quiet=quiet).result(facts, lines)


def verify(
    archive: ArchiveArgument,
    deep: Annotated[bool, typer.Option("--deep", help="Decode every image, too.")] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Check every byte of an archive.

    Prints a line for each problem, and exits with 1 if there is any.

    Example:
      kinpack verify photos.kin --deep
    """
    from kinpack.archive.verify import verify as verify_archive

    report = Report(json=json, quiet=quiet)
    with report.meter("verifying", None) as meter:
        found = verify_archive(archive, deep=deep, progress=meter.advance)
    notes = [] if quiet else [f"note: {note}" for note in found.notes]
    facts = {"ok": found.ok, **asdict(found)}
    report.result(facts, map(one_line, found.problems + notes))
    if not found.ok:
        count = len(found.problems)
        raise ArchiveError(
            f"{shown(archive)}: {count} problem{'s' * (count > 1)} found; restore from a copy what "
            "is damaged or missing"
        )
    read = "decoded" if deep else "checked"
    report.say(f"{shown(archive)} is whole: {found.images:,} images {read}, {found.bytes:,} bytes")


def ls(
    archive: ArchiveArgument,
    label: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only images of this label.")
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="At most so many.")] = None,
    at: At = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """List images.

    Prints pixels, bytes of the payload, label and id.

    Example:
      kinpack ls photos.kin --label beach --limit 20
    """
    from kinpack.archive.archive import Archive

    with Archive.open(archive, at=at) as opened:
        entries = (entry for entry in opened.entries() if label in (None, entry.label))
        chosen = islice(entries, limit)
        rows: list[dict[str, Any]] = []
        if json:
            rows = [{**asdict(entry), "kind": entry.kind.name.lower()} for entry in chosen]
        lines = (
            f"{f'{one.width}×{one.height}':>11} {one.length:>9,}  {shown(one.label or '-'):12}  "
            f"{shown(one.id)}"
            for one in chosen
        )
        Report(json=json, quiet=quiet).result(rows, lines)


def _warn_of_broken(report: Report, added: AddReport) -> None:
    for _, reason in added.broken:
        report.warn(f"left out: {reason}")


def _report_added(report: Report, archive: Archive, added: AddReport) -> None:
    facts = archive.info()
    images, n_bytes = facts["images"], facts["bytes_on_disk"]
    words = [f"{added.added:,} images added"]
    words += [f"{added.replaced:,} replaced"] if added.replaced else []
    words += [f"{added.skipped:,} skipped that were there"] if added.skipped else []
    words += [f"{len(added.broken):,} left out that cannot be read"] if added.broken else []
    broken = [{"id": name, "reason": reason} for name, reason in added.broken]
    if added.lowest_psnr is not None and added.mean_psnr is not None:
        words += [f"PSNR at least {added.lowest_psnr:.2f} dB, {added.mean_psnr:.2f} dB on average"]
    asked = facts.get("asked", {}).get("max_bytes")
    within = f" of {asked:,} allowed, beside the codec's {facts['codec_bytes']:,}" if asked else ""
    report.done(
        {**asdict(added), "broken": broken, **facts},
        f"{shown(archive.path)}: {', '.join(words)}; {images:,} images in {n_bytes:,} bytes"
        f"{within}, {facts['bytes_per_image']:,.1f} an image",
    )
