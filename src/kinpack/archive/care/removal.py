"""Removal: images marked as deleted, by their ids or their label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.errors import NotFoundError

if TYPE_CHECKING:
    from kinpack.archive.care.purging import PurgeReport


@dataclass(frozen=True, slots=True)
class RemoveReport:
    """What came of deleting.

    Attributes:
        removed: images that were deleted.
        purged: what was removed for good, where that was asked for.
    """

    removed: int
    purged: PurgeReport | None = None


def removal(
    base: Snapshot, ids: Sequence[str], label: str | None, *, where: str
) -> tuple[Manifest | None, int]:
    """The revision after one, without some of its images.

    Args:
        base: the revision.
        ids: of images to leave out.
        label: all images of it are left out, too.
        where: the archive's name for messages.

    Returns:
        The manifest, ``None`` if nothing was to be left out; and how many images were.

    Raises:
        NotFoundError: an id is not there, or no image of the label.
    """
    positions = {base.position(name) for name in ids}
    if label is not None:
        of_label = [place for place, one in enumerate(base.labels()) if one == label]
        if not of_label:
            raise NotFoundError(
                f"{where}: it holds no image of the label {label!r}; list its images with: "
                "kinpack ls ARCHIVE"
            )
        positions.update(of_label)
    if not positions:
        return None, 0
    change = {"verb": "remove", "removed": len(positions)}
    return base.manifest.following(base.without(positions), change), len(positions)
