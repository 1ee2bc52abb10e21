"""Groups around a kept image: nobody is in one who was not compared with it, so none is a chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def stars(order: Iterable[int], near: Mapping[int, Iterable[int]]) -> list[tuple[int, list[int]]]:
    """Gather images around those that are kept: each in turn takes its neighbours that are left.

    Two that are like a third, and not like each other, are in one group only if the third comes
    before both.

    Args:
        order: all that may be kept, the best first.
        near: the neighbours of each, symmetric.

    Returns:
        The kept image and the others of each group, these in the order given too; none is empty,
        and none is in two.
    """
    ranked = list(order)
    rank = {one: at for at, one in enumerate(ranked)}
    taken: set[int] = set()
    found = []
    for one in ranked:
        if one in taken:
            continue
        others = sorted(
            (other for other in near.get(one, ()) if other not in taken), key=rank.__getitem__
        )
        if others:
            taken.update((one, *others))
            found.append((one, others))
    return found


def classes(pairs: Iterable[Sequence[int]]) -> list[list[int]]:
    """The classes of an equivalence that pairs give, each ascending, those of one left out."""
    root: dict[int, int] = {}

    def top(one: int) -> int:
        while (above := root.setdefault(one, one)) != one:
            root[one] = root[above]
            one = above
        return one

    for first, *others in pairs:
        for other in others:
            a, b = sorted((top(first), top(other)))
            root[b] = a
    members: dict[int, list[int]] = {}
    for one in sorted(root):
        members.setdefault(top(one), []).append(one)
    return [some for some in members.values() if len(some) > 1]
