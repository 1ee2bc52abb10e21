"""A codec with a lattice as its file holds it: numbers of its header, networks in its arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.dense_layers import DenseLayers
from kinpack.codec.learned.latent_format import MAX_CHANNELS, LatentNumbers
from kinpack.codec.learned.lattice import Level
from kinpack.errors import CodecError

SPACINGS = 3
"""Pairs of levels with networks of their own: spacing 1, 2, and all from 4 on."""
MAX_GROUPS = 64
"""Most groups that a codec file may state."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Channels that are coded together after those on the lattice.

    Attributes:
        start: first latent channel.
        stop: one past its last.
        halves: whether they are coded in the two halves of a checkerboard, or all at once.
    """

    start: int
    stop: int
    halves: bool

    @property
    def known(self) -> int:
        """Latent channels, from the first on, that its networks read."""
        return self.stop if self.halves else self.start

    @property
    def networks(self) -> int:
        """How many networks it has, one for each half."""
        return 2 if self.halves else 1


@dataclass(frozen=True, kw_only=True)
class LatticeFormat(LatentNumbers):
    """Numbers of latents that are coded on a lattice.

    Attributes:
        low: channels on the lattice.
        groups: the other channels, in the order of coding.
    """

    low: int
    groups: tuple[Group, ...]

    @property
    def channels(self) -> int:
        """Latent channels."""
        return self.groups[-1].stop if self.groups else self.low

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain values."""
        return {**asdict(self), "groups": [list(astuple(group)) for group in self.groups]}

    @staticmethod
    def _others(values: Mapping[str, Any]) -> dict[str, Any]:
        groups = tuple(Group(int(a), int(b), bool(c)) for a, b, c in values["groups"])
        return {"low": int(values["low"]), "groups": groups}

    def _fits(self) -> bool:
        ends = [self.low, *(group.stop for group in self.groups)]
        chained = all(g.start == end < g.stop for g, end in zip(self.groups, ends, strict=False))
        few = self.channels <= MAX_CHANNELS and len(self.groups) <= MAX_GROUPS
        return chained and few and self.low > 0


class LevelContext(NamedTuple):
    """A network of the lattice.

    Attributes:
        network: on rows of differences of the neighbours from their mean, neighbour by neighbour;
            the mean; which neighbours there are; quality and spacing.
        difference_shift: (low,) by which differences are shifted to be read.
        mean_shift: (low,) by which the mean is.
    """

    network: DenseLayers
    difference_shift: Ints
    mean_shift: Ints


class GroupContext(NamedTuple):
    """A network of a group.

    Attributes:
        network: on rows of windows, tap by tap: known channels, then quality − 50.
        shift: (known,) by which latents are shifted to be read.
    """

    network: DenseLayers
    shift: Ints


def network_of(level: Level) -> int:
    """Which network predicts a level: 0 the first, then a pair for each spacing of ``SPACINGS``."""
    if level.kind == "first":
        return 0
    spacing = min(SPACINGS, level.spacing.bit_length()) - 1
    return 1 + 2 * spacing + (level.kind == "cross")


def networks_from(
    arrays: Mapping[str, NDArray[Any]], groups: Sequence[Group]
) -> tuple[list[LevelContext], list[GroupContext]]:
    """The networks of the lattice and those of the groups in a codec file's arrays.

    Raises:
        CodecError: one is missing or unreadable.
    """
    levels = [
        LevelContext(
            DenseLayers.from_arrays(arrays, f"level{index}"),
            _integers(arrays, f"level{index}.differences"),
            _integers(arrays, f"level{index}.mean"),
        )
        for index in range(1 + 2 * SPACINGS)
    ]
    contexts = [
        GroupContext(
            DenseLayers.from_arrays(arrays, f"context{index}"),
            _integers(arrays, f"context{index}.latents"),
        )
        for index in range(sum(group.networks for group in groups))
    ]
    return levels, contexts


def arrays_of(
    levels: Sequence[LevelContext], contexts: Sequence[GroupContext]
) -> dict[str, NDArray[Any]]:
    """What `networks_from` reads."""
    arrays: dict[str, NDArray[Any]] = {}
    for index, level in enumerate(levels):
        arrays |= level.network.to_arrays(f"level{index}")
        arrays[f"level{index}.differences"] = level.difference_shift.astype(np.uint8)
        arrays[f"level{index}.mean"] = level.mean_shift.astype(np.uint8)
    for index, context in enumerate(contexts):
        arrays |= context.network.to_arrays(f"context{index}")
        arrays[f"context{index}.latents"] = context.shift.astype(np.uint8)
    return arrays


def _integers(arrays: Mapping[str, NDArray[Any]], name: str) -> Ints:
    array = arrays.get(name)
    if array is None or array.dtype != np.uint8:
        raise CodecError(f"the array {name!r} of a codec is unreadable; make it anew")
    return array.astype(np.int64)
