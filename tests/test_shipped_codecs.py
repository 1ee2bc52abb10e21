"""The codecs that ship with the package: their size, what they take, payloads that must last."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from benchmarks.measuring.retrieval import mean_average_precision
from kinpack.codec.codec import SHIPPED, Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.describers.describer import Describer
from kinpack.describers.describing import product_codes
from kinpack.metrics import psnr
from kinpack.pictures.images import Image
from kinpack.search.index import Index

DEFAULT_ID = "b711493c7edfe85bb1cbb4e2dc03b191e334b540863498031e2c65d9e67d311f"
CLASSIC_ID = "ef657c53980800b7e49d612b4bd8a4548b46211d5156819a42f52f03822ee2ac"

# A learned packet of the shipped codec: 40×24 pixels at quality 50, and the SHA-256 of its latents
# as little-endian 32-bit integers, and of its pixels. Archives hold such payloads: they must decode
# so for ever.
GOLDEN_PAYLOAD = (
    "b114627d8367ac1d8761de5f503fcf39099f3b858fa4eafae04dcffa9f9133fc526e038cc2fdf25ca28aa67ac299e8"
    "9a22aaf24a6ec1c4c751885d70fb8a91ec233663fe0abf5d12eacab5f811ab32d77d2d08469e83d8eaffc3f03c07e1"
    "a9012bcd6ab13ee63c4163d6779ad7db89152836ce6f56e3"
)
GOLDEN_LATENTS = "72361fd833cd66e5dc95fa64f2e6980a65b4b3e27a0542f6ae14c30e1f0200f2"
GOLDEN_PIXELS = "9ac299da5b0ad2f4d1919eaac6f9564193f6e9f4547a548842d614c58709be65"


@pytest.fixture(scope="module", params=SHIPPED)
def codec(request: pytest.FixtureRequest) -> Codec:
    return Codec.load(str(request.param))


def waves() -> Image:
    y, x = np.mgrid[0:24, 0:40]
    planes = [128 + 100 * np.sin(x / 5 + y / 9), 128 + 90 * np.cos(y / 4), (x * 6) % 256]
    return np.stack(planes, -1).clip(0, 255).astype(np.uint8)


def test_they_are_the_files_that_archives_name() -> None:
    assert Codec.load("default").codec_id == DEFAULT_ID
    assert Codec.load("classic").codec_id == CLASSIC_ID


def test_they_are_small(codec: Codec) -> None:
    assert codec.n_bytes <= 2_000_000


def test_their_page_tells_their_size(codec: Codec) -> None:
    page = Path(__file__).parents[1] / "docs" / "codecs.md"
    assert f"| bytes | {codec.n_bytes:,}" in page.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (7, 9), (32, 32), (33, 130), (700, 520)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_any_image_comes_back(
    codec: Codec, size: tuple[int, int], channels: int, rng: np.random.Generator
) -> None:
    ramp = np.add.outer(np.arange(size[0]), np.arange(size[1]))[:, :, None] * 3
    image = ((ramp + rng.integers(0, 9, (*size, channels))) % 256).astype(np.uint8)
    for quality in (1, 60, 100) if max(size) < 200 else (60,):
        packet = codec.encode([image], quality=quality)[0]
        (drawn,) = codec.decode([packet])
        assert drawn.shape == image.shape
        if channels == 4:
            assert (drawn[:, :, 3] == image[:, :, 3]).all()
        if quality == 100:
            assert (drawn == image).all()


@pytest.mark.slow
def test_a_large_image_comes_back_in_tiles() -> None:
    codec = Codec.load("default")
    y, x = np.mgrid[0:900, 0:1300]
    image = np.stack([x // 6 % 256, y // 4 % 256, (x + y) // 9 % 256], -1).astype(np.uint8)
    packet = codec.encode([image], quality=60, classic="never")[0]
    assert packet.kind is Kind.LEARNED
    assert psnr(codec.decode([packet])[0], image) > 30


def test_golden_learned_payload() -> None:
    codec, payload = Codec.load("default"), bytes.fromhex(GOLDEN_PAYLOAD)
    quality = np.array([50])
    latents = codec.learned_coder().latents.decode([payload], None, size=(3, 5), quality=quality)
    assert hashlib.sha256(latents.astype("<i4").tobytes()).hexdigest() == GOLDEN_LATENTS
    packet = Packet(40, 24, 3, Kind.LEARNED, 50, payload)
    (drawn,) = codec.decode([packet])
    assert hashlib.sha256(drawn.tobytes()).hexdigest() == GOLDEN_PIXELS
    assert psnr(drawn, waves()) > 30


def test_each_image_is_coded_by_itself() -> None:
    codec = Codec.load("default")
    images = [waves(), waves()[:, ::-1].copy(), waves()[:17, :9].copy(), waves()]
    together = codec.encode(images, quality=50, classic="never")
    assert [codec.encode([i], quality=50, classic="never")[0].payload for i in images] == [
        packet.payload for packet in together
    ]


def test_quality_rises() -> None:
    codec = Codec.load("default")
    packets = [codec.encode([waves()], quality=q, classic="never")[0] for q in (20, 40, 60, 80)]
    sizes = [len(packet.payload) for packet in packets]
    quality = [psnr(codec.decode([packet])[0], waves()) for packet in packets]
    assert sizes == sorted(sizes)
    assert quality == sorted(quality)


def test_a_mirror_image_has_the_same_classic_code() -> None:
    describer = Describer.load("classic")
    mirrored = waves()[:, ::-1].copy()
    assert (product_codes(describer, [waves()]) == product_codes(describer, [mirrored])).all()


@pytest.mark.slow
@pytest.mark.shared
def test_kin_are_found(shared: Path) -> None:
    """Eight bytes find kin at least as well as all 3,072 pixels under L2 do."""
    import pyarrow.parquet as pq

    def read(name: str, n: int) -> tuple[list[Image], np.ndarray]:
        table = pq.ParquetFile(shared / "cifar10" / "plain_text" / name).read_row_group(0)
        pictures = table["img"].to_pylist()[:n]
        opened = [np.asarray(PILImage.open(io.BytesIO(p["bytes"]))) for p in pictures]
        return opened, np.array(table["label"].to_pylist()[:n])

    database, classes = read("train-00000-of-00001.parquet", 5000)
    queries, wanted = read("test-00000-of-00001.parquet", 150)
    describer = Describer.load("classic")
    codes = describer.quantiser.pack(product_codes(describer, database))
    flat = np.stack(database).reshape(len(database), -1).astype(np.float32)
    hits, by_pixels = [], []
    for picture, point, label in zip(queries, describer.describe(queries), wanted, strict=True):
        found, _ = Index(codes, describer.quantiser).search(point, 1000, engine="numpy")
        hits.append(classes[found] == label)
        distance = np.square(flat - picture.ravel()).sum(1)
        by_pixels.append(classes[np.argsort(distance, kind="stable")[:1000]] == label)
    precision, of_pixels = (mean_average_precision(np.array(h), at=1000) for h in (hits, by_pixels))
    assert precision >= of_pixels
