"""Groups as strips of pictures: the kept image first, what was told below."""

from __future__ import annotations

from kinpack.archive.duplicates.report import DuplicateReport, Group
from kinpack.archive.showing.tiles import Strip, Tile
from kinpack.errors import shown


def strips_of(report: DuplicateReport) -> list[Strip]:
    """A strip for each group of a report."""
    return [Strip("", _tiles(group)) for group in report.groups]


def _tiles(group: Group) -> list[Tile]:
    found = [Tile(group.kept, (shown(group.kept), "kept"))]
    for one in group.others:
        told = one.band if one.band == "exact" else f"{one.band} {one.similarity:.2f}"
        found.append(Tile(one.id, (shown(one.id), told, ", ".join(one.changes)), one.band))
    return found
