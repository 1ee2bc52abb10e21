"""Hits: what a search finds, and the two choices of how it compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Mode: TypeAlias = Literal["asymmetric", "symmetric"]
"""Whether a query is compared as it is, or quantised as the images are."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One image that a search found.

    Attributes:
        id: its name.
        label: its class, ``None`` if it has none.
        distance: squared Euclidean distance from the query, in the descriptor space of the
            describer whose codes were searched. With several examples the mean of those, and more
            for what is near to an unliked one; with codes of several describers a weighted sum of
            distances in units of what strangers lie apart. Of a search by words minus the logarithm
            of the belief that it shows what they stand for.
        position: its place in ``ids`` and ``labels``.
        similarity: 0 to 1. Where pictures were compared, how far it shows the very picture of the
            query, whatever its size, tone, colour and framing; the same picture from about 0.65 on.
            Else what the distance says of that: 1 at distance 0, 0.65 at a fifth of what strangers
            lie apart, about 0.1 for a stranger. Of a search by words the belief.
        compared: whether the pictures themselves were compared.
        columns: what else is known of it, by the names of columns that were added, ``None`` where
            it has no value.
    """

    id: str
    label: str | None
    distance: float
    position: int
    similarity: float
    compared: bool = False
    columns: Mapping[str, Any] = field(default_factory=dict, hash=False)
