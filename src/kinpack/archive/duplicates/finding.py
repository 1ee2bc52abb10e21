"""Finding duplicates: candidates by their codes, confirmed on the drawn pictures, in groups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.duplicates.candidates import (
    Coded,
    Pairs,
    calibrated,
    candidates,
    found_in_cells,
)
from kinpack.archive.duplicates.drawing import Drawings
from kinpack.archive.duplicates.equal_packets import Stated, equal_packets, stated
from kinpack.archive.duplicates.report import (
    KEEPS,
    Band,
    Duplicate,
    DuplicateReport,
    Group,
    Keep,
)
from kinpack.archive.revisions.reader import Reader
from kinpack.search.distances.distance import SearchError
from kinpack.search.duplicates.cells import Cells
from kinpack.search.duplicates.grouping import classes, stars
from kinpack.search.duplicates.likeness import Likeness, is_same, likenesses
from kinpack.search.duplicates.thresholds import Thresholds

Told: TypeAlias = Callable[[float, str], None]
"""Called with the share that is done, 0 to 1, and a few words on what is being done."""

_LOOKED, _COMPARED = 0.1, 0.5  # shares of the whole at which these begin
_PAIRS = 512  # compared at a time


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateOptions:
    """How duplicates are looked for.

    Attributes:
        keep: which image of a group is kept.
        codes: the column by which candidates are found; ``auto`` for the first of pictures.
        quick: whether only stored codes are compared, and images drawn where these are near:
            mirrored and turned copies are not looked for then.
        threads: that describe at a time; ``None`` for as many as there are cores.
        seed: of the random choices.
    """

    keep: Keep = "best"
    codes: str = "auto"
    quick: bool = False
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.keep not in KEEPS:
            raise SearchError(f"nothing is kept by {self.keep!r}: use {', '.join(KEEPS)}")


def find_duplicates(
    reader: Reader, options: DuplicateOptions, told: Told | None = None
) -> DuplicateReport:
    """Find the duplicates of an archive; nothing is changed.

    Args:
        reader: the archive.
        options: how they are looked for.
        told: hears how far it is.

    Raises:
        SearchError: the archive has no codes of pictures.
        CodecError: the describer describes no pictures.
        ArchiveError: a segment, the codec or the describer is missing or damaged.
    """
    told = told or _nobody
    told(0.0, "reading codes")
    name = _column(reader, options.codes)
    describer = reader.describers[name]
    describer.check_describes()
    table, ids = stated(reader), reader.ids
    packed, positions = reader.codes_of(name)
    equal = equal_packets(reader, table)
    spare = np.array([at for some in equal for at in some[1:]], np.int64)
    kept = ~np.isin(positions, spare)
    drawings = Drawings(reader, table)
    thresholds, share, pairs = None, 1.0, Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64))
    turned = not options.quick and len(describer.poses(np.zeros((1, 1, 3), np.uint8))) > 1
    if kept.sum() > 1:
        rng = np.random.default_rng(options.seed)
        cells = Cells(packed[kept], describer.searched, seed=options.seed)
        coded = Coded(describer, cells, positions[kept], not options.quick, options.threads)
        told(0.02, "measuring what is near")
        thresholds = calibrated(coded, drawings, len(ids), rng)
        share = found_in_cells(coded, thresholds.within, rng)
        pairs = _all_candidates(coded, drawings, thresholds.within, told)
    rank = _ranks(table, options.keep)
    pairs = _oriented(pairs, rank)
    likeness, same_pixels = _compared(pairs, drawings, told)
    exact = classes([*equal, *same_pixels])
    groups = _groups(ids, rank, exact, likeness, thresholds)
    told(1.0, "done")
    return DuplicateReport(
        images=len(ids),
        codes=name,
        turned=turned,
        keep=options.keep,
        uncoded=len(ids) - len(positions),
        damaged=len(drawings.damaged),
        compared=len(pairs.first),
        found_in_cells=share,
        thresholds=thresholds,
        groups=groups,
    )


def _nobody(_: float, __: str) -> None:
    """Where nobody hears how far it is."""


def _column(reader: Reader, codes: str) -> str:
    """The column of codes that is meant."""
    there = reader.describers
    if codes == "auto":
        found = next((name for name, one in there.items() if one.describes), None)
        if found is None:
            raise SearchError(
                f"{reader.where}: it has no codes of pictures, by which duplicates are found; add "
                "some with: kinpack embed ARCHIVE --describer look"
            )
        return found
    if codes not in there:
        raise SearchError(
            f"{reader.where}: it has no codes {codes!r}, of others {', '.join(there) or 'none'}; "
            "add some with: kinpack embed"
        )
    return codes


def _all_candidates(coded: Coded, drawings: Drawings, within: float, told: Told) -> Pairs:
    """All pairs of positions whose codes are near, each once, the lower position first."""
    n, done = len(coded.positions), 0
    found = [np.zeros(0, np.int64)]
    width = int(coded.positions.max()) + 1
    for looked, pairs in candidates(coded, drawings, within):
        done += looked
        told(
            _LOOKED + (_COMPARED - _LOOKED) * done / n, f"looking for near codes, {done:,} of {n:,}"
        )
        low, high = np.minimum(*pairs), np.maximum(*pairs)
        found.append(np.unique(low * width + high))
    keys = np.unique(np.concatenate(found))
    return Pairs(keys // width, keys % width)


def _ranks(table: Stated, keep: Keep) -> NDArray[np.int64]:
    """The place of each image among those that may be kept, int64 (n,); 0 is the best."""
    pixels, places = table.width * table.height, np.arange(len(table))
    keys: dict[Keep, tuple[NDArray[np.int64], ...]] = {  # the last counts most
        "first": (places,),
        "largest": (places, -table.length, -pixels),
        "best": (places, -table.length, -table.quality, -pixels, -(table.channels > 1).astype(int)),
    }
    order = np.lexsort(keys[keep])
    rank = np.empty(len(table), np.int64)
    rank[order] = places
    return rank


def _oriented(pairs: Pairs, rank: NDArray[np.int64]) -> Pairs:
    """Pairs with the image that is rather kept first, in the order of these."""
    swap = rank[pairs.first] > rank[pairs.second]
    first = np.where(swap, pairs.second, pairs.first)
    second = np.where(swap, pairs.first, pairs.second)
    order = np.lexsort((rank[second], rank[first]))
    return Pairs(first[order], second[order])


def _compared(
    pairs: Pairs, drawings: Drawings, told: Told
) -> tuple[dict[tuple[int, int], Likeness], list[tuple[int, int]]]:
    """What comparing told of pairs that may be alike, and the pairs of the same pixels."""
    found: dict[tuple[int, int], Likeness] = {}
    equal = []
    for at in range(0, len(pairs.first), _PAIRS):
        told(
            _COMPARED + (1 - _COMPARED) * at / len(pairs.first),
            f"comparing pictures, {at:,} of {len(pairs.first):,} pairs",
        )
        some = zip(
            pairs.first[at : at + _PAIRS].tolist(),
            pairs.second[at : at + _PAIRS].tolist(),
            strict=True,
        )
        both = list(some)
        drawn = drawings.thumbnails(list(dict.fromkeys(one for pair in both for one in pair)))
        both = [pair for pair in both if pair[0] in drawn and pair[1] in drawn]
        equal += [pair for pair in both if drawn[pair[0]].digest == drawn[pair[1]].digest]
        told_of = likenesses([(drawn[first], drawn[second]) for first, second in both])
        found.update(
            (pair, one) for pair, one in zip(both, told_of, strict=True) if one.similarity > 0.4
        )
    return found, equal


def _groups(
    ids: Sequence[str],
    rank: NDArray[np.int64],
    exact: list[list[int]],
    likeness: dict[tuple[int, int], Likeness],
    thresholds: Thresholds | None,
) -> tuple[Group, ...]:
    """Exact copies and the same pictures around kept images; then what is alike of the rest."""
    head: dict[int, int] = {}  # of exact copies, the one that is rather kept
    copies: dict[int, list[int]] = {}
    for some in exact:
        first, *others = sorted(some, key=rank.__getitem__)
        copies[first] = others
        head.update((one, first) for one in some)
    near: dict[Band, dict[int, list[int]]] = {"same": {}, "alike": {}}
    between: dict[tuple[int, int], Likeness] = {}
    for (a, b), one in sorted(likeness.items(), key=lambda each: -each[1].similarity):
        pair = head.get(a, a), head.get(b, b)
        band = _band(one, thresholds)
        if band is None or pair[0] == pair[1] or pair in between:
            continue
        for x, y in (pair, pair[::-1]):
            near[band].setdefault(x, []).append(y)
            between[x, y] = one
    by_rank = rank.__getitem__
    same = dict(stars(sorted({*near["same"], *copies}, key=by_rank), near["same"]))
    gone = {one for some in same.values() for one in some}
    for first in copies:
        if first not in gone:
            same.setdefault(first, [])
    left = {
        one: [other for other in some if other not in gone]
        for one, some in near["alike"].items()
        if one not in gone
    }
    alike = stars(sorted(left, key=by_rank), left)

    def members(kept: int, others: list[int], band: Band) -> tuple[Duplicate, ...]:
        found = [Duplicate(ids[one], "exact", 1.0) for one in copies.get(kept, ())]
        if band == "alike":
            found = []
        for one in others:
            told = between[kept, one]
            found += [
                Duplicate(ids[each], band, told.similarity, told.changes)
                for each in (one, *(copies.get(one, ()) if band == "same" else ()))
            ]
        order = {"exact": 0, "same": 1, "alike": 2}
        return tuple(sorted(found, key=lambda each: (order[each.band], -each.similarity)))

    kinds: dict[Band, list[Group]] = {"exact": [], "same": [], "alike": []}
    for kept in sorted(same):
        kind: Band = "same" if same[kept] else "exact"
        kinds[kind].append(Group(kind, ids[kept], members(kept, same[kept], "same")))
    for kept, others in sorted(alike):
        kinds["alike"].append(Group("alike", ids[kept], members(kept, others, "alike")))
    return (*kinds["exact"], *kinds["same"], *kinds["alike"])


def _band(one: Likeness, thresholds: Thresholds | None) -> Band | None:
    """The band of a pair that is not exact."""
    if thresholds is None or one.similarity < thresholds.alike:
        return None
    return "same" if is_same(one, thresholds.same) else "alike"
