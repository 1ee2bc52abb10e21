"""Test packets: an engine that draws other pixels is not used, a file that does is refused."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import CodecError
from kinpack.networks import networks


def pictures() -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    y, x = np.arange(40)[:, None, None], np.arange(56)[None, :, None]
    base = 120 + 80 * np.sin(x / 7 + rng.normal(size=3)) * np.cos(y / 5)
    return [
        (base[: 40 - 9 * i, : 56 - 13 * i] + rng.normal(0, 5, 3)).clip(0, 255).astype(np.uint8)
        for i in range(4)
    ]


@pytest.fixture(scope="module")
def packets() -> list[Packet]:
    codec = Codec.load("default")
    return [
        packet
        for quality in (25, 60, 95)
        for packet in codec.encode(pictures(), quality=quality, classic="never")
    ]


def drawn(codec: Codec, packets: list[Packet]) -> bytes:
    return b"".join(image.tobytes() for image in codec.decode(packets))


@pytest.mark.slow
def test_engines_threads_and_optimisation_give_the_same_bytes(packets: list[Packet]) -> None:
    assert all(packet.kind is Kind.LEARNED for packet in packets)
    wanted = drawn(Codec.load("default"), packets)
    assert drawn(Codec.load("default", engine="numpy"), packets) == wanted
    for threads in (1, 2):
        for optimise in (True, False):
            codec = Codec.load("default", threads=threads, optimise=optimise)
            assert drawn(codec, packets) == wanted
            one_by_one = b"".join(codec.decode([p])[0].tobytes() for p in packets)
            assert one_by_one == wanted


def test_a_wrong_engine_is_left_for_numpy(
    packets: list[Packet], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = drawn(Codec.load("default"), packets)
    run = networks.Network.__call__

    def slightly_wrong(
        self: networks.Network, x: networks.Array, gives: tuple[int, ...] | None = None
    ) -> networks.Array:
        y = run(self, x, gives)
        if self.name == "synthesis" and getattr(self, "engine", None) == "onnxruntime":
            y.ravel()[0] = 255 - y.ravel()[0]
        return y

    monkeypatch.setattr(networks.Network, "__call__", slightly_wrong)
    with caplog.at_level(logging.WARNING):
        assert drawn(Codec.load("default"), packets) == wanted
    assert "does not decode its own test packets" in caplog.text
    with pytest.raises(CodecError, match="test packets"):
        Codec.load("default", engine="onnxruntime").decode(packets)


def test_one_thread_and_a_batch_of_64(packets: list[Packet], tmp_path: Path) -> None:
    many = (packets * 6)[:64]
    codec = Codec.load("default", threads=1)
    wanted = {id(p): codec.decode([p])[0].tobytes() for p in packets}
    for packet, image in zip(many, codec.decode(many), strict=True):
        assert image.tobytes() == wanted[id(packet)]
