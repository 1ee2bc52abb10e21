"""SSIMULACRA 2.1 as libjxl's own tool computes it, from the parts of the package ``ssimulacra2``.

The package's weights, colours and maps are the tool's. Its windows are not: it blurs with another
kernel, mirrors two of the borders, and leaves out the last scale of small pictures, which moves the
score by four on the pair that the Rust port is tested with, and by ten at 64 pixels. Here the
parts are run with the tool's windows and scales. Below 128 pixels there are fewer than six scales,
and the tool's weights, which are told off in their order, then meet other maps than they were
fitted to: scores of pictures of 64 and 32 pixels rank codecs, and are not on the usual scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kinpack.errors import MissingExtraError
from kinpack.pictures.images import Image

SCALES, LEAST_SIDE = 6, 8
SIGMA = 1.5


def truncated_cosines(sigma: float = SIGMA) -> NDArray[np.float64]:
    """Weights of the tool's window: three cosines that stand in for a Gaussian.

    The sum of the recursive filters in Charalampidis (2016), equations 33 to 57, written out.

    Args:
        sigma: of the Gaussian, in pixels.

    Returns:
        (2N + 1,) weights of sum 1, N from equation 57; the outermost are 0.
    """
    n = round(3.2795 * sigma + 0.2546)
    omega = np.array([1, 3, 5]) * np.pi / (2 * n)
    p = np.array([1, -1, 1]) / np.tan(omega / 2)
    r = np.array([1, -1, 1]) * p**2 / np.sin(omega)
    rho = np.exp(-(sigma**2) * omega**2 / 2) / n
    zeta = np.cross(p, r)
    zeta = np.array([zeta[0], zeta[1], zeta[2]]) / zeta[2]
    system = np.array([p, r, zeta])
    beta = np.linalg.solve(system, [1, n**2 - sigma**2, zeta @ rho])
    weights: NDArray[np.float64] = np.cos(np.outer(np.arange(-n, n + 1), omega)) @ beta
    return weights


def ssimulacra2_score(original: Image, drawn: Image) -> float:
    """Score of a drawn picture: 100 where it is exact, 90 where no difference is seen.

    Args:
        original: uint8 (H, W, C), grey or RGB, both sides 8 pixels or more.
        drawn: the same shape.

    Raises:
        MissingExtraError: the package ``ssimulacra2`` is not installed.
    """
    try:
        from scipy.ndimage import correlate1d
        from ssimulacra2 import ssimulacra2 as parts
    except ImportError as error:
        raise MissingExtraError(
            "ssimulacra2 is measured by packages of the extra measure: "
            "pip install 'kinpack[measure]'"
        ) from error
    window = truncated_cosines()

    def blurred(planes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Planes (H, W, 3) under the window, nothing around them."""
        across = correlate1d(planes, window, axis=1, mode="constant")
        down: NDArray[np.float64] = correlate1d(across, window, axis=0, mode="constant")
        return down

    def planes(linear: NDArray[np.float64]) -> NDArray[np.float64]:
        """XYB planes of linear RGB, both (H, W, 3) but for the order of the sides."""
        xyb: NDArray[np.float64] = parts.make_positive_xyb(parts.linear_rgb_to_xyb(linear))
        return xyb

    both = [
        parts.srgb_to_linear(np.broadcast_to(image, (*image.shape[:2], 3)))
        for image in (original, drawn)
    ]
    found = parts.Msssim()
    for scale in range(SCALES):
        if min(both[0].shape[:2]) < LEAST_SIDE:
            break
        if scale:
            both = [parts.downsample(linear, 2, 2) for linear in both]
        a, b = map(planes, both)
        mean_a, mean_b = blurred(a), blurred(b)
        of_scale = parts.MsssimScale()
        of_scale.avg_ssim = parts.ssim_map(
            mean_a, mean_b, blurred(a * a), blurred(b * b), blurred(a * b)
        )
        of_scale.avg_edgediff = parts.edge_diff_map(a, mean_a, b, mean_b)
        found.scales.append(of_scale)
    return float(found.score())
