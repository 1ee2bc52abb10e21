"""The codes of `look`: what is kept of form and of tone, and the books that quantise it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.describers.given_vectors import COMPONENTS, principal_components
from kinpack.describers.product_books import learn_books
from kinpack.learn.look.networks import FORM, TONE

BOOKS, TONE_BOOKS, WORDS = 16, 3, 16
"""Books of a code, how many of them are of tone, and words of each."""
FINE_BOOKS, FINE_WORDS = 32, 256


def look_books(latents: NDArray[np.float32], *, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Learn the projection and the books of codes, and those of longer ones.

    Args:
        latents: (n, FORM + TONE), form first, of many pictures of all sorts.
        seed: of the books.

    Returns:
        Arrays of a describer file, by their names there.
    """
    form, tone = latents[:, :FORM], latents[:, FORM:]
    books = BOOKS - TONE_BOOKS
    mean_form, kept_form = principal_components(form, books)
    mean_tone, kept_tone = principal_components(tone, TONE_BOOKS)
    mean = np.concatenate([mean_form, mean_tone])
    projection = np.zeros((FORM + TONE, COMPONENTS * BOOKS), np.float32)
    projection[:FORM, : COMPONENTS * books] = kept_form
    projection[FORM:, COMPONENTS * books :] = kept_tone
    codebooks = learn_books((latents - mean) @ projection, M=BOOKS, K=WORDS, seed=seed).codebooks
    mean_fine, kept_fine = principal_components(form, FINE_BOOKS)
    fine = np.zeros((FORM + TONE, kept_fine.shape[1]), np.float32)
    fine[:FORM] = kept_fine
    fine_books = learn_books(
        (form - mean_fine) @ kept_fine, M=FINE_BOOKS, K=FINE_WORDS, seed=seed, iterations=12
    )
    return {
        "mean": mean,
        "projection": projection,
        "codebooks": codebooks,
        "weights": np.repeat([1, 0], [books, TONE_BOOKS]).astype(np.float32),
        "fine_mean": np.concatenate([mean_fine, np.zeros(TONE, np.float32)]),
        "fine_projection": fine,
        "fine_codebooks": fine_books.codebooks,
    }
