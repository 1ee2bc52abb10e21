"""Removal: images marked as deleted, by their ids, patterns of them, or their label."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import translate

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.revisions.snapshot import Snapshot
from kinpack.errors import NotFoundError


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which images are meant: those that meet all that is asked.

    Attributes:
        ids: of the images, or patterns of a shell, in which ``*`` stands for any characters, "/"
            too; what is the id of an image is no pattern. ``None`` for any.
        label: theirs, ``None`` for any.
    """

    ids: Sequence[str] | None = None
    label: str | None = None

    def positions(self, base: Snapshot) -> set[int]:
        """The positions of the images in a revision.

        Raises:
            NotFoundError: an id is not there, no image matches a pattern or has the label, or none
                meets all that is asked.
        """
        found = None if self.ids is None else self._of_ids(base, self.ids)
        if self.label is None:
            return found or set()
        labelled = {place for place, one in enumerate(base.labels()) if one == self.label}
        if not labelled:
            raise no_label(base, self.label)
        both = labelled if found is None else labelled & found
        if found and not both:
            raise NotFoundError(
                f"{base.where}: none of the {len(found):,} images has the label {self.label!r}; "
                "leave the label out, or name others"
            )
        return both

    @staticmethod
    def _of_ids(base: Snapshot, ids: Sequence[str]) -> set[int]:
        patterns = [one for one in ids if is_pattern(one) and one not in base]
        named = {base.position(one) for one in ids if one not in patterns}
        for pattern in patterns:
            matches = re.compile(translate(pattern)).match
            matching = {place for place, name in enumerate(base.ids()) if matches(name)}
            if not matching:
                raise NotFoundError(
                    f"{base.where}: no id matches {pattern!r}; list its ids with: "
                    "kinpack ls ARCHIVE"
                )
            named |= matching
        return named


def no_label(base: Snapshot, label: str) -> NotFoundError:
    """What is said where no image has a label."""
    return NotFoundError(
        f"{base.where}: it holds no image of the label {label!r}; list its images with: kinpack ls "
        "ARCHIVE"
    )


def is_pattern(text: object) -> bool:
    """Tell whether a text is a pattern, if it is the id of no image."""
    return isinstance(text, str) and any(mark in text for mark in "*?[")


def removal(base: Snapshot, chosen: Selection) -> tuple[Manifest | None, int]:
    """The revision after one, without some of its images.

    Args:
        base: the revision.
        chosen: the images to leave out.

    Returns:
        The manifest, ``None`` if nothing was to be left out; and how many images were.

    Raises:
        NotFoundError: as ``Selection.positions``.
    """
    positions = chosen.positions(base)
    if not positions:
        return None, 0
    change = {"verb": "remove", "removed": len(positions)}
    return base.manifest.following(base.without(positions), change), len(positions)
