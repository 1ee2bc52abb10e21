"""Reading and writing pictures, and the area reduction."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinpack.errors import ImageError, shown
from kinpack.pictures.formats import SUFFIXES, is_picture_name
from kinpack.pictures.images import (
    LONGEST_SIDE,
    Image,
    as_rgb,
    composite_on_white,
    load_image,
    to_pil,
    validate_image,
)
from kinpack.pictures.picture_writing import save_image

IMAGES = hnp.arrays(
    np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3, 4]))
)


def coded(picture: PIL.Image.Image, format_: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, format_, **options)
    return file.getvalue()


def picture_of(rng: np.random.Generator, *shape: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8))


# How a camera stores an upright picture x under each EXIF orientation: the TIFF standard's
# "which edges of the stored picture are the top and the left".
STORED: dict[int, Callable[[Image], Image]] = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, 1),
    7: lambda x: x.swapaxes(0, 1)[::-1, ::-1],
    8: lambda x: np.rot90(x, -1),
}


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", sorted(STORED))
def test_exif_orientation_is_applied_once(
    orientation: int, format_: str, rng: np.random.Generator
) -> None:
    upright = rng.integers(0, 256, (5, 9, 3), dtype=np.uint8)
    stored = PIL.Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if format_ == "WEBP" else {}
    data = coded(stored, format_, exif=exif.tobytes(), **options)
    np.testing.assert_array_equal(load_image(data), upright)


def test_exif_orientation_of_a_reduced_jpeg() -> None:
    upright = np.zeros((200, 400, 3), np.uint8)
    upright[:100] = 255  # white above, black below
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    data = coded(PIL.Image.fromarray(np.rot90(upright, 1)), "JPEG", exif=exif.tobytes())
    small = load_image(data, size=40)
    assert small.shape == (20, 40, 3)
    assert small[:8].min() > 240
    assert small[-8:].max() < 15


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"nonsense"])
def test_broken_exif_is_ignored(exif: bytes, rng: np.random.Generator) -> None:
    picture = picture_of(rng, 4, 6, 3)
    np.testing.assert_array_equal(load_image(coded(picture, "PNG", exif=exif)), picture)


def test_first_frame_of_animations(rng: np.random.Generator) -> None:
    frames = [picture_of(rng, 8, 8, 3) for _ in range(3)]
    for format_, options in (("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        data = coded(frames[0], format_, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(load_image(data), frames[0])
    grey = [PIL.Image.new("L", (8, 8), level) for level in (10, 200)]
    gif = load_image(coded(grey[0], "GIF", save_all=True, append_images=grey[1:]))
    assert np.unique(gif[:, :, :3]).tolist() == [10]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM"])
def test_a_prefix_of_a_file_is_refused_or_complete(
    format_: str, rng: np.random.Generator, tmp_path: Path
) -> None:
    data = coded(picture_of(rng, 24, 24, 3), format_)
    whole = load_image(data)
    file = tmp_path / "cut.jpg"
    refusals = []
    for n in sorted({0, 1, 2, 8, *range(12, len(data), max(1, len(data) // 25))}):
        file.write_bytes(data[:n])
        message = refusal(file, whole)
        if message is not None:
            refusals.append(message)
    assert len(refusals) > 20
    assert all(str(file) in message and "\n" not in message for message in refusals)


def refusal(file: Path, whole: Image) -> str | None:
    """Say why a file is refused; None where it is not, and then it must be the whole picture."""
    try:
        np.testing.assert_array_equal(load_image(file), whole)
    except ImageError as error:
        return str(error)
    return None


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_raises_nothing_but_image_errors(data: st.DataObject) -> None:
    format_ = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"]))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    good = bytearray(coded(PIL.Image.linear_gradient("L").resize((16, 9)), format_, exif=exif))
    for place in data.draw(st.lists(st.integers(0, len(good) - 1), min_size=1, max_size=6)):
        good[place] ^= data.draw(st.integers(1, 255))
    try:
        image = load_image(bytes(good), size=12)
    except ImageError:
        return
    assert validate_image(image, "it").shape == image.shape


@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_are_no_picture(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"empty|not a picture|damaged|not read"):
        load_image(data)


def test_refusals_name_the_file_and_the_cure(tmp_path: Path) -> None:
    text = tmp_path / "notes.jpg"
    text.write_text("this is no picture\n" * 20)
    with pytest.raises(ImageError, match=r"notes\.jpg: .*leave it out"):
        load_image(text)
    (tmp_path / "none.png").touch()
    with pytest.raises(ImageError, match=r"none\.png: .*empty"):
        load_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match=r"gone\.png: no such file"):
        load_image(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="not a regular file"):
        load_image(tmp_path)
    with pytest.raises(ImageError, match="cannot be read"):
        load_image(text / "below.png")
    with pytest.raises(ImageError, match="size is 0"):
        load_image(text, size=0)


def test_a_script_that_calls_itself_a_picture_is_not_run(tmp_path: Path) -> None:
    # Pillow knows EPS and would start Ghostscript for it.
    file = tmp_path / "page.png"
    file.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(ImageError, match="not a picture"):
        load_image(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        load_image(tmp_path / "pipe.png")


def test_decompression_bombs_are_refused(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    data = coded(picture_of(rng, 20, 20, 3), "PNG")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ImageError, match=r"200.*KINPACK_MAX_PIXELS"):
        load_image(data, where="bomb.png")


def test_sides_of_zero_and_above_the_limit_are_refused() -> None:
    with pytest.raises(ImageError, match="hold nothing"):
        load_image(PIL.Image.new("RGB", (0, 4)))
    long = PIL.Image.new("L", (LONGEST_SIDE + 1, 1))
    with pytest.raises(ImageError, match=r"65536×1 .*65535"):
        load_image(long)
    assert load_image(long, size=100).shape == (1, 100, 1)
    assert load_image(long.crop((0, 0, LONGEST_SIDE, 1))).shape == (1, LONGEST_SIDE, 1)


@given(width=st.integers(1, 300), height=st.integers(1, 300), size=st.integers(1, 320))
@settings(max_examples=40, deadline=None)
def test_size_bounds_the_longest_side_and_never_enlarges(
    width: int, height: int, size: int
) -> None:
    small = load_image(PIL.Image.new("L", (width, height), 77), size=size)
    longest = max(width, height)
    if longest <= size:
        assert small.shape == (height, width, 1)
    else:
        assert max(small.shape) == size
        for side, full in zip(small.shape, (height, width), strict=False):
            assert side == max(1, int(Fraction(full * size, longest) + Fraction(1, 2)))
    assert set(small.ravel().tolist()) == {77}


def test_reduction_is_antialiased(rng: np.random.Generator) -> None:
    board = np.indices((256, 256)).sum(0).astype(np.uint8) % 2 * 255
    small = load_image(PIL.Image.fromarray(board), size=32)
    assert 124 <= small.min() <= small.max() <= 131
    # A JPEG decoded at a fraction is the same picture as one decoded whole and then reduced.
    smooth = picture_of(rng, 12, 8, 3).resize((640, 960), PIL.Image.Resampling.BICUBIC)
    data = coded(smooth, "JPEG", quality=95)
    fast = load_image(data, size=96).astype(int)
    whole = load_image(PIL.Image.open(io.BytesIO(data)).resize((64, 96), 1)).astype(int)
    assert fast.shape == (96, 64, 3)
    assert np.abs(fast - whole).mean() < 1.5


def test_reduced_alpha_has_no_dark_fringe() -> None:
    image = np.zeros((96, 96, 4), np.uint8)
    image[:, :50] = (250, 40, 10, 255)  # beside transparent black
    small = load_image(PIL.Image.fromarray(image), size=13)
    edge = small[small[:, :, 3] > 24]
    assert (small[:, :, 3] % 255 > 0).any()  # an antialiased edge
    assert np.abs(edge[:, :3].astype(int) - (250, 40, 10)).max() <= 6


def test_a_given_pillow_image_is_left_as_it_is(rng: np.random.Generator) -> None:
    picture = picture_of(rng, 50, 30, 3)
    before = np.array(picture)
    load_image(picture, size=10)
    assert picture.size == (30, 50)
    np.testing.assert_array_equal(picture, before)


@given(image=IMAGES)
@settings(max_examples=30, deadline=None)
def test_pillow_round_trip(image: Image) -> None:
    back = load_image(to_pil(image))
    np.testing.assert_array_equal(back, image)
    assert back.flags.c_contiguous
    assert back.flags.writeable


@pytest.mark.parametrize("format_", ["png", "webp"])
def test_lossless_files_round_trip(
    format_: Literal["png", "webp"], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("saved")

    @given(image=IMAGES)
    @settings(max_examples=40, deadline=None)
    def check(image: Image) -> None:
        path = folder / f"it.{format_}"
        save_image(image, path)
        back = load_image(path)
        wanted = as_rgb(image) if format_ == "webp" and image.shape[2] == 1 else image
        if format_ == "webp" and image.shape[2] == 4 and back.shape[2] == 3:
            assert image[:, :, 3].min() == 255  # libwebp drops an alpha that is opaque everywhere
            wanted = as_rgb(image)
        np.testing.assert_array_equal(back, wanted)
        assert os.listdir(folder) == [path.name]  # noqa: PTH208

    check()


def test_jpeg_is_composited_on_white(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 4), np.uint8)
    image[:8] = (200, 30, 60, 255)
    save_image(image, tmp_path / "it.jpg")
    back = load_image(tmp_path / "it.jpg").astype(int)
    assert np.abs(back - composite_on_white(image)).max() <= 3
    save_image(image[:, :, :1], tmp_path / "grey", format="jpeg")
    assert load_image(tmp_path / "grey").shape == (16, 16, 1)


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "it.png"
    path.write_bytes(b"old")

    def fail(self: PIL.Image.Image, file: io.BytesIO, *args: Any, **options: Any) -> None:
        file.write(b"half")
        raise failure

    monkeypatch.setattr(PIL.Image.Image, "save", fail)
    wanted = ImageError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(wanted):
        save_image(np.zeros((2, 2, 3), np.uint8), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["it.png"]  # noqa: PTH208


def test_writing_refuses_with_a_cure(tmp_path: Path) -> None:
    image = np.zeros((2, 2, 3), np.uint8)
    with pytest.raises(ImageError, match=r"it\.gif: .*png, webp"):
        save_image(image, tmp_path / "it.gif")
    with pytest.raises(ImageError, match="write png instead"):
        save_image(np.zeros((1, 16384, 3), np.uint8), tmp_path / "long.webp")
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(image, tmp_path / "nowhere" / "it.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        save_image(image, tmp_path / "folder.png")
    assert os.listdir(tmp_path) == ["folder.png"]  # noqa: PTH208


def test_validate_image() -> None:
    assert validate_image(np.zeros((3, 5), np.uint8), "it").shape == (3, 5, 1)
    turned = validate_image(np.zeros((3, 5, 4), np.uint8).swapaxes(0, 1), "it")
    assert turned.flags.c_contiguous
    for shape in [(), (4,), (2, 2, 2), (2, 2, 5), (1, 2, 2, 3)]:
        with pytest.raises(ImageError, match=r"it: .* has the shape "):
            validate_image(np.zeros(shape, np.uint8), "it")
    with pytest.raises(ImageError, match=r"transpose\(1, 2, 0\)"):
        validate_image(np.zeros((3, 8, 8), np.uint8), "it")
    for shape in [(0, 4, 3), (4, 0, 1)]:
        with pytest.raises(ImageError, match="hold nothing"):
            validate_image(np.zeros(shape, np.uint8), "it")
    for wrong in (np.zeros((2, 2), np.float32), np.zeros((2, 2), bool)):
        with pytest.raises(ImageError, match=r"uint8 .*astype"):
            validate_image(wrong, "it")
    with pytest.raises(ImageError, match=r"uint8 array .*list"):
        validate_image(cast(Any, [[1]]), "it")


@given(image=IMAGES)
@settings(max_examples=30)
def test_composite_on_white_is_exact(image: Image) -> None:
    got = composite_on_white(image)
    assert got.shape == (*image.shape[:2], 3)
    if image.shape[2] != 4:
        np.testing.assert_array_equal(got, as_rgb(image))
        return
    alpha = image[:, :, 3:].astype(float) / 255
    np.testing.assert_array_equal(got, np.rint(image[:, :, :3] * alpha + 255 * (1 - alpha)))


def test_every_suffix_is_of_a_format_that_is_tried() -> None:
    PIL.Image.init()
    for suffix in SUFFIXES:
        assert PIL.Image.registered_extensions()[suffix] in (
            "JPEG MPO PNG WEBP GIF BMP TIFF PPM AVIF JPEG2000 ICO TGA"
        )
    assert is_picture_name("Holiday.JPG")
    assert not is_picture_name("notes.txt")
    assert not is_picture_name(".png")


@pytest.mark.parametrize("format_", ["ICO", "TGA", "JPEG2000"])
def test_rarer_formats(format_: str, rng: np.random.Generator) -> None:
    picture = picture_of(rng, 16, 16, 4)
    options = {"sizes": [(16, 16)]} if format_ == "ICO" else {}
    np.testing.assert_array_equal(load_image(coded(picture, format_, **options)), picture)


def test_shown_is_one_line_of_utf8() -> None:
    assert shown("a/café.png") == "a/café.png"
    assert shown("a\nb\udcff.png") == "a\\nb\\xff.png"
    shown("\ud800").encode()


@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    size=st.tuples(st.integers(1, 320), st.integers(1, 320)) | st.integers(1, 320),
    orientation=st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_sizes_are_those_of_the_upright_picture(
    width: int, height: int, size: tuple[int, int] | int, orientation: int
) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    PIL.Image.new("L", (width, height), 77).save(file, "JPEG", exif=exif)
    full = (height, width) if orientation < 5 else (width, height)
    asked: tuple[int, int] | str = size if isinstance(size, tuple) else f"short:{size}"
    made = load_image(file.getvalue(), size=asked).shape[:2]
    if isinstance(size, tuple):
        scale = min(Fraction(1), Fraction(size[1], full[0]), Fraction(size[0], full[1]))
    else:
        scale = min(Fraction(1), Fraction(size, min(full)))
    assert made == tuple(max(1, int(side * scale + Fraction(1, 2))) for side in full)


@pytest.mark.parametrize("size", [0, -1, "256", "short:", "short:0", (3,), (0, 4), (3, "4"), 2.5])
def test_what_is_no_size_is_refused(size: object) -> None:
    with pytest.raises(ImageError, match="size"):
        load_image(PIL.Image.new("L", (3, 3)), size=size)  # type: ignore[arg-type]
