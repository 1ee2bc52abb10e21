"""A page: strips of tiles as one file of HTML, with its pictures inside and nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

from kinpack.archive.showing.tiles import Read, Strip, Tile, reduced
from kinpack.pictures.picture_writing import Format, encode_image

SIDE = 240
"""Longest side of a picture on a page, in pixels."""
TILES = 2000
"""Most pictures on a page: at some 15 kB each, 30 MB."""

_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --edge: light-dark(#d8d8d8, #444); --ink: light-dark(#111, #eee);
 --exact: light-dark(#0a7d32, #6fd58f); --same: light-dark(#1456b8, #8db8ff);
 --alike: light-dark(#a15c00, #ffbe70); }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5rem; color: var(--ink); }}
h1 {{ font-size: 1.2rem; }}
h2 {{ font-size: 1rem; margin: 1.5rem 0 .5rem; overflow-wrap: anywhere; }}
.strip {{ display: grid; gap: .75rem; padding: 0; margin: 0; list-style: none;
 grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }}
figure {{ margin: 0; }}
.frame {{ aspect-ratio: 1; display: flex; align-items: center; justify-content: center;
 border: 1px solid var(--edge); border-radius: 4px; overflow: hidden; }}
img {{ max-width: 100%; max-height: 100%; }}
figcaption {{ font-size: .8rem; overflow-wrap: anywhere; }}
figcaption span {{ display: block; }}
.exact span + span {{ color: var(--exact); }}
.same span + span {{ color: var(--same); }}
.alike span + span {{ color: var(--alike); }}
</style>
</head>
<body>
<h1>{title}</h1>
"""


def page(title: str, strips: Sequence[Strip], read: Read) -> Iterator[str]:
    """Write strips as a page that needs no other file.

    Args:
        title: of the page.
        strips: what it shows, as far as ``TILES`` pictures go; the rest is counted.
        read: gives an image by its id.

    Yields:
        The page, part by part. All texts are escaped; a damaged image says so.
    """
    yield _HEAD.format(title=escape(title))
    left = TILES
    for strip in strips:
        if strip.title:
            yield f"<h2>{escape(strip.title)}</h2>\n"
        yield '<ul class="strip">\n'
        for tile in strip.tiles[:left]:
            yield f"<li>{_figure(tile, read)}</li>\n"
        left -= min(left, len(strip.tiles))
        yield "</ul>\n"
    more = sum(len(strip.tiles) for strip in strips) - TILES
    if more > 0:
        yield f"<p>and {more:,} more</p>\n"
    yield "</body>\n</html>\n"


def _figure(tile: Tile, read: Read) -> str:
    name = escape(tile.lines[0] if tile.lines else "")
    small = reduced(tile, read, side=SIDE)
    if small is None:
        inside = "<small>damaged</small>"
    else:
        # PNG keeps transparency, and edges of small drawings; photographs take a tenth as JPEG.
        kind: Format = "png" if small.shape[2] == 4 or max(small.shape[:2]) <= 64 else "jpeg"
        data = base64.b64encode(encode_image(small, format=kind, where=name)).decode()
        inside = f'<img src="data:image/{kind};base64,{data}" alt="{name}">'
    lines = "".join(f"<span>{escape(line)}</span>" for line in tile.lines)
    return (
        f'<figure><div class="frame">{inside}</div>'
        f'<figcaption class="{escape(tile.tone)}">{lines}</figcaption></figure>'
    )
