"""Stored AVIF and WebP payloads: a library that draws them otherwise is warned of, once."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
import pytest

from kinpack.codec.classic import avif, library_check, webp
from kinpack.codec.classic.library_check import check_library
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.errors import PayloadError
from tests.pictures import waves

CLASSIC = (Kind.AVIF, Kind.WEBP, Kind.WEBP_LOSSLESS)


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    forget()
    yield
    forget()


@pytest.mark.parametrize("kind", CLASSIC)
def test_nothing_is_said_of_the_libraries_here(
    kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    check_library(kind)
    assert caplog.text == ""


def forget() -> None:
    check_library.cache_clear()
    library_check.WARNED.clear()


def packets() -> list[Packet]:
    codec = Codec.load("classic")
    found = codec.encode([waves(20, 24, 3), waves(20, 24, 1)], quality=60)
    forget()
    return [packet for packet in found if packet.kind is Kind.AVIF]


def test_other_pixels_are_warned_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    coded = packets()
    assert coded
    right = library_check.DRAW[Kind.AVIF]

    def rounded(*words: bytes, **size: int) -> np.ndarray:
        picture = right(*words, **size).copy()
        picture.flat[7] ^= 1
        return picture

    monkeypatch.setattr(library_check, "DRAW", {**library_check.DRAW, Kind.AVIF: rounded})
    codec = Codec.load("classic")
    with caplog.at_level(logging.WARNING):
        codec.decode(coded)
        codec.decode(coded)
    assert caplog.text.count("stored AVIF payload") == 1
    assert "WEBP" not in caplog.text


@pytest.mark.parametrize("kind", CLASSIC)
def test_a_library_that_fails_is_warned_of(
    kind: Kind, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> np.ndarray:
        raise PayloadError("a payload is damaged")

    for module in (avif, webp):
        for name in ("rebuild", "rebuild_lossy", "rebuild_lossless"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, broken)
    check_library(kind)
    assert kind.name in caplog.text
