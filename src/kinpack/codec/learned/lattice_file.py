"""A coder with a lattice as a codec file holds it: numbers in its header, integers in arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.learned.latent_format import MAX_CHANNELS, LatentNumbers
from kinpack.codec.learned.lattice_coder import LatticeCoder
from kinpack.codec.learned.lattice_contexts import (
    Group,
    GroupContext,
    LevelContext,
    arrays_of,
    contexts_from,
    levels_from,
)
from kinpack.codec.learned.symbol_choice import SymbolChoice
from kinpack.entropy.tables import FrequencyTables
from kinpack.networks.container import array_of, integers_of

MAX_GROUPS = 64
"""Most groups that a codec file may state."""

Ints = NDArray[np.int64]


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


class LatticeLatents:
    """A coder with a lattice in the place of one that is told product codes, which it leaves out.

    Args:
        latent: numbers of the latent format.
        coder: that codes latents by them.
    """

    def __init__(self, latent: LatticeFormat, coder: LatticeCoder) -> None:
        self.latent, self._coder = latent, coder

    def encode(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], *, quality: Ints
    ) -> tuple[Ints, list[bytes]]:
        """Quantise and code latents as `LatticeCoder.encode` does."""
        return self._coder.encode(y, quality=quality)

    def decode(
        self,
        messages: Sequence[bytes],
        codes: NDArray[np.uint8],
        *,
        size: tuple[int, int],
        quality: Ints,
    ) -> Ints:
        """Decode messages as `LatticeCoder.decode` does."""
        return self._coder.decode(messages, size=size, quality=quality)

    def symbols(
        self, y: NDArray[np.float64], codes: NDArray[np.uint8], *, quality: Ints
    ) -> tuple[Ints, Ints]:
        """Symbols and their tables as `LatticeCoder.symbols` gives them."""
        return self._coder.symbols(y, quality=quality)


def latents_from(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> LatticeLatents:
    """The coder of latents in a codec file.

    Args:
        header: whose ``lattice`` holds the numbers.
        arrays: of the file.

    Raises:
        CodecError: a part is missing, or the parts do not fit together.
    """
    latent = LatticeFormat.from_dict(header.get("lattice", {}))
    shifts = integers_of(arrays, "inward_shifts")
    choice = SymbolChoice(
        tables=tables_from(arrays),
        count=shifts.size,
        step_units=integers_of(arrays, "step_units"),
        table_shift=integers_of(arrays, "table_shift"),
        inward_shifts=shifts,
        error_bits=array_of(arrays, "error_bits").astype(np.float64),
        limit=latent.limit,
    )
    coder = LatticeCoder(
        low=latent.low,
        groups=latent.groups,
        levels=levels_from(arrays),
        contexts=contexts_from(arrays, latent.groups),
        choice=choice,
    )
    return LatticeLatents(latent, coder)


def latent_arrays(
    levels: Sequence[LevelContext], contexts: Sequence[GroupContext], choice: SymbolChoice
) -> dict[str, NDArray[Any]]:
    """What `latents_from` reads, as it is stored."""
    return {
        **arrays_of(levels, contexts),
        **table_arrays(choice.tables),
        "step_units": choice.step_units.astype(np.int32),
        "table_shift": choice.table_shift.astype(np.int32),
        "inward_shifts": choice.inward_shifts.astype(np.int32),
        "error_bits": choice.error_bits.astype(np.float32),
    }


def tables_from(arrays: Mapping[str, NDArray[Any]]) -> FrequencyTables:
    """The frequency tables in a codec file.

    Raises:
        CodecError: a part is missing, or the parts do not fit together.
    """
    counts, starts, lows = (integers_of(arrays, f"table_{part}") for part in _TABLES)
    return FrequencyTables(counts, starts, lows)


def table_arrays(tables: FrequencyTables) -> dict[str, NDArray[Any]]:
    """What `tables_from` reads, as it is stored."""
    return {f"table_{part}": getattr(tables, part).astype(np.int32) for part in _TABLES}


_TABLES = ("counts", "starts", "lows")
