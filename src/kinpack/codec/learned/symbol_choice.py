"""Numbers to symbols and back: which symbol stands for a latent, and what it becomes again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinpack.entropy.tables import FrequencyTables
from kinpack.errors import CodecError

CELL = 256
"""Parts of a step in which the inward shift counts."""
MAX_STEP = 1 << 20
"""Steps, limits and table numbers stay below this."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class SymbolChoice:
    """How latents become symbols.

    Attributes:
        tables: frequency tables of latents, narrowest first; more may follow that are of others.
        count: how many of the tables are of latents.
        step_units: (101,) quantiser step of each quality, in units.
        table_shift: (101,) what each quality adds to the table number that a network gives.
        inward_shifts: (count,) how far ŷ lies inward of its cell's middle, in 1/256 of a step.
        error_bits: (channels,) what one squared step of error is worth in bits, for the encoder.
        limit: ŷ is clipped to ±limit units.
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
            raise CodecError("the codec's tables of qualities are out of range; make it anew")

    def table(self, number: Ints, quality: Ints) -> Ints:
        """Tables of latents.

        Args:
            number: (n, p, c) as networks give them.
            quality: (n,).
        """
        table: Ints = number + self.table_shift[quality][:, None, None]
        return table.clip(0, self.count - 1)

    def value(self, mean: Ints, table: Ints, symbols: Ints, quality: Ints) -> Ints:
        """ŷ of symbols, all (n, p, c), in units; quality (n,)."""
        step = self.step_units[quality][:, None, None]
        shift = (self.inward_shifts[table] * step + CELL // 2) // CELL
        value: Ints = mean + symbols * step - np.sign(symbols) * shift
        return value.clip(-self.limit, self.limit)

    def cheapest(
        self, y: NDArray[np.float64], mean: Ints, table: Ints, quality: Ints, channels: slice
    ) -> Ints:
        """Symbols that cost least: the nearest, or one step nearer to 0 where bits outweigh error.

        Args:
            y: (n, p, c) latents, in units.
            mean: (n, p, c) predicted, in units.
            table: (n, p, c) of each.
            quality: (n,).
            channels: which latent channels these are.
        """
        distance = (y - mean) / self.step_units[quality][:, None, None]
        return self.tables.cheapest(distance, table, self.error_bits[channels])
