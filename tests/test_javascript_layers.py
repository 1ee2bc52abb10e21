"""What the reader in JavaScript takes images apart into gives the package's pixels."""

from __future__ import annotations

import hashlib
import io
import lzma
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from fakes.fake_codec import FakeCodec, FakeSource
from kinpack.archive.archive import Archive
from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, join
from kinpack.codec.classic.webp import encode_webp
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.target import Target
from kinpack.errors import PayloadError
from kinpack.networks.container import Container, read_container
from kinpack.pictures.images import Image
from tests.javascript_runs import needs_node, run_jobs, value_of
from tests.pictures import waves

pytestmark = [needs_node, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden" / "format-1"
FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 1, "lp": 0, "pb": 0}]

Plane = NDArray[np.uint8]


class Given(FakeCodec):
    """A codec that stores the packets that it was given, in their order, under another's file."""

    def __init__(self, packets: Sequence[Packet], codec: bytes | None = None) -> None:
        super().__init__()
        self._left = list(packets)
        if codec is not None:
            self._data, self.codec_id = codec, hashlib.sha256(codec).hexdigest()
            self.n_bytes = len(codec)

    def encode(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        taken, self._left = self._left[: len(images)], self._left[len(images) :]
        return taken


def archive_of(path: Path, packets: Sequence[Packet], codec: bytes | None = None) -> list[str]:
    """Make an archive of packets; their ids."""
    names = [f"{n:04}" for n in range(len(packets))]
    images = [np.zeros((one.height, one.width, one.channels), np.uint8) for one in packets]
    with Archive.create(path, Given(packets, codec), describer=None) as archive:
        archive.add(FakeSource([(n, None, image) for n, image in zip(names, images, strict=True)]))
    return names


def drawn(layers: list[dict[str, Any]], shape: tuple[int, ...]) -> Image:
    """Draw an image of its layers, as a page does it."""
    image = np.zeros(shape, np.uint8)
    for layer in layers:
        height, width = layer["height"], layer["width"]
        place = (
            slice(layer["top"], layer["top"] + height),
            slice(layer["left"], layer["left"] + width),
        )
        colour, alpha = layer["colour"], layer["alpha"]
        if colour["kind"] == "pixels":
            pixels = np.frombuffer(bytes.fromhex(colour["data"]), np.uint8)
            pixels = pixels.reshape(height, width, -1)
        else:
            pixels = file_pixels(colour)
            if colour["isGreen"]:
                pixels = pixels[:, :, 1:2]
        image[place][:, :, : pixels.shape[2]] = pixels[:, :, : shape[2]]
        if alpha is not None:
            image[place][:, :, 3] = plane_of(alpha, width, height)
    return image


def plane_of(alpha: dict[str, Any], width: int, height: int) -> Plane:
    if alpha["kind"] == "bytes":
        return np.frombuffer(bytes.fromhex(alpha["data"]), np.uint8).reshape(height, width)
    plane = file_pixels(alpha)[:, :, 1]
    return plane.T if alpha["transposed"] else plane


def file_pixels(part: dict[str, Any]) -> Image:
    picture = PIL.Image.open(io.BytesIO(bytes.fromhex(part["data"])))
    assert picture.get_format_mimetype() == part["mediaType"]
    pixels = np.asarray(picture)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def test_golden_images_are_drawn_as_by_the_package() -> None:
    jobs, wanted = [], []
    for path in sorted(GOLDEN.glob("*.kin")):
        with Archive.open(path) as archive:
            for entry, image in archive.images():
                jobs.append({"way": "layers", "where": path, "id": entry.id})
                wanted.append((entry.kind, image))
    several = 0
    for result, (kind, image) in zip(run_jobs(jobs), wanted, strict=True):
        layers = value_of(result)
        several += len(layers) > 1
        assert np.array_equal(drawn(layers, image.shape), image), kind
    assert several  # tiles


def planes() -> list[Plane]:
    """Soft and rough planes, long runs, far repeats, of one pixel and of 300 × 300."""
    rng = np.random.default_rng(4)
    made: list[Plane] = [np.array([[7]], np.uint8), np.array([[7, 8]], np.uint8)]
    for size in ((3, 5), (40, 30), (61, 64), (128, 96)):
        y, x = np.mgrid[: size[0], : size[1]]
        disc = np.hypot(y - size[0] / 2, x - size[1] / 2) - min(size) / 3
        made += [
            (disc * 40).clip(0, 255).astype(np.uint8),
            (255 * (disc > 0)).astype(np.uint8),
            rng.integers(0, 256, size).astype(np.uint8),
            rng.integers(0, 2, size).astype(np.uint8) * 255,
            ((x * 7 + y * y) % 251).astype(np.uint8),
        ]
    block = rng.integers(0, 256, (100, 300)).astype(np.uint8)
    made.append(np.concatenate([block, block, 255 - block]))
    made.append(np.concatenate([made[-1][:218], block[:50], block[:1], made[-1][:20]]))
    return made


def coded(plane: Plane) -> list[bytes]:
    """The alpha parts of a plane in every way that the format knows for bytes, and the shortest."""
    parts = [encode_alpha(plane)]
    for turned, data in ((0, plane.tobytes()), (4, plane.T.tobytes())):
        coder = zlib.compressobj(9, zlib.DEFLATED, -15)
        parts.append(bytes([1 | turned]) + coder.compress(data) + coder.flush())
        raw = lzma.compress(data, lzma.FORMAT_RAW, filters=FILTERS)
        parts.append(bytes([2 | turned]) + raw[1:])
    return parts


def test_alpha_planes_in_every_way(tmp_path: Path) -> None:
    packets, wanted = [], []
    for plane in planes():
        height, width = plane.shape
        colour = encode_webp(np.zeros((height, width, 3), np.uint8), webp_quality=5, method=0)
        for part in coded(plane):
            payload = join(part, colour)
            packets.append(Packet(width, height, 4, Kind.WEBP, 50, payload))
            wanted.append(plane)
            assert np.array_equal(decode_alpha(part, width=width, height=height), plane)
    names = archive_of(tmp_path / "a.kin", packets)
    jobs = [{"way": "layers", "where": tmp_path / "a.kin", "id": name} for name in names]
    kinds = set()
    for result, plane in zip(run_jobs(jobs), wanted, strict=True):
        (layer,) = value_of(result)
        kinds.add(layer["alpha"]["kind"])
        assert np.array_equal(plane_of(layer["alpha"], *plane.shape[::-1]), plane)
    assert kinds == {"bytes", "green"}


def test_damaged_payloads_are_refused(tmp_path: Path) -> None:
    """Payloads whose checksums hold, since whoever wrote the archive wrote them so."""
    plane = planes()[6]
    height, width = plane.shape
    _, deflated, squeezed, *_ = coded(plane)
    alphas = [
        b"\x09" + bytes(9),  # of no known way
        deflated[: len(deflated) // 2],
        deflated[:1] + bytes([7]) + deflated[2:],
        squeezed[: len(squeezed) // 2],
        squeezed[:1] + bytes([255]) * 60,
        bytes([2]),  # a plane of 2, which is right
    ]
    packets = [Packet(width, height, 4, Kind.WEBP, 50, join(one, b"RIFF")) for one in alphas]
    bomb = bytes([1]) + zlib.compress(bytes(1 << 26), 9)[2:-4]
    packets += [
        Packet(width, height, 4, Kind.WEBP, 50, join(bomb, b"RIFF")),
        Packet(width, height, 4, Kind.WEBP, 50, b"\x80"),
        Packet(width, height, 4, Kind.WEBP, 50, b"\x05ab"),
        Packet(width, height, 4, Kind.WEBP, 50, b"\x80\x00ab"),
        Packet(width, height, 3, Kind.WEBP, 50, b"ab"),
        Packet(width, height, 3, Kind.AVIF, 50, b""),
        Packet(width, height, 3, Kind.AVIF, 50, b"\xff"),
        Packet(width, height, 3, Kind.AVIF, 50, b"\x00"),
        Packet(20_000, 3, 3, Kind.AVIF, 50, b"\x05ab"),
        Packet(16_000, 3, 4, Kind.WEBP_LOSSLESS, 100, b"\x01\x07\x01\x00\x00"),
    ]
    names = archive_of(tmp_path / "a.kin", packets)
    jobs = [{"way": "layers", "where": tmp_path / "a.kin", "id": name} for name in names]
    results = run_jobs(jobs)
    right = results.pop(5)
    assert set(bytes.fromhex(value_of(right)[0]["alpha"]["data"])) == {2}
    for result in results:
        assert result.get("error") == "PayloadError", result
        assert "\n" not in result["message"]


def test_learned_images_of_the_default_codec(tmp_path: Path) -> None:
    """At every step of quality, of sides that are no multiples of 8; alpha and grey among them."""
    images = [
        (f"{quality}/{channels}", quality, waves(height, width, channels, seed=quality))
        for quality, channels, height, width in (
            (1, 3, 33, 50),
            (40, 3, 64, 64),
            (75, 1, 24, 31),
            (99, 4, 20, 41),
        )
    ]
    path = tmp_path / "a.kin"
    with Archive.create(path, "default", describer=None) as archive:
        for name, quality, image in images:
            source = FakeSource([(name, None, image)])
            archive.add(source, quality=quality, classic="never")
        assert {entry.kind for entry in archive.entries()} == {Kind.LEARNED}
        wanted = [archive.read(name) for name, *_ in images]
    results = run_jobs([{"way": "layers", "where": path, "id": name} for name, *_ in images])
    for result, image in zip(results, wanted, strict=True):
        assert np.array_equal(drawn(value_of(result), image.shape), image)


@pytest.mark.parametrize("name", ["learned", "causal"])
def test_payloads_of_any_bytes_are_drawn_or_refused_alike(name: str, tmp_path: Path) -> None:
    """Of damaged payloads whose checksums hold: the package's pixels, or refused as it refuses."""
    rng = np.random.default_rng(9)
    with Archive.open(GOLDEN / f"{name}.kin") as archive:
        codec = archive.codec
        whole = [
            archive.packet(one.id) for one in archive.entries() if one.kind.name == name.upper()
        ]
    packets = []
    for packet in whole[:6]:
        for _ in range(8):
            payload = bytearray(packet.payload)
            for place in rng.integers(0, len(payload), 3):
                payload[place] = rng.integers(0, 256)
            packets.append(
                replace(packet, payload=bytes(payload[: rng.integers(1, len(payload) + 1)]))
            )
        packets.append(replace(packet, payload=bytes([255]) * 40))
    names = archive_of(tmp_path / "a.kin", packets, codec.to_bytes())
    jobs = [{"way": "layers", "where": tmp_path / "a.kin", "id": one} for one in names]
    refused = 0
    for packet, result in zip(packets, run_jobs(jobs), strict=True):
        try:
            (image,) = codec.decode([packet])
        except PayloadError:
            refused += 1
            if "value" in result:  # the file of an alpha plane, which a page's own decoder refuses
                with pytest.raises((OSError, ValueError)):
                    drawn(result["value"], (packet.height, packet.width, packet.channels))
            else:
                assert result["error"] == "PayloadError"
        else:
            assert np.array_equal(drawn(value_of(result), image.shape), image)
    assert 0 < refused < len(packets)


def test_a_codec_that_draws_otherwise_is_refused(tmp_path: Path) -> None:
    """Its own test packets tell: a changed weight, all of whose sums hold."""
    path = GOLDEN / "learned.kin"
    with Archive.open(path) as archive:
        content = read_container(archive.codec.to_bytes(), where="codec")
        packet = archive.packet("rgb")
    bias = content.arrays["synthesis_bias0"].copy()
    bias[:] += 4000
    arrays = {**content.arrays, "synthesis_bias0": bias}
    changed = Container(content.header, content.blobs, arrays).to_bytes()
    names = archive_of(tmp_path / "a.kin", [packet], changed)
    (result,) = run_jobs([{"way": "layers", "where": tmp_path / "a.kin", "id": names[0]}])
    assert result["error"] == "ArchiveError"
    assert "test packets" in result["message"]
