"""The arrays of `look`'s file: the trained code's, and longer codes learned of its form."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.given_vectors import FINE_BOOKS, principal_components
from kinpack.describers.product_books import learn_books
from kinpack.learn.look.code import BOOKS, TONE_BOOKS, LookCode
from kinpack.learn.look.networks import FORM, TONE


def look_books(
    code: LookCode, forms: NDArray[np.float32], *, seed: int = 0
) -> dict[str, NDArray[np.float32]]:
    """Give projection and books of the code, and learn those of longer codes.

    Args:
        code: trained.
        forms: (n, FORM), of many pictures of all sorts.
        seed: of the books.

    Returns:
        Arrays of a describer file, by their names there.
    """
    parts = code.form_books.arrays(), code.tone_books.arrays()
    (mean_form, kept_form, form_words), (mean_tone, kept_tone, tone_words) = parts
    width = kept_form.shape[1]
    projection = np.zeros((FORM + TONE, width + kept_tone.shape[1]), np.float32)
    projection[:FORM, :width], projection[FORM:, width:] = kept_form, kept_tone
    books, words = FINE_BOOKS
    mean_fine, kept_fine = principal_components(forms, books)
    fine = np.zeros((FORM + TONE, kept_fine.shape[1]), np.float32)
    fine[:FORM] = kept_fine
    fine_words = learn_books(
        (forms - mean_fine) @ kept_fine, M=books, K=words, seed=seed, iterations=12
    )
    return {
        "mean": np.concatenate([mean_form, mean_tone]),
        "projection": projection,
        "codebooks": np.concatenate([form_words, tone_words]),
        "weights": np.repeat([1, 0], [BOOKS - TONE_BOOKS, TONE_BOOKS]).astype(np.float32),
        "fine_mean": np.concatenate([mean_fine, np.zeros(TONE, np.float32)]),
        "fine_projection": fine,
        "fine_codebooks": fine_words.codebooks,
    }
