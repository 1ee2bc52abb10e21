"""The commands that show a collection at a glance: cluster, map and gram."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

import kinpack
from kinpack.cli.options import ArchiveArgument, At, Force
from kinpack.cli.reporting import Report
from kinpack.cli.showing import Html, Sheet, refuse_looks, refuse_places, write_looks, write_picture
from kinpack.errors import counted, shown

if TYPE_CHECKING:
    from kinpack.archive.overviews.gram import Gram

Codes: TypeAlias = Annotated[
    str,
    typer.Option(metavar="NAME", help="By which codes, as info names them; auto for the first."),
]
SHOWN = 24
"""Images of a cluster on a page, the nearest to its centre; on a sheet as many as fit."""
CLASSES = 12
"""Most classes whose matrix is printed."""


def cluster(
    report: Report,
    archive: ArchiveArgument,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many clusters.")] = 20,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write a row an image to a .csv file."),
    ] = None,
    sheet: Sheet = None,
    html: Html = None,
    codes: Codes = "auto",
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the first centres.")] = 0,
    force: Force = False,
    at: At = None,
) -> None:
    """Group images by what their codes say of them.

    Prints each cluster's size, and the image nearest to its centre. This needs the extra
    kinpack[fast].

    Example:
      kinpack cluster photos.kin -n 3 --html clusters.html
    """
    from kinpack.archive.overviews.clustering import clusters_of, rows_of, strips_of
    from kinpack.archive.stores.staged_file import staged_file

    refuse_places(output, force=force)
    refuse_looks(sheet, html, force=force)
    if output is not None and output.suffix.lower() != ".csv":
        raise typer.BadParameter(f"{output}: clusters are written to a .csv file")
    with kinpack.Archive.open(archive, at=at) as opened:
        found = clusters_of(opened, n, codes=codes, seed=seed)
        write_looks(
            strips_of(found, most=SHOWN),
            opened.read,
            title=f"{shown(archive)}: {counted(len(found), 'cluster')}",
            sheet=sheet,
            html=html,
            force=force,
        )
    if output is not None:
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, ("cluster", "id", "rank"), lineterminator="\n")
        table.writeheader()
        table.writerows(rows_of(found))
        with staged_file(output, replace=force) as staged:
            staged.write(text.getvalue().encode("utf-8", "backslashreplace"))
    report.result(
        [one.to_dict() for one in found],
        (
            f"{one.number:4}  {len(one.ids):7,} image{' s'[len(one.ids) > 1]}  {shown(one.ids[0])}"
            for one in found
        ),
    )


def map_(
    report: Report,
    archive: ArchiveArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The picture, such as a .png.")
    ],
    codes: Codes = "auto",
    force: Force = False,
    at: At = None,
) -> None:
    """Draw images in a plane, near each other where codes are alike.

    The plane is that of the two directions in which codes differ most (principal components).

    Example:
      kinpack map photos.kin -o map.png
    """
    from kinpack.archive.overviews.mapping import draw_map, map_of

    refuse_looks(output, None, force=force)
    with kinpack.Archive.open(archive, at=at) as opened:
        layout = map_of(opened, codes=codes)
        write_picture(draw_map(layout, opened.read), output, force=force)
    places = [
        {"id": id_, "x": round(x, 5), "y": round(y, 5)}
        for id_, (x, y) in zip(layout.ids, layout.places.tolist(), strict=True)
    ]
    report.done(
        {"share": layout.share, "images": places},
        f"{shown(output)}: {counted(len(places), 'image')}; the plane holds {layout.share:.0%} "
        "of what tells their codes apart",
    )


def gram(
    report: Report,
    archive: ArchiveArgument,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Draw it as a picture, such as a .png"),
    ] = None,
    codes: Codes = "auto",
    force: Force = False,
    at: At = None,
) -> None:
    """Tell how alike images within and between classes are.

    Prints the Gram matrix of the classes: mean cosines, 1 for the same, about 0 for strangers.

    Example:
      kinpack gram photos.kin -o gram.png
    """
    from kinpack.archive.overviews.gram import draw_gram, gram_of

    refuse_looks(output, None, force=force)
    with kinpack.Archive.open(archive, at=at) as opened:
        found = gram_of(opened, codes=codes)
    if output is not None:
        write_picture(draw_gram(found), output, force=force)
    report.result(found.to_dict(), _lines(found))


def _lines(found: Gram) -> Iterator[str]:
    width = max(len(shown(name)) for name in found.classes)
    rows = zip(found.classes, found.counts.tolist(), found.matrix.tolist(), strict=True)
    for name, count, row in list(rows)[:CLASSES]:
        cells = " ".join("    –" if v != v else f"{v:5.2f}" for v in row[:CLASSES])
        yield f"{shown(name):{width}}  {count:7,}  {cells}"
    if len(found.classes) > CLASSES:
        more = len(found.classes) - CLASSES
        yield f"and {more:,} {'class' if more == 1 else 'classes'} more, all in --json"
