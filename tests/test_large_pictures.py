"""Large pictures: the same image strip by strip, and memory of one picture whatever the threads."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from kinpack.pictures import large_pictures
from kinpack.pictures.images import load_image
from tests.pictures import waves

MODES = ["L", "RGB", "RGBA", "LA", "P", "1", "I;16", "CMYK"]


def coded(mode: str, *, orientation: int | None = None) -> bytes:
    """A file of a picture of 231 × 170 pixels."""
    if mode == "I;16":
        grey = waves(170, 231, 1)[:, :, 0].astype(np.uint16) * 257
        picture = PIL.Image.fromarray(grey)
    else:
        picture = PIL.Image.fromarray(waves(170, 231, 4)).convert(mode)
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    picture.save(file, "TIFF" if mode == "CMYK" else "PNG", exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("size", [None, 200, 60, 16])
@pytest.mark.parametrize("mode", MODES)
def test_strips_give_the_same_image(
    mode: str, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = coded(mode)
    whole = load_image(data, size=size)
    monkeypatch.setattr(large_pictures, "LARGE_PICTURE", 1000)
    monkeypatch.setattr(large_pictures, "STRIP", 1500)
    found = load_image(data, size=size)
    assert found.shape == whole.shape
    if whole.shape[2] == 4 and size is not None:
        # Averaged first: what is not premultiplied differs where it can hardly be seen.
        far = np.abs(found.astype(float) - whole)
        assert far[:, :, 3].max() < 16
        assert far[whole[:, :, 3] > 128].mean() < 2
    else:
        assert (found == whole).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_strips_are_turned_upright(orientation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = coded("RGB", orientation=orientation)
    whole = load_image(data, size=90)
    monkeypatch.setattr(large_pictures, "LARGE_PICTURE", 1000)
    monkeypatch.setattr(large_pictures, "STRIP", 1500)
    assert (load_image(data, size=90) == whole).all()
    with PIL.Image.open(io.BytesIO(data)) as picture:
        turned = PIL.ImageOps.exif_transpose(picture)
    assert (load_image(data) == np.asarray(turned)).all()


LOAD = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from kinpack.pictures.images import load_image
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(4) as pool:
    shapes = list(pool.map(lambda _: load_image(sys.argv[1], size=256).shape, range(4)))
assert shapes == [(256, 256, 4)] * 4
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_threads_hold_one_large_picture(tmp_path: Path) -> None:
    side = 6000
    PIL.Image.new("RGBA", (side, side), (200, 100, 50, 128)).save(tmp_path / "a.png")
    words = [sys.executable, "-c", LOAD, str(tmp_path / "a.png")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    pixels = side * side * 4 / 1024
    assert int(done.stdout) < 2 * pixels  # four threads held four, and twice as much each
