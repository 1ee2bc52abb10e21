"""How alike two pictures are, by every measure that tables of rates have.

- `psnr`: in dB, of RGB, or of grey for grey pictures.
- `ssim`: of BT.601 luma, or of grey, Gaussian windows of 11 pixels, σ = 1.5 (pytorch-msssim).
- `ssimulacra2`: of XYB planes, at most 100 (`ssimulacra2_score`).
- `ms_ssim`: as `ssim`, over five scales, where both sides have 256 pixels or more (pytorch-msssim).

Pictures with alpha are laid on white.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.measuring.ssimulacra2_score import ssimulacra2_score
from kinpack.errors import MissingExtraError
from kinpack.metrics import psnr
from kinpack.pictures.images import Image, composite_on_white

MEASURES = ("psnr", "ssim", "ssimulacra2", "ms_ssim")
NAMES = {"psnr": "PSNR", "ssim": "SSIM(Y)", "ssimulacra2": "ssimulacra2", "ms_ssim": "MS-SSIM(Y)"}
"""What pages call them."""
LUMA = (0.299, 0.587, 0.114)
MS_SSIM_SIDE = 256
"""Shorter side, in pixels, from which on there is MS-SSIM."""
MOST = 1 - 1e-6
"""SSIM that counts for more: its decibels would have no end."""


def likeness(original: Image, drawn: Image, wanted: Sequence[str] = MEASURES) -> dict[str, float]:
    """Measure how like a picture is what was drawn of it.

    Args:
        original: uint8 (H, W, C), grey, RGB or RGBA.
        drawn: the same shape.
        wanted: which of `MEASURES`.

    Returns:
        Measure -> value; `ms_ssim` of large pictures alone.

    Raises:
        MissingExtraError: a package of the extra ``measure`` is not installed.
    """
    a, b = seen(original), seen(drawn)
    found = {"psnr": psnr(a, b)} if "psnr" in wanted else {}
    if "ssim" in wanted:
        found["ssim"] = _structure(a, b, scales=1)
    if "ssimulacra2" in wanted:
        found["ssimulacra2"] = ssimulacra2_score(a, b)
    if "ms_ssim" in wanted and min(a.shape[:2]) >= MS_SSIM_SIDE:
        found["ms_ssim"] = _structure(a, b, scales=5)
    return found


def mean_likeness(
    originals: Iterable[Image], drawn: Iterable[Image], wanted: Sequence[str] = MEASURES
) -> dict[str, float]:
    """Mean of each measure over pictures, as ``psnr_mean`` and so on; one that some lack is not."""
    values = [likeness(a, b, wanted) for a, b in zip(originals, drawn, strict=True)]
    return {
        f"{name}_mean": float(np.mean([each[name] for each in values]))
        for name in wanted
        if all(name in each for each in values)
    }


def mean_psnr(originals: Iterable[Image], drawn: Iterable[Image]) -> float:
    """Mean PSNR alone, in dB."""
    return mean_likeness(originals, drawn, ["psnr"])["psnr_mean"]


def quality_of(row: Mapping[str, float], measure: str) -> float | None:
    """What a curve has along its axis: PSNR in dB, ssimulacra2, or SSIM's −10·log10(1 − SSIM).

    Args:
        row: with the means of `mean_likeness`.
        measure: of `MEASURES`.

    Returns:
        The value; None where the row has no such measure.
    """
    value = row.get(f"{measure}_mean")
    if value is None or measure not in ("ssim", "ms_ssim"):
        return value
    return float(-10 * np.log10(1 - min(value, MOST)))


def seen(image: Image) -> Image:
    """A picture as it is looked at: alpha laid on white."""
    return composite_on_white(image) if image.shape[2] == 4 else image


def _structure(a: Image, b: Image, *, scales: int) -> float:
    """SSIM of luma, or MS-SSIM."""
    try:
        import torch
        from pytorch_msssim import ms_ssim, ssim
    except ImportError as error:
        raise MissingExtraError(
            "SSIM is measured by packages of the extra measure: pip install 'kinpack[measure]'"
        ) from error
    x, y = (
        torch.from_numpy(image.astype(np.float64) @ np.array(LUMA if image.shape[2] == 3 else [1]))
        for image in (a, b)
    )
    measure = ssim if scales == 1 else ms_ssim
    return float(measure(x[None, None], y[None, None], data_range=255))
