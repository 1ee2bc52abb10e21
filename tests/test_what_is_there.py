"""What a file leaves unsaid is drawn as viewers draw it: a GIF's canvas, alpha that is none."""

from __future__ import annotations

import struct

import numpy as np
import PIL.Image
import pytest

from kinpack.pictures.images import Image, load_image
from tests.picture_files import coded


def gif(
    canvas: tuple[int, int],
    frame: tuple[int, int, int, int],
    levels: Image,
    *,
    grey: bool = False,
    clear: int | None = None,
) -> bytes:
    """A GIF whose only frame, left, top, width and height, lies somewhere on its canvas."""
    codes = [256]  # "clear" often enough that all codes have nine bits
    for number, level in enumerate(levels.ravel().tolist()):
        codes += [256] if number % 200 == 199 else []
        codes.append(level)
    codes.append(257)
    number = sum(code << 9 * place for place, code in enumerate(codes))
    data = number.to_bytes(-(-9 * len(codes) // 8), "little")
    blocks = b"".join(
        bytes([len(data[at : at + 255])]) + data[at : at + 255] for at in range(0, len(data), 255)
    )
    table = b"".join(bytes([n, n, n] if grey else [n, 255 - n, n * 7 % 256]) for n in range(256))
    head = b"GIF89a" + struct.pack("<HHBBB", *canvas, 0xF7, 3, 0) + table
    control = b"" if clear is None else b"\x21\xf9\x04" + bytes([1, 0, 0, clear, 0])
    return head + control + b"\x2c" + struct.pack("<HHHHB", *frame, 0) + b"\x08" + blocks + b"\0;"


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("colours", [2, 200, 256])
@pytest.mark.parametrize("place", [(0, 0), (5, 4), (12, 10), (0, 10)])
def test_around_a_gif_s_first_frame_is_nothing(
    place: tuple[int, int], colours: int, grey: bool, rng: np.random.Generator
) -> None:
    levels = rng.integers(0, colours, (30, 28), dtype=np.uint8)
    levels[0, :2] = 0, colours - 1
    whole = load_image(gif((28, 30), (0, 0, 28, 30), levels, grey=grey))
    left, top = place
    got = load_image(gif((40, 40), (left, top, 28, 30), levels, grey=grey))
    assert got.shape == (40, 40, 4)
    inside = np.zeros((40, 40), bool)
    inside[top : top + 30, left : left + 28] = True
    assert not got[~inside, 3].any()
    part = got[top : top + 30, left : left + 28]
    there = part[:, :, 3] == 255
    assert there.all() or (colours == 256 and there.mean() > 0.9)
    np.testing.assert_array_equal(part[there][:, :3], np.broadcast_to(whole, (30, 28, 3))[there])


def test_a_whole_gif_gets_no_alpha(rng: np.random.Generator) -> None:
    levels = rng.integers(0, 9, (30, 28), dtype=np.uint8)
    assert load_image(gif((28, 30), (0, 0, 28, 30), levels)).shape == (30, 28, 3)
    clear = load_image(gif((40, 40), (0, 0, 28, 30), levels, clear=3))
    assert (clear[:30, :28, 3] == np.where(levels == 3, 0, 255)).all()
    assert not clear[30:, :, 3].any()


def test_alpha_that_is_none_is_opaque(rng: np.random.Generator) -> None:
    image = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8)
    data = bytearray(coded(PIL.Image.fromarray(image), "TGA"))
    np.testing.assert_array_equal(load_image(bytes(data)), image)
    data[17] &= 0xF0  # no bits of a pixel are alpha
    got = load_image(bytes(data))
    np.testing.assert_array_equal(got[:, :, :3], image[:, :, :3])
    assert (got[:, :, 3] == 255).all()
