"""Searches by words: the images that a describer's classifier believes most to show them."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from kinpack.archive.searching.column import Column
from kinpack.archive.searching.finer import ORDERED_ANEW, Found, finer_column, ordered_anew
from kinpack.archive.searching.searched import Searched
from kinpack.search.distances.distance import SearchError

WORDS_ANEW = 5
"""How many times as many as are asked for are ordered anew of those found by words."""


def first_with_words(searched: Searched) -> str:
    """The name of the first column of codes whose describer knows words.

    Raises:
        SearchError: there is none.
    """
    for name in searched.columns:
        if searched.described(name).vocabulary is not None:
            return name
    raise SearchError(
        f"{searched.rows.where}: no codes of it know words; make a describer that does with: "
        "kinpack describer make lite0 -o lite0.kine, and embed with it"
    )


def found_by_words(
    words: str, k: int, column: Column, searched: Searched, mask: NDArray[np.bool_] | None
) -> Found:
    """The images that show best what a word stands for.

    Args:
        words: the word.
        k: how many, or all if there are fewer.
        column: the codes.
        searched: the revision.
        mask: bool (images,), true for those that may be found; ``None`` for all.

    Raises:
        UnknownWordError: the describer does not know the word.
        CodecError: it knows none.
    """
    describer, finer = column.describer, finer_column(column.name)
    word = describer.words.word(words)
    passing = column.passing(mask)
    able = None if passing is None else np.flatnonzero(passing)
    packed = column.packed.whole() if able is None else column.packed.rows(able)
    finest = searched.described(finer) if finer in searched.columns else None
    anew = finest is not None and finest.vocabulary is not None
    many = max(ORDERED_ANEW, WORDS_ANEW * k) if anew else k
    rows, distances = describer.word_scan.nearest(packed, word, many)
    rows = rows if able is None else able[rows]
    hits = column.positions_of(rows), distances.astype(np.float64)
    if finest is not None and anew:
        longer = searched.rows.codes_at(finer, hits[0].tolist())
        near = partial(finest.word_scan.distances, word=finest.words.word(words))
        hits = ordered_anew(hits, longer, finest.quantiser, near)
    return hits
