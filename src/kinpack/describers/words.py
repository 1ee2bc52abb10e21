"""Words that a describer knows: those of the classes that its network was taught to tell apart.

A classifier's weight row w and bias b give the class's score w · z + b of a picture's latents z,
and the scores' softmax the classifier's belief in each class. A word stands for one class or
several ("dog" for 118 breeds), and the belief in it is the sum of theirs. Nothing but the words of
the list is understood.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import CodecError, KinpackError, shown
from kinpack.limits import too_deep

MOST_CLASSES = 4096
MOST_WORDS = 1 << 14
MOST_NAMES = 64
LONGEST_NAME = 100
"""Most classes, words, names of a word, and characters of a name."""
MOST_NUMBERS = 2048
"""Most numbers of the latents that classes are told by, and of the vectors that are coded."""
_MOST_BYTES = 1 << 22  # of the list of words
_SUGGESTED = 5


class UnknownWordError(KinpackError):
    """A word is none of those that a describer knows."""


@dataclass(frozen=True)
class Word:
    """One meaning.

    Attributes:
        names: that it goes by, the plainest first.
        classes: int64 (c,), numbers of the classes that are counted among it, ascending.
    """

    names: tuple[str, ...]
    classes: NDArray[np.int64]


class Vocabulary:
    """The words of a describer.

    Args:
        words: that it knows.
        vectors: float32 (C, E), the weights of each class.
        biases: float32 (C,), what is added to each class's score.

    Attributes:
        words: as given.
        vectors: as given.
        biases: as given.
    """

    def __init__(
        self,
        words: tuple[Word, ...],
        vectors: NDArray[np.float32],
        biases: NDArray[np.float32],
    ) -> None:
        self.words, self.vectors, self.biases = words, vectors, biases

    @classmethod
    def from_parts(
        cls,
        listed: bytes | None,
        arrays: Mapping[str, NDArray[Any]],
        *,
        size: int,
        owner: str,
    ) -> Self | None:
        """Take the words of a describer file; ``None`` where it has none.

        Args:
            listed: its list of words.
            arrays: its arrays.
            size: numbers of its latents.
            owner: its name, for messages.

        Raises:
            CodecError: the parts do not fit together.
        """
        vectors, biases = arrays.get("class_vectors"), arrays.get("class_biases")
        if listed is None and vectors is None and biases is None:
            return None
        if (
            listed is None
            or vectors is None
            or biases is None
            or vectors.dtype not in (np.float16, np.float32)
            or biases.dtype != np.float32
            or not 1 <= len(biases) <= MOST_CLASSES
            or size > MOST_NUMBERS
            or vectors.shape != (len(biases), size)
            or biases.ndim != 1
            or not (np.isfinite(vectors).all() and np.isfinite(biases).all())
        ):
            raise CodecError(
                f"the classes of the words of describer {owner!r} do not fit its latents; make it "
                "anew"
            )
        try:
            words = _words(listed, len(biases))
        except (ValueError, TypeError, RecursionError) as error:
            raise CodecError(
                f"the words of describer {owner!r} make no sense ({error}); make it anew"
            ) from error
        return cls(words, vectors.astype(np.float32), biases)

    @cached_property
    def _by_name(self) -> dict[str, Word]:
        return {_plain(name): word for word in self.words for name in word.names}

    def word(self, name: str) -> Word:
        """The word of a name; capitals and spaces do not matter.

        Raises:
            UnknownWordError: there is none; the message names the nearest known ones.
        """
        asked = _plain(name)
        found = self._by_name.get(asked)
        if found is None and len(asked) <= LONGEST_NAME:
            found = self._by_name.get(asked.removesuffix("s"))  # a plural, for the most part
        if found is not None:
            return found
        near = difflib.get_close_matches(asked[:LONGEST_NAME], self._by_name, n=_SUGGESTED)
        within = sorted((known for known in self._by_name if known in asked.split()), key=len)
        known = list(dict.fromkeys([*within[::-1], *near]))[:_SUGGESTED]
        hint = f"did you mean {', '.join(known)}?" if known else "none is spelt like it;"
        raise UnknownWordError(
            f"the word {shown(name[:LONGEST_NAME])!r} is not known: {hint} all are listed by: "
            "kinpack describer words"
        )

    def fitted(
        self,
        kept: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The classes' weights and biases for vectors that are coded, in place of latents.

        Latents are taken to be what a coded vector's are by the least squares: a projection's mean
        plus its pseudo-inverse times the vector.

        Args:
            kept: mean (E,) and directions (E, D) of the projection; ``None`` where all is kept.

        Returns:
            float32 (C, D) and (C,).

        Raises:
            CodecError: the vectors are too large.
        """
        if kept is None:
            return self.vectors, self.biases
        mean, directions = kept
        if directions.shape[1] > MOST_NUMBERS:
            raise CodecError(
                f"codes of {directions.shape[1]} numbers are too large for words, which go with "
                f"{MOST_NUMBERS} at most; make the describer anew"
            )
        back = np.linalg.pinv(directions.astype(np.float64))
        vectors = self.vectors.astype(np.float64)
        with np.errstate(over="ignore"):
            weights = (vectors @ back.T).astype(np.float32)
            biases = (self.biases + vectors @ mean).astype(np.float32)
        return weights, biases


def log_shares(scores: NDArray[np.float32], word: Word) -> NDArray[np.float32]:
    """Logarithm of the belief in a word.

    Args:
        scores: float32 (n, C), of the classes.
        word: which one.

    Returns:
        float32 (n,), 0 or less.
    """
    among = _log_sum(scores[:, word.classes])
    shares: NDArray[np.float32] = np.minimum(among - _log_sum(scores), 0)
    return shares


def _log_sum(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logarithm of the sum of exponentials along each row."""
    top = scores.max(axis=1, keepdims=True)
    sums: NDArray[np.float32] = np.log(np.exp(scores - top).sum(axis=1)) + top[:, 0]
    return sums


def _plain(name: str) -> str:
    """A name as it is compared."""
    return " ".join(name.casefold().replace("-", " ").split())


def _words(listed: bytes, classes: int) -> tuple[Word, ...]:
    """Read a list of words, checked."""
    if len(listed) > _MOST_BYTES:
        raise ValueError("their list is too long")
    rows = json.loads(listed.decode())
    if not isinstance(rows, list) or too_deep(rows) or not 1 <= len(rows) <= MOST_WORDS:
        raise ValueError("they are no list, or a list of none or too many")
    return tuple(_word(row, classes) for row in rows)


def _word(row: Any, classes: int) -> Word:
    if not isinstance(row, list) or len(row) != 2:
        raise ValueError("a word is no pair of names and classes")
    names, numbers = row
    if not isinstance(names, list) or not 1 <= len(names) <= MOST_NAMES:
        raise ValueError(f"a word has no names, or more than {MOST_NAMES}")
    for name in names:
        if not isinstance(name, str) or not name.isprintable() or not _plain(name):
            raise ValueError("a name is no line of text")
        if len(name) > LONGEST_NAME:
            raise ValueError(f"a name has more than {LONGEST_NAME} characters")
    if not isinstance(numbers, list) or any(type(number) is not int for number in numbers):
        raise ValueError(f"the word {names[0]!r} does not list classes")
    if not numbers or numbers != sorted(set(numbers)) or numbers[0] < 0 or numbers[-1] >= classes:
        raise ValueError(f"the classes of the word {names[0]!r} are not there, or not in order")
    return Word(tuple(names), np.array(numbers, np.int64))
