"""Planes of grey levels to bytes and back, each pixel under what its neighbourhood predicts.

```
 levels ─▶ for each wave: neighbours ─▶ network ─▶ mixture ─▶ frequencies ─▶ range coder ─▶ message
```
The encoder knows all neighbours and predicts all pixels at once; the decoder goes wave by wave, in
many pictures of one size at a time.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from kinpack.codec.causal.causal_context import PLANES, VALUES, Frame, waves
from kinpack.codec.causal.causal_model import CausalModel
from kinpack.codec.causal.logistic_mixture import level_count, levels_of, mixture_counts, values_of
from kinpack.entropy.library import library
from kinpack.entropy.range_coder import decoder_of, trimmed
from kinpack.errors import PayloadError

Ints = NDArray[np.int64]
K = TypeVar("K", bound=Hashable)

_AT_ONCE = 1 << 15  # pixels whose inputs are held at a time


class CausalCoder:
    """Codes planes of values 0 to 255, rounded to multiples of a step.

    Args:
        model: predicts pixels.
    """

    def __init__(self, model: CausalModel) -> None:
        self._model = model
        self._family: Any = library().Categorical(perfect=False)
        self._flat: dict[tuple[int, int], NDArray[np.float64]] = {}

    def encode(self, planes: NDArray[np.uint8], *, step: int) -> list[bytes]:
        """Code planes of one size.

        Args:
            planes: (n, H, W).
            step: Δ in grey levels, 1 to 255; values are rounded to its multiples.

        Returns:
            The messages.
        """
        n, height, width = planes.shape
        if not n:
            return []
        levels = levels_of(planes, step).reshape(n, -1)
        order = np.concatenate(waves(height, width))
        most = max(1, _AT_ONCE // (height * width))
        messages = []
        for first in range(0, n, most):
            part = slice(first, min(n, first + most))
            frame = Frame(part.stop - first, height, width)
            frame.values[:] = values_of(levels[part], step).reshape(-1, height, width)
            counts = self._counts(frame, order, step)
            coders = [library().RangeEncoder() for _ in counts]
            for coder, row, own in zip(coders, counts, levels[part], strict=True):
                coder.encode(own[order].astype(np.int32), self._family, row)
            messages += [trimmed(coder) for coder in coders]
        return messages

    def decode(
        self,
        messages: Sequence[bytes],
        *,
        size: tuple[int, int],
        step: int,
    ) -> NDArray[np.uint8]:
        """Decode planes of one size.

        Args:
            messages: as ``encode`` gave them.
            size: (H, W).
            step: Δ at which they were encoded.

        Returns:
            (n, H, W) values, rounded to multiples of Δ.

        Raises:
            PayloadError: a message is damaged.
        """
        readers = [decoder_of(message) for message in messages]
        frame = Frame(len(messages), *size)
        if not readers:
            return frame.values
        for pixels in waves(*size):
            counts = self._counts(frame, pixels, step)
            try:
                levels = np.array(
                    [
                        reader.decode(self._family, row)
                        for reader, row in zip(readers, counts, strict=True)
                    ],
                    dtype=np.int64,
                )
            except AssertionError as error:
                raise PayloadError(f"an entropy-coded payload is damaged ({error})") from error
            frame.put(pixels, values_of(levels, step))
        return np.ascontiguousarray(frame.values)

    def _counts(self, frame: Frame, pixels: Ints, step: int) -> NDArray[np.float64]:
        """Frequencies (n, p, levels) of pixels (p,)."""
        n, p = len(frame.values), len(pixels)
        x = frame.inputs(pixels, step=step).reshape(n * p, PLANES)
        predict = self._predicted if self._model.sees_places else self._mostly_flat
        return predict(x, step).reshape(n, p, level_count(step))

    def _mostly_flat(self, x: Ints, step: int) -> NDArray[np.float64]:
        """Frequencies where most pixels have nothing but 0 or 255 about them: predicted once."""
        values = x[:, VALUES]
        black, white = values.max(1) == 0, values.min(1) == 255
        other = ~(black | white)
        counts = np.empty((len(x), level_count(step)))
        counts[other] = self._predicted(x[other], step)
        for value, where in ((0, black), (255, white)):
            if where.any():
                counts[where] = self._flat_counts(value, x[where][:1], step)
        return counts

    def _flat_counts(self, value: int, x: Ints, step: int) -> NDArray[np.float64]:
        if (value, step) not in self._flat:
            self._flat[value, step] = self._predicted(x, step)
        return self._flat[value, step]

    def _predicted(self, x: Ints, step: int) -> NDArray[np.float64]:
        return mixture_counts(self._model(x), step=step)


def alike(keys: Mapping[int, K], most: int) -> Iterator[tuple[K, list[int]]]:
    """Numbers of things that have the same key, at most so many at a time."""
    groups: dict[K, list[int]] = {}
    for i, key in keys.items():
        groups.setdefault(key, []).append(i)
    for key, rows in groups.items():
        for first in range(0, len(rows), most):
            yield key, rows[first : first + most]
