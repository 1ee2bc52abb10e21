"""Classic payloads: the least cost is chosen, every size comes back, damage is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kinpack.codec.classic import payloads as classic
from kinpack.codec.classic.own_quality import avif_quality, webp_quality
from kinpack.codec.classic.payloads import DEFAULT_SPEED, ClassicImages, candidates
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.payload import Candidate
from kinpack.codec.packets.target import aimed_psnr, lam
from kinpack.errors import CodecError, PayloadError
from kinpack.pictures.images import Image, squared_error
from tests.pictures import broken, grid, waves

FAST = 8
"""Speed of the AVIF encoder where a test only needs some payload."""


def encode_classic(image: Image, *, quality: int, speed: int = DEFAULT_SPEED) -> tuple[Kind, bytes]:
    """The candidate that costs least."""
    made = candidates(image, quality=quality, speed=speed)
    best = min(made, key=lambda one: one.cost(quality))
    return best.kind, best.payload


def draw(image: Image, kind: Kind, payload: bytes) -> Image:
    height, width, channels = image.shape
    (picture,) = ClassicImages().decode([Packet(width, height, channels, kind, 50, payload)])
    assert picture.shape == image.shape
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    return picture


@settings(max_examples=15)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([1, 3, 4]),
    quality=st.integers(1, 100),
    seed=st.integers(0, 9),
)
def test_every_size_and_quality(
    height: int, width: int, channels: int, quality: int, seed: int
) -> None:
    image = waves(height, width, channels, seed=seed)
    made = candidates(image, quality=quality, speed=FAST)
    assert len({candidate.kind for candidate in made}) == len(made)
    for candidate in made:
        picture = draw(image, candidate.kind, candidate.payload)
        assert squared_error(image, picture) == pytest.approx(candidate.error)
        if channels == 4:
            assert np.array_equal(picture[:, :, 3], image[:, :, 3])
        if quality == 100:
            assert np.array_equal(picture, image)
    best = min(made, key=lambda c: 8 * len(c.payload) + lam(quality) * c.error)
    assert encode_classic(image, quality=quality, speed=FAST) == (best.kind, best.payload)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_quality_100_keeps_every_value(channels: int) -> None:
    image = np.random.default_rng(1).integers(0, 256, (40, 30, channels), dtype=np.uint8)
    if channels == 4:
        image[:20, :, 3] = 0  # the colour under it comes back too
    kind, payload = encode_classic(image, quality=100)
    assert kind is Kind.WEBP_LOSSLESS
    assert np.array_equal(draw(image, kind, payload), image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_better_quality_costs_more_and_errs_less(channels: int) -> None:
    image = waves(48, 40, channels)
    tried = [candidates(image, quality=quality, speed=FAST)[0] for quality in (30, 50, 70, 89)]
    sizes = [len(candidate.payload) for candidate in tried]
    errors = [candidate.error for candidate in tried]
    assert sizes == sorted(sizes)
    assert errors == sorted(errors, reverse=True)


def test_drawings_are_lossless() -> None:
    image = np.full((60, 60, 3), 255, np.uint8)
    image[10:50:4, 10:50] = (200, 0, 0)
    kind, payload = encode_classic(image, quality=80)
    assert kind is Kind.WEBP_LOSSLESS
    assert np.array_equal(draw(image, kind, payload), image)


def test_one_pixel_is_a_few_bytes() -> None:
    for channels in (1, 3, 4):
        image = np.full((1, 1, channels), 200, np.uint8)
        kind, payload = encode_classic(image, quality=60)
        assert len(payload) <= 12
        assert np.abs(draw(image, kind, payload).astype(int) - image).max() <= 8


def test_invisible_images() -> None:
    image = waves(20, 20, 4)
    image[:, :, 3] = 0
    kind, payload = encode_classic(image, quality=60)
    assert len(payload) < 40
    assert not draw(image, kind, payload)[:, :, 3].any()


def test_without_avif_webp_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: name != "avif")
    for channels in (1, 3, 4):
        image = waves(40, 40, channels)
        kind, payload = encode_classic(image, quality=60)
        assert kind is Kind.WEBP
        picture = draw(image, kind, payload)
        assert np.abs(picture.astype(int) - image).mean() < 10
        if channels == 4:
            assert np.array_equal(picture[:, :, 3], image[:, :, 3])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("quality", [50, 100])
def test_tiles(monkeypatch: pytest.MonkeyPatch, channels: int, quality: int) -> None:
    """A small tile stands for the real one: 8,192 pixels a side are slow to code."""
    monkeypatch.setattr(classic, "TILE", 16)
    image = waves(40, 33, channels)  # 3 × 3 tiles, the last ones of 8 rows and of 1 column
    for candidate in candidates(image, quality=quality, speed=FAST):
        picture = draw(image, candidate.kind, candidate.payload)
        assert squared_error(image, picture) == pytest.approx(candidate.error)
        assert (candidate.error == 0) == (quality == 100)
        for wrong in (candidate.payload + b"\0", candidate.payload[:-1], b"", b"\x80"):
            with pytest.raises(PayloadError):
                draw(image, candidate.kind, wrong)


@pytest.mark.parametrize(("height", "width"), [(3, 20000), (20000, 3)])
def test_sides_beyond_what_webp_holds(height: int, width: int) -> None:
    image = np.zeros((height, width, 3), np.uint8)
    image[1, ::5] = 120
    image[::5, 1] = 120
    for quality in (30, 100):
        kind, payload = encode_classic(image, quality=quality, speed=10)
        picture = draw(image, kind, payload)
        assert quality < 100 or np.array_equal(picture, image)


def test_squared_error_by_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    for channels in (1, 3, 4):
        a, b = rng.integers(0, 256, (2, 7, 5, channels), dtype=np.uint8)
        b[:, :, 3:] = a[:, :, 3:]
        expected = 0.0
        for y in range(7):
            for x in range(5):
                opacity = int(a[y, x, 3]) if channels == 4 else 255
                colours = min(channels, 3)
                for c in range(colours):
                    on_white = [
                        (opacity * int(p[y, x, c]) + (255 - opacity) * 255 + 127) // 255
                        for p in (a, b)
                    ]
                    expected += (on_white[0] - on_white[1]) ** 2 / colours
        assert squared_error(a, b) == pytest.approx(expected)


def test_squared_error_of_many_pixels() -> None:
    a = np.zeros((1500, 1500, 1), np.uint8)
    assert squared_error(a, a + 2) == 4 * 1500 * 1500


def test_cost_weighs_bits_and_error() -> None:
    candidate = Candidate(Kind.AVIF, bytes(10), 1000.0)
    assert candidate.cost(50) == pytest.approx(80 + 16.7)
    assert candidate.cost(58) == pytest.approx(80 + 33.4)


@pytest.mark.parametrize("quality", [0, -1, 101])
def test_qualities_out_of_range(quality: int) -> None:
    with pytest.raises(CodecError, match="1 to 100"):
        candidates(waves(4, 4, 3), quality=quality)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("quality", [40, 100])
def test_damage_is_refused_or_draws_an_image_of_the_size(channels: int, quality: int) -> None:
    image = waves(20, 17, channels)
    kind, payload = encode_classic(image, quality=quality, speed=FAST)
    refused = 0
    for wrong in broken(payload, flips=120):
        for claimed in (kind, Kind.AVIF, Kind.WEBP, Kind.WEBP_LOSSLESS):
            try:
                draw(image, claimed, wrong)
            except PayloadError:
                refused += 1
    assert refused


def test_learned_payloads_are_not_classic() -> None:
    with pytest.raises(PayloadError, match="LEARNED"):
        ClassicImages().decode([Packet(3, 3, 3, Kind.LEARNED, 50, bytes(9))])


def test_maps_of_qualities_are_monotone() -> None:
    for own in (avif_quality, webp_quality):
        values = [own(quality) for quality in range(1, 101)]
        assert values == sorted(values)
        assert values[0] == 0
        assert values[-1] <= 100
    assert aimed_psnr(50) == 30
    assert lam(58) == pytest.approx(2 * lam(50))


GOLDEN = {
    (Kind.AVIF, 1): "4f01020821c7f6258b4dbc97bfd7c3daf1e3674608d380",
    (Kind.AVIF, 3): "4f010008029c73b3665221660af5eb143e0e7d7b17db7599938bd302a8",
    (Kind.AVIF, 4): (
        "1f04b92e44f43fa0389294889b0d0bd4e00d8c9f061011499807f649615ed8034f010008029c73b36652"
        "21660af5eb143e0e7d7b17db7599938bd302a8"
    ),
    (Kind.WEBP, 4): (
        "1f04b92e44f43fa0389294889b0d0bd4e00d8c9f061011499807f649615ed803d0010001001e258c0274"
        "010ae3a7f6c800feff6868fdbf4222ee1f7fa01ffb3653af4d7605b076390d9f0726e00000"
    ),
    (Kind.WEBP_LOSSLESS, 4): (
        "01cd6544ff631711fd0fa8892485219c30e4e32b56f4e33f020adab661ba3f5817fc604d8040a07d50a0"
        "95f381f886e41bce03"
    ),
}


@pytest.mark.parametrize(("kind", "channels"), GOLDEN)
def test_golden_payloads(kind: Kind, channels: int) -> None:
    """Payloads of version 1 of the format, which every later version must draw."""
    image = grid(10, 14, channels)
    picture = draw(image, kind, bytes.fromhex(GOLDEN[kind, channels]))
    assert np.abs(picture.astype(int) - image).mean() < 12
    if channels == 4:
        assert np.array_equal(picture[:, :, 3], image[:, :, 3])


@pytest.mark.shared
def test_quality_means_the_same_psnr_on_thumbnails(shared: Path) -> None:
    import pyarrow.parquet

    path = next((shared / "cifar10").rglob("test*.parquet"))
    rows = pyarrow.parquet.read_table(path, columns=["img"])["img"].slice(0, 24).to_pylist()
    images = [np.asarray(PIL.Image.open(io.BytesIO(row["bytes"])).convert("RGB")) for row in rows]
    for quality in (45, 65):
        psnr = []
        for image in images:
            kind, payload = encode_classic(image, quality=quality)
            error = squared_error(image, draw(image, kind, payload))
            psnr.append(10 * np.log10(255**2 * image.shape[0] * image.shape[1] / error))
        assert np.mean(psnr) == pytest.approx(aimed_psnr(quality), abs=1)
