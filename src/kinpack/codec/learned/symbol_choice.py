"""Numbers to symbols and back: which symbol stands for a latent, and what it becomes again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import CodecError
from kinpack.networks.container import array_of, integers_of

CELL = 256
"""Parts of a step in which the inward shift counts."""
MAX_STEP = 1 << 20
"""Steps, limits and table numbers stay below this."""
_TABLES = ("counts", "starts", "lows")

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SymbolChoice:
    """How latents become symbols.

    In every array (n, …, …) a row is of one message, and the other axes lie as the caller's do.

    Attributes:
        tables: frequency tables of latents, narrowest first; more may follow that are of others.
        count: how many of the tables are of latents.
        step_units: (101,) quantiser step of each quality, in units.
        table_shift: (101,) what each quality adds to the table number that a network gives.
        inward_shifts: (count,) how far ŷ lies inward of its cell's middle, in 1/256 of a step.
        error_bits: (channels,) what one squared step of error is worth in bits, for the encoder.
        limit: ŷ is clipped to ±limit units.

    Raises:
        CodecError: numbers are out of range.
    """

    tables: FrequencyTables
    count: int
    step_units: Ints
    table_shift: Ints
    inward_shifts: Ints
    error_bits: NDArray[np.float64]
    limit: int

    def __post_init__(self) -> None:
        fits = (
            self.step_units.shape == self.table_shift.shape == (101,)
            and 0 < self.count <= len(self.tables)
            and self.inward_shifts.shape == (self.count,)
            and 0 < self.limit < MAX_STEP
            and self.step_units[1:].min() >= 1
            and self.step_units.max() < MAX_STEP
            and -MAX_STEP < self.table_shift.min() <= self.table_shift.max() < MAX_STEP
            and self.inward_shifts.min() >= 0
            and self.inward_shifts.max() <= CELL // 2
            and self.error_bits.ndim == 1
            and bool((self.error_bits >= 0).all())
        )
        if not fits:
            raise CodecError(
                "the codec's quality tables, inward shifts or weights of errors are out of range; "
                "make it anew"
            )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], *, limit: int) -> Self:
        """Read a codec file's arrays.

        Args:
            arrays: as `to_arrays` gives them, and others.
            limit: of ŷ, in units.

        Raises:
            CodecError: one is missing, or numbers are out of range.
        """
        counts, starts, lows = (integers_of(arrays, f"table_{part}") for part in _TABLES)
        shifts = integers_of(arrays, "inward_shifts")
        return cls(
            tables=FrequencyTables(counts, starts, lows),
            count=shifts.size,
            step_units=integers_of(arrays, "step_units"),
            table_shift=integers_of(arrays, "table_shift"),
            inward_shifts=shifts,
            error_bits=array_of(arrays, "error_bits").astype(np.float64),
            limit=limit,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return all but the limit, as it is stored."""
        return {
            **table_arrays(self.tables),
            "step_units": self.step_units.astype(np.int32),
            "table_shift": self.table_shift.astype(np.int32),
            "inward_shifts": self.inward_shifts.astype(np.int32),
            "error_bits": self.error_bits.astype(np.float32),
        }

    def table(self, number: Ints, quality: Ints) -> Ints:
        """Tables of latents.

        Args:
            number: (n, …, …) as networks give them.
            quality: (n,).
        """
        table: Ints = number + self.table_shift[quality][:, None, None]
        return table.clip(0, self.count - 1)

    def value(self, mean: Ints, table: Ints, symbols: Ints, quality: Ints) -> Ints:
        """ŷ of symbols, all (n, …, …), in units; quality (n,)."""
        step = self.step_units[quality][:, None, None]
        shift = (self.inward_shifts[table] * step + CELL // 2) // CELL
        value: Ints = mean + symbols * step - np.sign(symbols) * shift
        return value.clip(-self.limit, self.limit)

    def cheapest(
        self,
        y: NDArray[np.float64],
        mean: Ints,
        table: Ints,
        quality: Ints,
        error_bits: NDArray[np.float64],
    ) -> Ints:
        """Symbols that cost least: the nearest, or one step nearer to 0 where bits outweigh error.

        Args:
            y: (n, …, …) latents, in units.
            mean: (n, …, …) predicted, in units.
            table: (n, …, …) of each.
            quality: (n,).
            error_bits: of the channels that these are, along their axis.
        """
        distance = (y - mean) / self.step_units[quality][:, None, None]
        return self.tables.cheapest(distance, table, error_bits)


def table_arrays(tables: FrequencyTables) -> dict[str, NDArray[Any]]:
    """Frequency tables as a codec file holds them."""
    return {f"table_{part}": getattr(tables, part).astype(np.int32) for part in _TABLES}
