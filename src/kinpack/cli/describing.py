"""The commands on codes and what makes them: embed, learn-code, describer rm, make and words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

import kinpack
from kinpack.cli.options import (
    ArchiveArgument,
    EngineOption,
    Force,
    Jobs,
    Output,
    Threads,
    refuse_existing,
)
from kinpack.cli.reporting import Report
from kinpack.errors import counted, shown
from kinpack.search.distances.distance import SearchError

ENOUGH = 300
"""Images of which bits are told: fewer cannot use all words."""


def embed(
    report: Report,
    archive: ArchiveArgument,
    describer: Annotated[
        str | None,
        typer.Option(
            metavar="DESCRIBER",
            help="What makes the codes: look, photo, classic, or a .kine file.  [default: the "
            "describer of these codes that the archive has]",
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="What to call the codes.  [default: the describer's name]"
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Make codes of vectors in place of pictures: .npy in the order of ls, .npz with "
            "ids and vectors, .parquet with id and vector.",
        ),
    ] = None,
    fine: Annotated[
        bool,
        typer.Option(
            "--fine", help="Keep 32 bytes an image more, by which the first 100 are ordered anew."
        ),
    ] = False,
    jobs: Jobs = None,
    engine: EngineOption = "processes",
    threads: Threads = None,
) -> None:
    """Give an archive's images codes to be searched by.

    One commit adds them, or replaces those of the same name; payloads stay as they are. Without a
    describer it gives codes to the images that have none yet.

    Example:
      kinpack embed photos.kin --describer kin
      kinpack embed photos.kin --vectors clip.npz --as clip
      kinpack search photos.kin query.jpg --codes kin
    """
    if vectors is not None and (describer or name is None):
        raise typer.BadParameter("--vectors goes with --as, and without --describer")
    with kinpack.Archive.open(archive) as opened:
        if vectors is not None and name is not None:
            from kinpack.sources.vectors import read_vectors

            given = read_vectors(vectors, opened.ids)
            done = opened.embed_vectors(given, name=name, fine=fine, note=vectors.name)
        else:
            with report.meter("describing", len(opened) * (1 + fine)) as meter:
                done = opened.embed(
                    describer,
                    name=name,
                    fine=fine,
                    progress=meter.advance,
                    threads=threads,
                    jobs=jobs,
                    engine=engine,
                )
    report.done(
        {"codes": done.name, "coded": done.coded, "images": done.images},
        f"{shown(archive)}: {counted(done.coded, 'image')} got codes {done.name!r}, "
        f"{done.images:,} {'has' if done.images == 1 else 'have'} one",
    )


def learn_code(
    report: Report,
    archive: ArchiveArgument,
    codes: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Whose describer to begin with, as info names it; auto for the first.",
        ),
    ] = "auto",
    name: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="NAME", help="What to call the new codes.  [default: as the former]"
        ),
    ] = None,
    threads: Threads = None,
) -> None:
    """Learn a code of an archive's own pictures.

    It helps where the usual code tells few of them apart. The describer's network stays; its books
    are learned anew, and every image gets a code of them.

    Example:
      kinpack learn-code photos.kin
      kinpack learn-code photos.kin --codes look --as own
    """
    with kinpack.Archive.open(archive) as opened:
        with report.meter("describing", 2 * len(opened)) as meter:
            done = opened.learn_code(codes, name=name, progress=meter.advance, threads=threads)
        bits = opened.bits_used(done.name)
        whole = bits_of(opened.describers[done.name])
    report.done(
        {"codes": done.name, "images": done.images, "bits_used": round(bits, 1), "bits": whole},
        f"{shown(archive)}: {counted(done.images, 'image', 'has/have')} codes {done.name!r} of "
        f"the archive's own, which use {bits:.1f} of {whole} bits",
    )


def bits_of(describer: kinpack.Describer) -> int:
    """Bits of a describer's code."""
    books = describer.quantiser
    return round(books.M * math.log2(books.K))


def warn_of_few_bits(report: Report, archive: kinpack.Archive) -> None:
    """Warn of codes that tell few of an archive's pictures apart; not where all is to be quiet."""
    if report.quiet:
        return
    for name, describer in archive.describers.items():
        whole = bits_of(describer)
        images = len(archive.codes_of(name)[0])
        used = archive.bits_used(name) if images >= ENOUGH else whole
        if 2 * used < whole:
            report.warn(
                f"the codes {name!r} use {used:.1f} of {whole} bits on these {images:,} pictures, "
                f"so they tell few of them apart; learn some of their own with: kinpack learn-code "
                f"{shown(archive.path)} --codes {name}"
            )


def rm(
    report: Report,
    archive: ArchiveArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the codes, as info shows it.")],
) -> None:
    """Take a describer and its codes out of an archive.

    Earlier revisions keep them; gc frees their bytes.

    Example:
      kinpack describer rm photos.kin kin
    """
    with kinpack.Archive.open(archive) as opened:
        opened.remove_codes(name)
        left = [entry.name for entry in opened.manifest.describers]
    report.done(
        {"removed": name, "left": left},
        f"{shown(archive)}: codes {name!r} are gone; left are {', '.join(left) or 'none'}",
    )


def make(
    report: Report,
    name: Annotated[Literal["lite0"], typer.Argument(metavar="NAME", help="Which one: lite0.")],
    output: Output,
    force: Force = False,
) -> None:
    """Make a describer of a network that another package brings.

    lite0 is EfficientNet-Lite0, which learned to tell ImageNet's 1,000 classes apart: it finds
    what shows the same sort of thing, and is searched by words. This needs the extra
    kinpack[photo].

    Example:
      kinpack describer make lite0 -o lite0.kine
      kinpack embed photos.kin --describer lite0.kine
      kinpack search photos.kin --words "sailing ship"
    """
    refuse_existing(output, force=force)
    from kinpack.archive.stores.staged_file import staged_file
    from kinpack.learn.lite import make_lite0

    made = make_lite0()
    with staged_file(output, replace=force) as file:
        file.write(made.to_bytes())
    report.done(
        {"describer": name, "describer_id": made.describer_id, "bytes": made.n_bytes},
        f"{shown(output)}: {made.n_bytes:,} bytes, {counted(len(made.words.words), 'word')}",
    )


def words(
    report: Report,
    target: Annotated[
        str,
        typer.Argument(metavar="ARCHIVE|DESCRIBER", help="An archive, or a .kine file."),
    ],
) -> None:
    """List the words that pictures are found by.

    Each line has the names of one meaning, any of which may be searched for, and how many classes
    are counted among it.

    Example:
      kinpack describer words lite0.kine
      kinpack describer words photos.kin
    """
    from kinpack.networks.container import DESCRIBER_FILE

    if target in DESCRIBER_FILE.shipped or target.endswith(DESCRIBER_FILE.suffix):
        known = kinpack.Describer.load(target).words
    else:
        with kinpack.Archive.open(target) as opened:
            made = opened.describers.values()
            found = next((one.vocabulary for one in made if one.vocabulary), None)
        if found is None:
            raise SearchError(f"{shown(target)}: no codes of it know words")
        known = found
    rows = [{"names": list(word.names), "classes": len(word.classes)} for word in known.words]
    lines = (f"{', '.join(word.names)}  {len(word.classes)}" for word in known.words)
    report.result(rows, lines)
