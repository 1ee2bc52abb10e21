"""The page that shows an archive: files that come with the package, built of `web/page`."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
_ARCHIVE = '<meta name="archive" content="archive.kin.zip">'
_VIEWS = '<meta name="views" content="">'
_TITLE = "<title>Images</title>"


def page_files(archive: str, title: str, views: Sequence[str] = ()) -> dict[str, bytes]:
    """Give the files of the page by their names.

    Args:
        archive: the address of the archive, relative to the page: of a sealed one, or with a slash
            at its end of a folder whose files a server lists.
        title: what the page calls it.
        views: what it shows beside the grid; data of each lie beside it.
    """
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir())}
    index = files[INDEX].decode()
    told = _ARCHIVE.replace("archive.kin.zip", html.escape(archive))
    index = index.replace(_ARCHIVE, told).replace(
        _VIEWS, _VIEWS.replace('""', f'"{" ".join(views)}"')
    )
    index = index.replace(_TITLE, f"<title>{html.escape(title)}</title>")
    return {**files, INDEX: index.encode()}
