"""Hits: what a search finds, and the two choices of how it compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["asymmetric", "symmetric"]
"""Whether a query is compared as it is, or quantised as the images are."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One image that a search found.

    Attributes:
        id: its name.
        label: its class, ``None`` if it has none.
        distance: squared Euclidean distance from the query, in the descriptor space of the codec,
            or of the describer whose codes were searched; of a search by words minus the logarithm
            of the belief that it shows what they stand for.
        position: its place in ``ids``, ``labels`` and ``codes``.
        similarity: 0 to 1, how far it shows the very picture of the query, whatever its size, tone,
            colour and framing; the same picture from about 0.65 on. ``None`` where the pictures
            themselves were not compared.
    """

    id: str
    label: str | None
    distance: float
    position: int
    similarity: float | None = None
