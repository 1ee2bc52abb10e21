"""What the reader in JavaScript takes images apart into gives the package's pixels."""

from __future__ import annotations

import lzma
import zlib
from pathlib import Path

import numpy as np
import pytest

from kinpack.archive.archive import Archive
from kinpack.codec.classic.alpha import decode_alpha, encode_alpha, join
from kinpack.codec.classic.webp import encode_webp
from kinpack.codec.packets.packet import Kind, Packet
from tests.javascript_layers import Plane, archive_of, drawn, plane_of
from tests.javascript_runs import needs_node, run_jobs, value_of

pytestmark = [needs_node, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden" / "format-1"
FILTERS = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 1, "lp": 0, "pb": 0}]


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
