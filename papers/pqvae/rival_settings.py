"""What is tried for each of the rivals on the held-out images, before one is measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from papers.pqvae.hashing import itq, lsh, spectral, spherical
from papers.pqvae.product_rivals import ProductSettings
from papers.pqvae.rival_inputs import Features

HASHING = ("lsh", "spectral", "spherical", "itq", "deep-hashing")
"""Binary codes, on both inputs."""
PRODUCT = ("pca-pq", "pca-opq")
"""Product codes, on principal components of the pixels."""
METHODS = (*PRODUCT, *HASHING)
INPUTS: tuple[Features, ...] = ("gist", "pixels")


@dataclass(frozen=True)
class Choice:
    """Settings of a method and of its input.

    Attributes:
        dims: components of the input that are kept; all where None.
        unit_length: whether vectors are brought to length 1.
        settings: of the method, as its module defines them.
    """

    dims: int | None = None
    unit_length: bool = False
    settings: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Give JSON values."""
        return {
            "dims": self.dims,
            "unit_length": self.unit_length,
            "settings": None if self.settings is None else asdict(self.settings),
        }


def candidates(method: str, features: Features, bits: int, *, quick: bool = False) -> list[Choice]:
    """List what is tried on the held-out images; the first wins a tie.

    Args:
        method: a name out of ``METHODS``.
        features: the input.
        bits: length of the codes.
        quick: whether to try little, with short iterations.
    """
    dims: tuple[int | None, ...] = (16, 32, 64, 128) if features == "pixels" else (None,)
    if method == "spectral":
        box = sorted({16, 32, bits})
        found = [
            Choice(n if features == "pixels" else None, settings=spectral.SpectralSettings(n))
            for n in box
        ]
    elif method == "spherical":
        rounds = 10 if quick else 200
        spheres = spherical.SphericalSettings(most_rounds=rounds)
        found = [Choice(n, settings=spheres) for n in dims]
    elif method == "itq":
        # It takes as many principal components as bits: more make no difference.
        turns = itq.ItqSettings(5 if quick else 50)
        found = [Choice(bits if features == "pixels" else None, settings=turns)]
    elif method == "deep-hashing":
        found = _deep_candidates(dims, quick=quick)
    elif method in PRODUCT:
        found = _product_candidates(bits, rotate=method == "pca-opq", quick=quick)
    else:
        found = [Choice(n, settings=lsh.LshSettings()) for n in dims]
    return found[:2] if quick else found


def _deep_candidates(dims: tuple[int | None, ...], *, quick: bool) -> list[Choice]:
    from papers.pqvae.hashing.deep_hashing import DeepHashingSettings

    settings = [
        DeepHashingSettings(epochs=epochs, variance=variance)
        for epochs in ((1,) if quick else (5, 15))
        for variance in (0.0, 1.0)
    ]
    return [Choice(n, settings=s) for n in dims if n != 16 for s in settings]


def further_candidates(method: str, best: Choice) -> list[Choice]:
    """List what is tried next, with the best of the candidates: larger books of product codes.

    Args:
        method: a name out of ``METHODS``.
        best: the best of the candidates.
    """
    return [replace(best, settings=replace(best.settings, K=256))] if method in PRODUCT else []


def _product_candidates(bits: int, *, rotate: bool, quick: bool) -> list[Choice]:
    settings = ProductSettings(K=16, rotate=rotate)
    if quick:
        settings = replace(settings, iterations=3, turns=1)
    # The books share the components evenly.
    sizes = (16, 32, 64) if 16 % settings.books(bits) == 0 else (24, 48)
    return [Choice(dims, unit, settings) for dims in sizes for unit in (False, True)]
