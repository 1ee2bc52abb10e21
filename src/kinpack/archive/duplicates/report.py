"""What a search for duplicates found: groups of images, each around one that is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias, get_args

from kinpack.search.duplicates.thresholds import Thresholds

Band: TypeAlias = Literal["exact", "same", "alike"]
"""How alike images are: the same pixels, the same picture, or alike."""
BANDS: tuple[Band, ...] = get_args(Band)
Keep: TypeAlias = Literal["best", "first", "largest"]
"""Which image of a group is kept: that with colours, most pixels, the highest quality, most bytes;
the one that was added first; or that with most pixels and bytes. Of equals the first."""
KEEPS: tuple[Keep, ...] = get_args(Keep)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """An image of a group, and what it is beside the kept one.

    Attributes:
        id: of the image.
        band: how alike the two are.
        similarity: of the two pictures, 0 to 1.
        changes: from the kept image to this one, such as ``mirrored``; none where it is exact.
    """

    id: str
    band: Band
    similarity: float
    changes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Images around one that is kept, with which each of the others was compared.

    Attributes:
        band: of the least alike of them.
        kept: id of the image.
        others: the most alike first.
    """

    band: Band
    kept: str
    others: tuple[Duplicate, ...]

    def to_dict(self) -> dict[str, Any]:
        """The group as JSON values."""
        return {
            "band": self.band,
            "kept": self.kept,
            "others": [{**asdict(one), "changes": list(one.changes)} for one in self.others],
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateReport:
    """What a search for duplicates found.

    An image is among the others of one group at most. One that is kept may be among the others of
    a group that is alike.

    Attributes:
        images: that were looked at.
        codes: the column of codes by which candidates were found.
        turned: whether images that are mirrored or turned were looked for.
        keep: which image of a group is kept.
        uncoded: images without such a code, of which only exact copies are found.
        damaged: images that cannot be drawn, likewise.
        compared: pairs of pictures that were compared.
        found_in_cells: share of near codes that cells brought, of some for which all were looked
            at; 1 where there is one cell.
        thresholds: from where on images are compared, alike and the same; ``None`` where there
            were no two to compare.
        groups: those of the band ``exact`` first, then ``same``, then ``alike``.
    """

    images: int
    codes: str
    turned: bool
    keep: Keep
    uncoded: int
    damaged: int
    compared: int
    found_in_cells: float
    thresholds: Thresholds | None
    groups: tuple[Group, ...]

    def others(self, band: Band = "same") -> list[str]:
        """Ids of the images that are not kept: what goes if one of each group is to stay.

        Args:
            band: the loosest that counts: with ``same`` exact copies, too, and nothing alike.
        """
        bands = BANDS[: BANDS.index(band) + 1]
        return [one.id for group in self.groups for one in group.others if one.band in bands]

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each image of each group, the kept one first: group, band, id and so on."""
        for number, group in enumerate(self.groups, start=1):
            head = {"group": number, "band": group.band}
            yield {**head, "id": group.kept, "kept": True, "similarity": None, "changes": ""}
            for one in group.others:
                yield {
                    "group": number,
                    "band": one.band,
                    "id": one.id,
                    "kept": False,
                    "similarity": one.similarity,
                    "changes": ", ".join(one.changes),
                }

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        told = {
            name: getattr(self, name)
            for name in ("images", "codes", "turned", "keep", "uncoded", "damaged", "compared")
        }
        return {
            **told,
            "found_in_cells": round(self.found_in_cells, 4),
            "thresholds": self.thresholds.to_dict() if self.thresholds else None,
            "groups": [group.to_dict() for group in self.groups],
        }
