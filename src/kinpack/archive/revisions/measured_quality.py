"""What was asked of the images of a commit, and what they reached, as a manifest notes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from kinpack.archive.revisions.manifest import Manifest
from kinpack.archive.segments.segment_entry import SegmentEntry
from kinpack.column_types import Schema
from kinpack.metrics import EXACT_PSNR

REACHED = "reached"
"""Key of the metadata under which the first commit's figures are kept."""

TARGETS = ("min_psnr", "max_bytes")
"""Keys of the metadata, and of a change, that say what was asked."""


@dataclass(frozen=True, slots=True)
class MeasuredQuality:
    """PSNR that images have, each decoded and measured; an exact one counts 60 dB.

    Attributes:
        images: how many.
        lowest_psnr: of any, in dB.
        mean_psnr: over all, in dB.
    """

    images: int
    lowest_psnr: float
    mean_psnr: float

    @classmethod
    def of(cls, psnr: Iterable[float]) -> Self:
        """Sum up the PSNRs of at least one image."""
        capped = np.minimum(np.fromiter(psnr, np.float64), EXACT_PSNR)
        return cls(len(capped), float(capped.min()), float(capped.mean()))

    def to_dict(self) -> dict[str, float]:
        """The PSNRs to a ten-thousandth of a dB."""
        return {
            "lowest_psnr": round(self.lowest_psnr, 4),
            "mean_psnr": round(self.mean_psnr, 4),
        }


def measured_commit(
    base: Manifest,
    segments: tuple[SegmentEntry, ...],
    change: Mapping[str, Any],
    asked: Mapping[str, Any],
    reached: MeasuredQuality,
    columns: Schema | None = None,
) -> Manifest:
    """The next commit, with what was asked and reached in its change.

    The first commit of an archive notes it in the metadata as well, where it stays, with the bytes
    on the disk of all files but the codec's and the describer's.

    Args:
        base: the revision before.
        segments: all segments of the new revision.
        change: what else the commit does.
        asked: the quality or the target.
        reached: by the images that the commit adds.
        columns: that users added, from now on; else they stay what they were.
    """
    noted = {**change, **asked, **reached.to_dict()}
    if base.number:
        return base.following(segments, noted, columns=columns)
    files = sum(sum(entry.files.values()) for entry in segments)
    total = files
    while True:  # the manifest says how large it is itself: a few digits, which settle at once
        figures = {"images": reached.images, **reached.to_dict(), "bytes": total}
        metadata = {**base.metadata, **asked, REACHED: figures}
        manifest = base.following(segments, noted, metadata=metadata, columns=columns)
        found = files + len(manifest.to_bytes())
        if found == total:
            return manifest
        total = found
