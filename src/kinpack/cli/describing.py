"""The commands on codes: embed, and describer rm."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import kinpack
from kinpack.cli.options import ArchiveArgument, Threads
from kinpack.cli.reporting import Report
from kinpack.errors import shown


def embed(
    report: Report,
    archive: ArchiveArgument,
    describer: Annotated[
        str | None,
        typer.Option(
            metavar="DESCRIBER",
            help="What makes the codes: look, classic, kin, or a .kine file.  [default: the "
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
        bool, typer.Option("--fine", help="Of vectors, keep 32 bytes an image in place of 8.")
    ] = False,
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
    if fine and vectors is None:
        raise typer.BadParameter("--fine goes with --vectors")
    with kinpack.Archive.open(archive) as opened:
        if vectors is not None and name is not None:
            from kinpack.sources.vectors import read_vectors

            given = read_vectors(vectors, opened.ids)
            books = (32, 256) if fine else (16, 16)
            done = opened.embed_vectors(given, name=name, books=books, note=vectors.name)
        else:
            with report.meter("describing", len(opened)) as meter:
                done = opened.embed(describer, name=name, progress=meter.advance, threads=threads)
    report.done(
        {"codes": done.name, "coded": done.coded, "images": done.images},
        f"{shown(archive)}: {done.coded:,} images got codes {done.name!r}, {done.images:,} "
        "have one",
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
