"""Odd files drawn by kinpack and by OpenCV, where that is installed: the same pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from kinpack.pictures.images import Image, as_rgb, load_image
from tests.picture_files import coded, png, tiff
from tests.pictures import waves

cv2 = pytest.importorskip("cv2", reason="the second opinion, opencv-python-headless, is missing")

FORMATS: list[tuple[str, dict[str, Any]]] = [
    *(("PNG", options) for options in ({}, {"compress_level": 0}, {"optimize": True})),
    ("BMP", {}),
    ("PPM", {}),
    ("GIF", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True, "exact": True}),
    ("AVIF", {}),
    ("AVIF", {"subsampling": "4:4:4"}),
    ("JPEG2000", {}),
    ("JPEG2000", {"irreversible": True}),
    *(("TIFF", {"compression": f"tiff_{name}"}) for name in ("lzw", "adobe_deflate")),
    ("TIFF", {"compression": "packbits"}),
    *(("JPEG", {"subsampling": sampling}) for sampling in (0, 1, 2)),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"restart_marker_blocks": 2, "quality": 30}),
    ("JPEG", {"optimize": True, "quality": 98}),
]


def drawn(data: bytes, *, colour: bool = False) -> Image:
    """An image as OpenCV draws it, its channels in kinpack's order."""
    mode = cv2.IMREAD_COLOR if colour else cv2.IMREAD_UNCHANGED
    image: NDArray[np.uint8] = cv2.imdecode(np.frombuffer(data, np.uint8), mode)
    if image.ndim == 2:
        return image[:, :, None]
    return image[:, :, [2, 1, 0, 3][: image.shape[2]]]


def check(data: bytes, *, levels: int = 0) -> None:
    ours, theirs = load_image(data), drawn(data)
    if ours.shape != theirs.shape:  # grey that OpenCV has made RGB, or the other way
        ours, theirs = as_rgb(ours), as_rgb(theirs)
    assert np.abs(ours.astype(int) - theirs).max() <= levels


@pytest.mark.parametrize(("format_", "options"), FORMATS, ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_formats(format_: str, options: dict[str, Any], channels: int) -> None:
    if channels == 4 and format_ in ("JPEG", "TIFF", "GIF", "PPM"):
        pytest.skip("it has no alpha, or OpenCV multiplies it into the colours")
    for height, width in ((1, 1), (7, 5), (16, 16), (33, 65), (8, 1)):
        image = waves(height, width, channels)
        check(
            coded(
                PIL.Image.fromarray(image.squeeze(2) if channels == 1 else image),
                format_,
                **options,
            )
        )


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_orientations(format_: str, orientation: int) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = coded(PIL.Image.fromarray(waves(24, 40, 3)), format_, exif=exif.tobytes())
    assert np.abs(load_image(data).astype(int) - drawn(data, colour=True)).max() == 0


def test_files_made_by_hand() -> None:
    for channels in (1, 3):
        image = waves(20, 30, channels)
        check(png(image))
        check(tiff((image, {})))
        check(tiff((image, {}), (image[::2, ::2], {254: 1})))
    check(png(waves(20, 30, 4)))


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut(progressive: bool, tmp_path: Path) -> None:
    data = coded(PIL.Image.fromarray(waves(160, 240, 3)), "JPEG", progressive=progressive)
    for end in (len(data) - 2, len(data) - 200, len(data) // 2):
        (tmp_path / "cut.jpg").write_bytes(data[:end])
        theirs = cv2.imread(str(tmp_path / "cut.jpg"))[:, :, ::-1]  # only from a file it takes it
        ours = load_image(data[:end], damaged="keep")
        assert np.abs(ours.astype(int) - theirs).max() == 0
