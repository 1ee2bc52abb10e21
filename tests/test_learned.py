"""Learned payloads: any size, sort and quality; pieces equal the whole; damage never crashes."""

from __future__ import annotations

import copy
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

pytest.importorskip("onnx")

import torch
from torch import nn

from kinpack.codec.codec import Codec
from kinpack.codec.learned import latent_coder, learned
from kinpack.codec.learned.learned import MAX_SIDE, LearnedCoder
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import CodecError, ImageError, KinpackError, PayloadError
from kinpack.networks.networks import run_tiled
from kinpack.networks.tiling import Tiling
from kinpack.pictures.images import Image
from tests.integer_networks import latents_in_steps, side_codes
from tests.tiny_codec import NETWORK, picture, tiny_codec, tiny_model

pytestmark = pytest.mark.learn

SIZES = [(1, 1), (7, 9), (33, 31), (20, 300), (300, 20), (8, 8), (64, 1)]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return tiny_codec()


@pytest.fixture(scope="module")
def coder(codec: Codec) -> LearnedCoder:
    return codec.learned_coder()


def psnr(image: Image, drawn: Image) -> float:
    mse = float(((image.astype(float) - drawn) ** 2).mean())
    return 99.0 if mse == 0 else 10 * np.log10(255**2 / mse)


@pytest.mark.parametrize("size", SIZES)
def test_sizes(codec: Codec, coder: LearnedCoder, size: tuple[int, int]) -> None:
    image = picture(*size)
    codes = side_codes(codec, [image])
    payloads, drawn = coder.encode([image], codes, quality=60)
    found = coder.decode(payloads, codes, sizes=[size], quality=60)
    assert found[0].shape == (*size, 3)
    assert found[0].dtype == np.uint8
    assert np.array_equal(found[0], drawn[0])
    assert psnr(image, found[0]) > 20


def test_a_mixed_batch_keeps_its_order(codec: Codec, coder: LearnedCoder) -> None:
    images = [picture(*size, seed) for seed in range(3) for size in SIZES]
    codes = side_codes(codec, images)
    payloads, drawn = coder.encode(images, codes, quality=50)
    sizes = [image.shape[:2] for image in images]
    found = coder.decode(payloads, codes, sizes=[(h, w) for h, w in sizes], quality=50)
    for i, image in enumerate(images):
        alone, by_itself = coder.encode([image], codes[i : i + 1], quality=50)
        assert alone == [payloads[i]]
        assert np.array_equal(by_itself[0], drawn[i])
        assert np.array_equal(found[i], drawn[i])


def test_nothing_gives_nothing(codec: Codec, coder: LearnedCoder) -> None:
    none = np.zeros((0, NETWORK.M), np.uint8)
    assert coder.encode([], none, quality=50) == ([], [])
    assert coder.decode([], none, sizes=[], quality=50) == []
    assert codec.encode([], classic="never") == []
    assert codec.decode([]) == []


def test_every_quality(codec: Codec, coder: LearnedCoder) -> None:
    image = picture(40, 32, 3)
    codes = side_codes(codec, [image])
    lengths, errors = [], []
    for quality in range(1, 100):
        payloads, drawn = coder.encode([image], codes, quality=quality)
        found = coder.decode(payloads, codes, sizes=[(40, 32)], quality=quality)
        assert np.array_equal(found[0], drawn[0])
        lengths.append(len(payloads[0]))
        errors.append(float(((image.astype(float) - drawn[0]) ** 2).mean()))
    assert np.mean(lengths[:20]) < 0.8 * np.mean(lengths[40:60]) < 0.7 * np.mean(lengths[80:])
    assert np.mean(errors[:20]) > 2 * np.mean(errors[40:60])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 31), (20, 300)])
def test_sorts_of_images(codec: Codec, channels: int, size: tuple[int, int]) -> None:
    image = picture(*size, seed=2, channels=channels)
    (packet,) = codec.encode([image], quality=60, classic="never", threads=1)
    assert packet.kind is Kind.LEARNED
    assert (packet.height, packet.width, packet.channels) == image.shape
    (found,) = codec.decode([packet], threads=1)
    assert found.shape == image.shape
    assert found.flags.c_contiguous
    if channels == 4:
        assert np.array_equal(found[:, :, 3], image[:, :, 3])
        seen = image[:, :, 3] > 0
        assert psnr(image[seen][:, :3], found[seen][:, :3]) > 18
    else:
        assert psnr(image, found) > 20


def test_grey_stays_grey_and_sorts_mix(codec: Codec) -> None:
    images = [picture(24, 24, seed, channels) for seed in range(2) for channels in (4, 1, 3)]
    packets = codec.encode(images, quality=55, classic="never", threads=1)
    for image, found in zip(images, codec.decode(packets, threads=1), strict=True):
        assert found.shape == image.shape
        if image.shape[2] == 4:
            assert np.array_equal(found[:, :, 3], image[:, :, 3])


@pytest.mark.parametrize("alpha", ["opaque", "clear", "one"])
def test_extreme_alpha(codec: Codec, alpha: str) -> None:
    image = picture(30, 21, 5, channels=4)
    image[:, :, 3] = 255 if alpha == "opaque" else 0
    if alpha == "one":
        image[4, 7, 3] = 1
    (packet,) = codec.encode([image], quality=50, classic="never", threads=1)
    (found,) = codec.decode([packet], threads=1)
    assert np.array_equal(found[:, :, 3], image[:, :, 3])


def seen_by(network: nn.Module, x: torch.Tensor, rows: slice) -> tuple[int, int]:
    """First and last row of the input that some rows of the output depend on."""
    network = copy.deepcopy(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(0.1)  # nothing cancels, every unit is active
    (gradient,) = torch.autograd.grad(network(x)[:, :, rows].sum(), x)
    touched = torch.nonzero(gradient.abs().sum((0, 1, 3)))
    return int(touched.min()), int(touched.max())


def test_halos_cover_what_an_output_sees() -> None:
    model = tiny_model()
    x = torch.ones(1, 4, 160, 8, requires_grad=True)
    first, last = seen_by(model.analysis, x, slice(10, 11))
    assert (first, last) == (80 - 19, 87 + 15)
    assert learned.ANALYSIS.halo >= 19
    # Pieces begin and end on whole latents.
    assert learned.ANALYSIS.tile % 8 == learned.ANALYSIS.halo % 8 == 0
    x = torch.ones(1, NETWORK.latent + 1, 40, 1, requires_grad=True)
    first, last = seen_by(model.synthesis, x, slice(160, 168))
    assert (first, last) == (20 - 5, 20 + 5)
    assert learned.SYNTHESIS.halo >= 5
    for network, step in zip(model.context, NETWORK.steps, strict=True):
        x = torch.ones(1, step.stop + NETWORK.code_context + 1, 9, 1, requires_grad=True)
        assert seen_by(network, x, slice(4, 5)) == (3, 5)
    assert latent_coder.CONTEXT.halo == 1


def test_pieces_of_the_analysis_equal_the_whole(coder: LearnedCoder) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 4, 328, 400)).astype(np.float32)
    whole = coder.analysis(x)
    tiling = replace(learned.ANALYSIS, tile=64)
    pieces = run_tiled(coder.analysis, x, tiling, channels=NETWORK.latent)
    assert pieces.shape == whole.shape == (1, NETWORK.latent, 41, 50)
    assert np.abs(pieces - whole).max() < 1e-5 * np.abs(whole).max()


def test_pieces_of_the_synthesis_equal_the_whole(coder: LearnedCoder) -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(-3000, 3000, (1, NETWORK.latent + 1, 45, 53)).astype(np.float32)
    whole = coder.synthesis(x)
    tiling = replace(learned.SYNTHESIS, tile=8)
    pieces = run_tiled(coder.synthesis, x, tiling, channels=3)
    assert pieces.shape == whole.shape == (1, 3, 360, 424)
    assert pieces.tobytes() == whole.tobytes()
    # Without its halo a piece is another one.
    cut = run_tiled(coder.synthesis, x, Tiling(8, 0, up=8), channels=3)
    assert (cut != whole).any()
    with pytest.raises(CodecError, match=r"5 positions .*halo of 0"):
        coder.synthesis.check_fits(Tiling(8, 0, up=8), takes=NETWORK.latent + 1, gives=3)


def test_pieces_of_the_context_equal_the_whole_exactly(coder: LearnedCoder) -> None:
    rng = np.random.default_rng(0)
    for network, step in zip(latents_in_steps(coder).context, NETWORK.steps, strict=True):
        inputs = step.stop + NETWORK.code_context + 1
        x = rng.integers(-3000, 3000, (1, inputs, 75, 140)).astype(np.float32)
        channels = 2 * (step.stop - step.start)
        pieces = run_tiled(network, x, latent_coder.CONTEXT, channels=channels)
        assert pieces.tobytes() == network(x).tobytes()
        tiny = run_tiled(network, x, Tiling(tile=16, halo=1), channels=channels)
        assert tiny.tobytes() == pieces.tobytes()


def test_large_pictures_go_through_in_pieces(codec: Codec, coder: LearnedCoder) -> None:
    image = picture(720, 808, 4)
    codes = side_codes(codec, [image])
    payloads, drawn = coder.encode([image], codes, quality=40)
    (found,) = coder.decode(payloads, codes, sizes=[(720, 808)], quality=40)
    assert np.array_equal(found, drawn[0])
    assert psnr(image, found) > 20
    # No seams: no row or column of the error stands out.
    error = ((image.astype(float) - found) ** 2).mean(2)
    for axis in (0, 1):
        lines = error.mean(axis)
        assert lines.max() < 3 * lines.mean()


def most_held(codec: Codec, coder: LearnedCoder, height: int, width: int) -> float:
    """Most bytes taken while a picture is coded and drawn, beside it and its payload."""
    image = picture(height, width, 4)
    codes = side_codes(codec, [image])
    tracemalloc.start()
    try:
        payloads = coder.encode([image], codes, quality=40)[0]
        encoding = tracemalloc.get_traced_memory()[1] - image.nbytes
        tracemalloc.reset_peak()
        coder.decode(payloads, codes, sizes=[(height, width)], quality=40)
        decoding = tracemalloc.get_traced_memory()[1] - image.nbytes
    finally:
        tracemalloc.stop()
    # A payload is put together of its messages, for a moment it is there twice.
    return max(encoding - 2 * len(payloads[0]), decoding - len(payloads[0]))


@pytest.mark.slow
def test_memory_does_not_grow_with_a_picture(codec: Codec, coder: LearnedCoder) -> None:
    least = most_held(codec, coder, 1100, 600)
    assert most_held(codec, coder, 2600, 600) < 1.1 * least
    # In a wide picture the latents of one row of tiles are held, 80 rows of them at most.
    wider = 4 * (NETWORK.latent + 1) * 80 * (2000 // 8)
    assert most_held(codec, coder, 600, 2600) < 1.1 * least + wider


def test_too_large_pictures_are_refused(codec: Codec, coder: LearnedCoder) -> None:
    wide = np.zeros((1, MAX_SIDE + 1, 3), np.uint8)
    codes = side_codes(codec, [wide])
    with pytest.raises(ImageError, match="too large for learned"):
        coder.encode([wide], codes, quality=50)
    with pytest.raises(ImageError, match="allow classic payloads"):
        codec.encode([wide], quality=50, classic="never")
    with pytest.raises(PayloadError, match="4097×1 pixels"):
        coder.decode([b""], codes, sizes=[(1, MAX_SIDE + 1)], quality=50)
    packet = Packet(60_000, 1, 3, Kind.LEARNED, 50, bytes(50))
    with pytest.raises(PayloadError, match="damaged"):
        codec.decode([packet])


def damaged(payload: bytes, rng: np.random.Generator) -> bytes:
    broken = bytearray(payload)
    for _ in range(int(rng.integers(1, 4))):
        broken[rng.integers(len(broken))] ^= 1 << int(rng.integers(8))
    kept = len(broken) if rng.integers(2) else int(rng.integers(len(broken) + 1))
    return bytes(broken[:kept]) + (bytes(rng.bytes(9)) if rng.integers(4) == 0 else b"")


@pytest.mark.slow
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_damaged_payloads_never_crash(codec: Codec, channels: int) -> None:
    rng = np.random.default_rng(channels)
    image = picture(31, 26, 8, channels)
    (packet,) = codec.encode([image], quality=50, classic="never", threads=1)
    refused = 0
    payloads = [damaged(packet.payload, rng) for _ in range(150)]
    payloads += [b"", b"\0", b"\xff" * 1000, bytes(rng.bytes(500))]
    for payload in payloads:
        try:
            (found,) = codec.decode([replace(packet, payload=payload)], threads=1)
        except PayloadError:
            refused += 1
        else:
            assert found.shape == image.shape
            assert found.dtype == np.uint8
    assert refused > 0


def test_damaged_heads_never_crash(codec: Codec) -> None:
    image = picture(31, 26, 8)
    (packet,) = codec.encode([image], quality=50, classic="never", threads=1)
    changes: list[dict[str, Any]] = [
        {"width": 260, "height": 3},
        {"width": 9},
        {"quality": 1},
        {"quality": 99},
        {"quality": 100},
        {"channels": 4},
        {"channels": 1},
        {"payload": b"\xff" * 3 + packet.payload[3:]},
        {"payload": packet.payload[1:]},
        {"payload": packet.payload[:2]},
        {"payload": b""},
    ]
    for change in changes:
        with suppress(KinpackError):
            other = replace(packet, **change)
            (found,) = codec.decode([other], threads=1)
            assert found.shape == (other.height, other.width, other.channels)


def test_one_damaged_payload_is_named_among_many(codec: Codec) -> None:
    images = [picture(24, 24, seed, channels=4) for seed in range(3)]
    packets = codec.encode(images, quality=50, classic="never", threads=1)
    packets[1] = replace(packets[1], payload=packets[1].payload[:1])
    with pytest.raises(PayloadError):
        codec.decode(packets, threads=1)
