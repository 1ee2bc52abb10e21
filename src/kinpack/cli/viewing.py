"""The commands that show archives in a browser: view, serve, demo."""

from __future__ import annotations

import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

import kinpack
from kinpack.cli.options import ArchiveArgument, At, Output
from kinpack.cli.reporting import Report
from kinpack.errors import counted, shown

Views: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--with", metavar="VIEW", help="Show also the map, clusters, duplicates or cost; or all."
    ),
]


def view(
    report: Report,
    archive: ArchiveArgument,
    output: Output,
    title: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Of the page.  [default: the archive's name]"),
    ] = None,
    views: Views = None,
    at: At = None,
) -> None:
    """Write a page that shows an archive, the archive beside it.

    The folder works on any web server that gives parts of files; the browser reads, decodes and
    searches the archive itself, and asks no other host. What --with names is computed now, and lies
    beside the page as data. Clusters need the extra fast.

    Example:
      kinpack view photos.kin -o site
      kinpack view photos.kin -o site --with map --with duplicates
    """
    from kinpack.web.site import view as write_site

    with (
        kinpack.Archive.open(archive, at=at) as opened,
        report.meter("making the site", len(opened)) as meter,
    ):
        n_bytes = write_site(
            opened,
            output,
            title=title,
            views=_named(views),
            progress=meter.advance,
            told=meter.move,
        )
        facts = {"images": len(opened), "bytes": n_bytes, "folder": str(output)}
    report.done(
        facts,
        f"{shown(output)}: a page of {counted(len(opened), 'image')}, {n_bytes:,} bytes; "
        "put it on a web server",
    )


def serve(
    report: Report,
    archives: Annotated[
        list[str], typer.Argument(metavar="ARCHIVE", help="Archives, of any form.")
    ],
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Listen there; others than this machine need the token that is printed.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="N", min=0, max=65535, help="0 takes any that is free.")
    ] = 8765,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name that the server is reached by."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What requests must carry.", envvar="KINPACK_TOKEN"),
    ] = None,
    views: Views = None,
) -> None:
    """Serve archives over HTTP: pictures, searches and a page.

    Nothing is changed. Only this machine can ask, unless --host says otherwise. Ctrl-C ends it.
    This needs the extra serve.

    Example:
      kinpack serve photos.kin
    """
    from kinpack.web.serving import ServeOptions, serve

    options = ServeOptions(
        host=host, port=port, names=tuple(allow_host or ()), token=token, views=_named(views)
    )

    def ready(addresses: list[str]) -> None:
        report.record({"addresses": addresses}, [f"serving {one}" for one in addresses])

    with suppress(KeyboardInterrupt):  # which is how it is meant to end
        serve(archives, options, ready=ready)


def demo(
    report: Report,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Where to.  [default: kinpack-demo]")
    ] = None,
    each: Annotated[
        int, typer.Option("-n", metavar="N", min=1, help="Pictures of each of eight kinds.")
    ] = 24,
    look: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in a browser, until Ctrl-C.")
    ] = True,
) -> None:
    """Draw pictures, pack and search them, and open a page of them.

    Needs no pictures of yours: some two hundred are drawn by chance.

    Example:
      kinpack demo
    """
    from kinpack.demo.demonstration import (
        ARCHIVE,
        QUERY,
        SITE,
        demonstrate,
        free_folder,
        has_screen,
    )
    from kinpack.demo.pictures import Drawings
    from kinpack.web.static_server import serving_folder

    place = free_folder(folder)
    with report.meter("demonstrating", 100) as meter:
        made = demonstrate(place, Drawings(each=each), told=meter.move)
    a_picture = made.archive_bytes / made.images
    facts = {
        "folder": str(place),
        "images": made.images,
        "png_bytes": made.png_bytes,
        "payload_bytes": made.payload_bytes,
        "archive_bytes": made.archive_bytes,
        "hits": [hit.id for hit in made.hits],
    }
    report.done(
        facts,
        f"{shown(place)}: {made.images:,} drawings, {made.png_bytes:,} bytes as PNG files, "
        f"{made.archive_bytes:,} in an archive: {a_picture:,.0f} a picture",
    )
    archive = shown(place / ARCHIVE)
    report.say(f"like {shown(place / QUERY)}: {', '.join(shown(hit.id) for hit in made.hits)}")
    report.say(f"try: kinpack search {archive} {shown(place / QUERY)}; kinpack info {archive}")
    if not look or not has_screen():
        report.say(
            f"see it: put {shown(place / SITE)} on any web server, or: kinpack serve {archive}"
        )
        return
    with serving_folder(place / SITE) as address, suppress(KeyboardInterrupt):
        report.say(f"the page is {address}; Ctrl-C ends it")
        webbrowser.open(address)
        while True:
            time.sleep(3600)


def _named(views: list[str] | None) -> tuple[str, ...]:
    """The views that are asked for by name, or all."""
    from kinpack.web.views import VIEWS

    return VIEWS if views and "all" in views else tuple(views or ())
