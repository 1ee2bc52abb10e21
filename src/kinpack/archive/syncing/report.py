"""Reports: what syncing found, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kinpack.archive.adding.gathering import AddReport
    from kinpack.archive.syncing.comparing import Comparison


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What came of syncing; of a dry run, what would come of it.

    Attributes:
        unchanged: images whose files are the same.
        new: ids of files that are no image's yet: added, where they can be read.
        changed: ids of images whose files are others by now: replaced, where they can be read.
        renamed: the former and the new id of each image whose file has another name by now.
        touched: ids of images whose files have another time alone, which is noted.
        trusted: ids of images of which nothing was known: size, time and hash of what is taken for
            their files are noted.
        gone: ids of images whose files are there no more.
        removed: whether those are deleted.
        added: what came of adding, ``None`` where nothing was.
        images: that the archive holds afterwards.
    """

    unchanged: int
    new: list[str]
    changed: list[str]
    renamed: list[tuple[str, str]]
    touched: list[str]
    trusted: list[str]
    gone: list[str]
    removed: bool
    added: AddReport | None
    images: int

    @classmethod
    def of(
        cls, found: Comparison, *, removed: bool, images: int, added: AddReport | None = None
    ) -> SyncReport:
        """The report of what was found and done."""
        return cls(
            unchanged=found.unchanged,
            new=found.new,
            changed=[one.id for one in found.replaced],
            renamed=[(one.id, name) for name, one in found.renamed.items()],
            touched=[one.id for one in found.touched],
            trusted=[one.id for one in found.trusted],
            gone=[one.id for one in found.gone],
            removed=removed,
            added=added,
            images=images,
        )

    def to_dict(self) -> dict[str, Any]:
        """What was found, as JSON values."""
        return {
            "unchanged": self.unchanged,
            "new": self.new,
            "changed": self.changed,
            "renamed": [{"from": old, "to": new} for old, new in self.renamed],
            "touched": self.touched,
            "trusted": self.trusted,
            "gone": self.gone,
            "removed": len(self.gone) if self.removed else 0,
            "images": self.images,
        }
