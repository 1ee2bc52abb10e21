"""The command search: words of the command line become a query, its hits lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import kinpack
from kinpack.cli.options import ArchiveArgument, At, Force, Where, paths
from kinpack.cli.reporting import Report, known
from kinpack.cli.showing import Html, Sheet, refuse_looks, write_looks
from kinpack.column_types import json_value
from kinpack.errors import ImageError, KinpackError, counted, shown
from kinpack.pictures.images import load_image, to_pil
from kinpack.search.hit import Hit
from kinpack.search.query import READ_SIDE, Example, Query

if TYPE_CHECKING:
    from kinpack.archive.showing.tiles import Strip

_ID = "id:"
"""What an example begins with that is the id of an image inside."""


def search(
    report: Report,
    archive: ArchiveArgument,
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="QUERY",
            help="A picture file, or id:NAME of an image inside; several find what is near to all.",
            autocompletion=paths,
        ),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(
            metavar="EXAMPLE",
            help="A picture file or id:NAME that shows what is not sought; may be repeated.",
        ),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="In place of QUERY: what images are to show, by a name that describer words "
            "lists.",
        ),
    ] = None,
    vector: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="In place of QUERY: a vector, in a .npy file."),
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="In place of QUERY: every picture in a folder, one search each; with --json a "
            "line each.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only images of this label; may be repeated."),
    ] = None,
    id_prefix: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Only images whose ids begin so.")
    ] = None,
    min_width: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only images of N pixels across or more.")
    ] = None,
    max_width: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only images of N pixels across or less.")
    ] = None,
    min_height: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only images of N pixels down or more.")
    ] = None,
    max_height: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Only images of N pixels down or less.")
    ] = None,
    where: Where = None,
    within: Annotated[
        float | None, typer.Option(metavar="D", help="Only hits of this distance or less.")
    ] = None,
    k: Annotated[int, typer.Option("-k", metavar="K", min=1, help="How many images to find.")] = 10,
    offset: Annotated[
        int, typer.Option(metavar="N", min=0, help="Leave out the first N hits.")
    ] = 0,
    distinct: Annotated[
        bool,
        typer.Option("--distinct", help="Of hits that show the same picture, tell the first only."),
    ] = False,
    codes: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Which codes to compare, as info names them, or several with a weight each, as "
            "look:1,classic:0.5; auto for the first, with --words for the first that knows words.",
        ),
    ] = "auto",
    compare: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Draw the nearest N and compare them with the query; by default 30 with a picture "
            "file, none with an image inside.",
        ),
    ] = None,
    sheet: Sheet = None,
    html: Html = None,
    force: Force = False,
    at: At = None,
) -> None:
    """Find the images most like a picture, or most like several.

    Prints rank, distance, similarity, id, label, and columns that were added: first those that show
    the very picture, the most similar first, then the nearest first. A similarity after ~ is told
    from the distance alone. Of words, the distance is minus the logarithm of how far the
    describer's classifier believes that an image shows them.

    Example:
      kinpack search photos.kin query.jpg -k 5
      kinpack search photos.kin id:beach/03.jpg id:beach/04.jpg --unlike id:forest/01.png
      kinpack search photos.kin query.jpg --label beach --min-width 200 --within 0.5
      kinpack search photos.kin query.jpg --where "date >= '2020-01-01' AND camera LIKE 'X%'"
      kinpack search photos.kin --words "sailing ship"
      kinpack search photos.kin --batch queries --json
      kinpack search photos.kin query.jpg --html hits.html
    """
    if sum(given is not None for given in (query or None, words, vector, batch)) != 1:
        raise typer.BadParameter("give a QUERY; or --words, --vector or --batch in its place")
    refuse_looks(sheet, html, force=force)
    fields: dict[str, Any] = {
        "unlike": tuple(map(_example, unlike or ())),
        "labels": label or None,
        "id_prefix": id_prefix,
        "min_width": min_width,
        "max_width": max_width,
        "min_height": min_height,
        "max_height": max_height,
        "within": within,
        "k": k,
        "offset": offset,
        "distinct": distinct,
        "codes": codes,
        "compare": compare,
    }
    if batch is not None:
        with kinpack.Archive.open(archive, at=at) as opened:
            fields["where"] = None if where is None else opened.sql_filter(where)
            strips: list[Strip] | None = None if sheet is html is None else []
            try:
                _search_all(report, opened, batch, fields, strips)
            finally:
                if strips:
                    title = f"{shown(archive)}: {len(strips):,} searches"
                    write_looks(
                        strips, opened.read, title=title, sheet=sheet, html=html, force=force
                    )
        return
    if vector is not None:
        from kinpack.sources.vectors import read_vector

        fields["vector"] = read_vector(vector)
    asked = Query(like=tuple(map(_example, query or ())), words=words, **fields)
    with kinpack.Archive.open(archive, at=at) as opened:
        if where is not None:
            asked = replace(asked, where=opened.sql_filter(where))
        hits = opened.search(asked)
        if sheet is not None or html is not None:
            strip = _strip(query or ([] if words is None else [words]), asked.liked, hits)
            write_looks(
                [strip],
                opened.read,
                title=f"{shown(archive)}: {counted(len(hits), 'hit')}",
                sheet=sheet,
                html=html,
                force=force,
                wrapped=True,
            )
    report.result(_rows(hits, asked), _lines(hits, asked))


def _example(text: str) -> Example:
    """The example that a word of the command line names."""
    if text.startswith(_ID):
        return text.removeprefix(_ID)
    try:
        return load_image(text, size=READ_SIDE)
    except ImageError as error:
        if os.path.lexists(text):
            raise
        raise ImageError(
            f"{error}; an image that the archive holds is named {shown(_ID + text)}"
        ) from error


def _strip(named: Sequence[str], examples: Sequence[Example], hits: Sequence[Hit]) -> Strip:
    """What was looked for, as it was named, and what was found, to be looked at."""
    from kinpack.archive.showing.tiles import Tile, of_hits

    tiles = [
        Tile(example, (shown(name.removeprefix(_ID)), "looked for"))
        for name, example in zip(named, examples, strict=False)
    ]
    return of_hits(shown(", ".join(named)), tiles, hits)


def _search_all(
    report: Report,
    archive: kinpack.Archive,
    folder: Path,
    fields: dict[str, Any],
    strips: list[Strip] | None,
) -> None:
    """Search for every picture of a folder; what cannot be read is told at its place.

    Strips to be looked at are appended to a list, where one is given.
    """
    from kinpack.archive.showing.page import SIDE

    source = kinpack.open_source(folder, size=READ_SIDE)
    broken = 0
    with report.meter("searching", len(source)) as meter:
        for item in source:
            try:
                image = item.load()
                asked = Query(like=image, **fields)
            except ImageError as error:
                broken += 1
                report.warn(str(error))
                report.record({"query": item.id, "error": str(error)}, ())
            else:
                hits = archive.search(asked)
                lines = [shown(item.id), *_lines(hits, asked)]
                report.record({"query": item.id, "hits": _rows(hits, asked)}, lines)
                if strips is not None:
                    small = load_image(to_pil(image), size=SIDE)
                    strips.append(_strip([item.id], [small], hits))
            meter.advance(1)
    if broken:
        raise KinpackError(
            f"{shown(folder)}: {broken:,} of {counted(len(source), 'picture')} could not be read; "
            "all others were searched for"
        )


def _rows(hits: Sequence[Hit], asked: Query) -> list[dict[str, Any]]:
    """Hits as JSON values."""
    return [
        {
            "rank": rank,
            "distance": hit.distance,
            "similarity": hit.similarity,
            "compared": hit.compared,
            "id": hit.id,
            "label": hit.label,
            **{name: json_value(value) for name, value in hit.columns.items()},
        }
        for rank, hit in enumerate(hits, start=int(asked.offset) + 1)
    ]


def _lines(hits: Sequence[Hit], asked: Query) -> Iterator[str]:
    """Hits as lines."""
    width = max((len(shown(hit.id)) for hit in hits), default=0)
    for rank, hit in enumerate(hits, start=int(asked.offset) + 1):
        alike = f"{' ' if hit.compared else '~'}{hit.similarity:4.2f}"
        name = f"{shown(hit.id):{width}}"
        label = shown(hit.label or "-")
        yield f"{rank:3}  {hit.distance:10.4f}  {alike}  {name}  {label}{known(hit.columns)}"
