"""The context networks of a codec with a lattice, as arrays of its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.dense_layers import DenseLayers
from kinpack.codec.learned.lattice import Level
from kinpack.errors import CodecError

SPACINGS = 3
"""Pairs of levels with networks of their own: spacing 1, 2, and all from 4 on."""

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


def levels_from(arrays: Mapping[str, NDArray[Any]]) -> list[LevelContext]:
    """The networks of the lattice in a codec file's arrays.

    Raises:
        CodecError: one is missing or unreadable.
    """
    return [
        LevelContext(
            DenseLayers.from_arrays(arrays, f"level{index}"),
            _integers(arrays, f"level{index}.differences"),
            _integers(arrays, f"level{index}.mean"),
        )
        for index in range(1 + 2 * SPACINGS)
    ]


def contexts_from(
    arrays: Mapping[str, NDArray[Any]], groups: Sequence[Group]
) -> list[GroupContext]:
    """The networks of the groups in a codec file's arrays.

    Raises:
        CodecError: one is missing or unreadable.
    """
    return [
        GroupContext(
            DenseLayers.from_arrays(arrays, f"context{index}"),
            _integers(arrays, f"context{index}.latents"),
        )
        for index in range(sum(2 if group.halves else 1 for group in groups))
    ]


def arrays_of(
    levels: Sequence[LevelContext], contexts: Sequence[GroupContext]
) -> dict[str, NDArray[Any]]:
    """What `levels_from` and `contexts_from` read."""
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
