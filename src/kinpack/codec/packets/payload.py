"""Payloads: what the ways of coding a picture have in common, and the table of a codec's own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.packets.candidate import Candidate
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import CodecError
from kinpack.pictures.images import Image

T = TypeVar("T")


class Payload(Protocol):
    """A way of coding pictures."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Kinds of the payloads that it makes and draws."""

    @property
    def at_once(self) -> int:
        """Images that a thread takes at a time."""

    @property
    def sees_codes(self) -> bool:
        """Whether a payload depends on the product code of its image."""

    def takes(self, image: Image) -> bool:
        """Whether an image, uint8 (H, W, C), may be coded so."""

    def encode(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        qualities: Sequence[int],
        *,
        draw: bool = True,
    ) -> list[Candidate]:
        """Encode images that it takes.

        Args:
            images: uint8 (H, W, C) each.
            codes: (n, M) sub-indices of each.
            qualities: 1 to 99, of each.
            draw: whether the error is wanted; without it none may be counted.

        Returns:
            For each the payload that costs least, and the squared error of what it draws.
        """

    def decode(self, packets: Sequence[Packet], codes: NDArray[np.uint8]) -> list[Image]:
        """Draw the images of packets of its kinds.

        Args:
            packets: with payloads that ``encode`` made.
            codes: (n, M) sub-indices of each; (n, 0) where it sees none.

        Returns:
            uint8 (H, W, C) each.

        Raises:
            PayloadError: a payload is damaged.
        """


class Payloads:
    """A codec's payloads by their kinds, each made when it is first needed.

    Args:
        name: the codec's, for messages.
        makers: what makes each, by its kinds, in the order in which they are tried; a maker gives
            None for one that the codec lacks.
        own: kinds of those that the codec has learned; none for a classic codec.
    """

    def __init__(
        self,
        name: str,
        makers: Mapping[tuple[Kind, ...], Callable[[], Payload | None]],
        *,
        own: Sequence[tuple[Kind, ...]],
    ) -> None:
        self._name, self._makers, self._own = name, makers, own
        self._made: dict[tuple[Kind, ...], Payload | None] = {}

    @property
    def has_own(self) -> bool:
        """Whether the codec has learned payloads."""
        return bool(self._own)

    def takes(self, image: Image) -> bool:
        """Whether the codec has learned to code an image, uint8 (H, W, C)."""
        return any(payload.takes(image) for payload in self.own)

    @property
    def own(self) -> list[Payload]:
        """Those that the codec has learned, in their order."""
        made = (self._get(kinds) for kinds in self._own)
        return [payload for payload in made if payload is not None]

    def by_payload(self, packets: Sequence[Packet]) -> Iterator[tuple[Payload, list[int]]]:
        """Each payload that is needed to draw packets, and the numbers of its packets.

        Raises:
            CodecError: a packet is of a kind that the codec lacks.
        """
        groups: dict[Kind, list[int]] = {}
        for i, packet in enumerate(packets):
            groups.setdefault(packet.kind, []).append(i)
        for kind, rows in groups.items():
            kinds = next((kinds for kinds in self._makers if kind in kinds), ())
            payload = self._get(kinds) if kinds else None
            if payload is None:
                raise CodecError(
                    f"codec {self._name!r} has no {kind.name.lower()} payloads, but a packet is "
                    "one: use the codec it was made with"
                )
            yield payload, rows

    def encode_own(
        self,
        images: Sequence[Image],
        codes: NDArray[np.uint8],
        qualities: Sequence[int],
        *,
        draw: bool,
        threads: int | None,
    ) -> list[Candidate | None]:
        """Encode images as the codec has learned to, in whichever way costs least.

        Args:
            images: uint8 (H, W, C) each.
            codes: (n, M) sub-indices of each.
            qualities: 1 to 100, of each.
            draw: whether the error is wanted of a payload that has no rival.
            threads: that work at a time.

        Returns:
            One candidate for each image; None at quality 100, and where no payload takes it.
        """
        best: list[Candidate | None] = [None] * len(images)
        lossy = [i for i, quality in enumerate(qualities) if quality < 100]
        taken = [
            (payload, [i for i in lossy if payload.takes(images[i])])
            for payload in (self.own if lossy else ())
        ]
        draw = draw or any(rows for _, rows in taken[1:])  # costs are compared, with the errors
        for payload, rows in taken:
            made = in_parts(
                payload.encode,
                [images[i] for i in rows],
                codes[rows],
                [qualities[i] for i in rows],
                size=payload.at_once,
                threads=threads,
                draw=draw,
            )
            for i, one in zip(rows, made, strict=True):
                before, quality = best[i], qualities[i]
                if before is None or one.cost(quality) < before.cost(quality):
                    best[i] = one
        return best

    def _get(self, kinds: tuple[Kind, ...]) -> Payload | None:
        if kinds not in self._made:
            self._made[kinds] = self._makers[kinds]()
        return self._made[kinds]


def in_parts(
    function: Callable[..., Iterable[T]],
    *columns: Any,
    size: int,
    threads: int | None,
    **options: Any,
) -> list[T]:
    """Apply a function to parts of columns, in threads: while one codes, another's networks run.

    Args:
        function: takes a part of each column, and gives a result for each row.
        columns: sequences or arrays of equal lengths.
        size: most rows of a part.
        threads: most threads; None takes as many as there are cores.
        options: that the function takes by their names.
    """
    n = len(columns[0])
    parts = [[column[i : i + size] for column in columns] for i in range(0, n, size)]
    if threads == 1 or len(parts) < 2:
        return [one for part in parts for one in function(*part, **options)]
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(lambda part: function(*part, **options), parts)
        return [one for some in made for one in some]
