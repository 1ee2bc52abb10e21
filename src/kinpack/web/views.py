"""What the page shows beside the grid: overviews of an archive, as data that lie beside it."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from kinpack.archive.archive import Archive
from kinpack.archive.overviews.clustering import clusters_of
from kinpack.archive.overviews.costs import costs_of
from kinpack.archive.overviews.mapping import map_of
from kinpack.errors import ArchiveError

View: TypeAlias = Literal["map", "clusters", "duplicates", "cost"]
"""An overview that the page can show."""
VIEWS: tuple[View, ...] = get_args(View)

CLUSTERS = 20
"""How many clusters are shown."""
_REACH = 65535  # of a place on the map


def check_views(views: Collection[str]) -> tuple[View, ...]:
    """Give the views of these names, in the order in which the page has them.

    Raises:
        ArchiveError: there is no such view.
    """
    for name in views:
        if name not in VIEWS:
            raise ArchiveError(f"there is no view {name!r}; ask for some of {', '.join(VIEWS)}")
    return tuple(view for view in VIEWS if view in views)


def view_data(archive: Archive, view: View) -> bytes:
    """Compute a view of an archive's revision, as JSON; images are told by their positions.

    Raises:
        SearchError: it has no codes, which all views but the cost need.
        MissingExtraError: clusters need faiss, which is not installed.
        ArchiveError: the archive has no images, or a file of it is missing or damaged.
    """
    made = {"map": _map, "clusters": _clusters, "duplicates": _duplicates, "cost": _cost}[view]
    head = {"revision": archive.manifest.number, "images": len(archive)}
    return json.dumps({**head, **made(archive)}, separators=(",", ":")).encode()


def _positions(archive: Archive) -> dict[str, int]:
    return {id_: position for position, id_ in enumerate(archive.ids)}


def _usual(archive: Archive) -> str:
    """The name of the column of codes that overviews are made of."""
    return archive.manifest.describers[0].name


def _map(archive: Archive) -> dict[str, Any]:
    layout = map_of(archive)
    places = np.rint(layout.places.astype(np.float64) * _REACH).astype(int)
    positions = None
    if len(layout.ids) < len(archive):
        every = _positions(archive)
        positions = [every[id_] for id_ in layout.ids]
    x, y = places.T.tolist()
    told = {"codes": _usual(archive), "share": round(layout.share, 4)}
    return {**told, "positions": positions, "x": x, "y": y}


def _clusters(archive: Archive) -> dict[str, Any]:
    every = _positions(archive)
    clusters = [[every[id_] for id_ in one.ids] for one in clusters_of(archive, CLUSTERS)]
    return {"codes": _usual(archive), "clusters": clusters}


def _duplicates(archive: Archive) -> dict[str, Any]:
    every = _positions(archive)
    groups = []
    for group in archive.duplicates().groups:
        told = group.to_dict()
        others = [{"position": every[one.pop("id")], **one} for one in told["others"]]
        groups.append({"band": group.band, "kept": every[group.kept], "others": others})
    return {"groups": groups}


def _cost(archive: Archive) -> dict[str, Any]:
    return costs_of(archive).to_dict()
