"""The commands that show archives in a browser: view, serve."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, TypeAlias

import typer

import kinpack
from kinpack.cli.options import ArchiveArgument, At, Output
from kinpack.cli.reporting import Report
from kinpack.errors import shown

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
        f"{shown(output)}: a page of {facts['images']:,} images, {n_bytes:,} bytes; "
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

    options = ServeOptions(host=host, port=port, names=tuple(allow_host or ()), token=token, views=_named(views)
    )

    def ready(addresses: list[str]) -> None:
        report.record({"addresses": addresses}, [f"serving {one}" for one in addresses])

    with suppress(KeyboardInterrupt):  # which is how it is meant to end
        serve(archives, options, ready=ready)


def _named(views: list[str] | None) -> tuple[str, ...]:
    """The views that are asked for by name, or all."""
    from kinpack.web.views import VIEWS

    return VIEWS if views and "all" in views else tuple(views or ())
