"""Options --sheet and --html: what was found, written as a picture or as a page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from kinpack.cli.options import refuse_existing
from kinpack.errors import KinpackError, shown
from kinpack.pictures.images import Image
from kinpack.pictures.picture_writing import FORMAT_OF_SUFFIX, encode_image

if TYPE_CHECKING:
    from kinpack.archive.showing.tiles import Strip

Sheet: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Draw what was found as one picture, such as a .png."),
]
Html: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write what was found as one .html file, its pictures inside."
    ),
]


def refuse_places(*files: Path | None, force: bool) -> None:
    """See that files can be written before anything is looked for.

    Raises:
        KinpackError: a file exists and is not to be replaced, or its folder does not.
    """
    for file in files:
        if file is not None:
            refuse_existing(file, force=force)
            if not file.parent.is_dir():
                raise KinpackError(f"{shown(file)}: there is no such folder; make it first")


def refuse_looks(sheet: Path | None, html: Path | None, *, force: bool) -> None:
    """The same of a sheet and a page, and see that they are named so.

    Raises:
        KinpackError: see `refuse_places`.
        typer.BadParameter: an ending stands for something else.
    """
    refuse_places(sheet, html, force=force)
    if sheet is not None and sheet.suffix.lower() not in FORMAT_OF_SUFFIX:
        raise typer.BadParameter(f"{sheet}: a sheet is a .png, .webp or .jpeg file")
    if html is not None and html.suffix.lower() not in {".html", ".htm"}:
        raise typer.BadParameter(f"{html}: a page is a .html file")


def write_picture(image: Image, file: Path, *, force: bool) -> None:
    """Write a picture as its file's ending says.

    Raises:
        ImageError: it is larger than the format holds.
    """
    from kinpack.archive.stores.staged_file import staged_file

    kind = FORMAT_OF_SUFFIX[file.suffix.lower()]
    content = encode_image(image, format=kind, where=shown(file))
    with staged_file(file, replace=force) as staged:
        staged.write(content)


def write_looks(
    strips: Sequence[Strip],
    read: Callable[[str], Image],
    *,
    title: str,
    sheet: Path | None,
    html: Path | None,
    force: bool,
    wrapped: bool = False,
) -> None:
    """Write a sheet, and a page, of strips.

    Args:
        strips: what was found, one at least.
        read: gives an image by its id.
        title: of the page.
        sheet: where the picture goes; None for none.
        html: where the page goes; None for none.
        force: whether files are replaced.
        wrapped: whether a strip goes on in further rows of the sheet.

    Raises:
        ImageError: the sheet is larger than its format holds.
    """
    from kinpack.archive.showing.page import page
    from kinpack.archive.showing.sheet import draw_sheet
    from kinpack.archive.stores.staged_file import staged_file

    if sheet is not None:
        write_picture(draw_sheet(strips, read, wrapped=wrapped), sheet, force=force)
    if html is not None:
        with staged_file(html, replace=force) as staged:
            for part in page(title, strips, read):
                staged.write(part.encode())
