"""Side codes: what goes before a learned message is taken off again; damage is found out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kinpack.archive.archive import Archive
from kinpack.codec.codec import Codec
from kinpack.codec.learned.side_code import SideCode
from kinpack.codec.packets.packet import Kind
from kinpack.describers.product_code import ProductQuantiser
from kinpack.errors import PayloadError
from kinpack.pictures.images import Image
from kinpack.sources.items import Item
from tests.pictures import grid


class Corners:
    """Describes a picture by four of its levels."""

    def describe(self, images: Sequence[Image]) -> NDArray[np.float32]:
        return np.array([image[:2, :2, 0].ravel() for image in images], np.float32).reshape(-1, 4)


def side(K: int = 10, M: int = 4) -> SideCode:
    words = np.linspace(0, 255, K, dtype=np.float32)[None, :, None].repeat(M, axis=0)
    return SideCode(Corners(), ProductQuantiser(words))


@given(st.data(), st.integers(1, 256), st.integers(1, 9), st.lists(st.binary(), max_size=6))
def test_codes_and_messages_come_back(
    data: st.DataObject, K: int, M: int, messages: list[bytes]
) -> None:
    row = st.lists(st.integers(0, K - 1), min_size=M, max_size=M)
    rows = data.draw(st.lists(row, min_size=len(messages), max_size=len(messages)))
    codes = np.array(rows, np.uint8).reshape(-1, M)
    payloads = side(K, M).before(codes, messages)
    again, rest = side(K, M).taken_off(payloads)
    assert np.array_equal(again, codes)
    assert rest == messages
    size = (M + 1) // 2 if K <= 16 else M
    assert [len(p) - len(m) for p, m in zip(payloads, messages, strict=True)] == [size] * len(rows)


def test_a_picture_has_the_nearest_words() -> None:
    picture = np.array([[0, 255], [30, 140]], np.uint8)[:, :, None]
    assert side().codes([picture]).tolist() == [[0, 9, 1, 5]]


def refusal(made: SideCode, payload: bytes) -> str:
    """What is said of a payload among sound ones, in one line."""
    sound = bytes(made.quantiser.code_bytes)
    with pytest.raises(PayloadError) as refused:
        made.taken_off([sound, payload, sound + b"message"])
    assert "\n" not in str(refused.value)
    return str(refused.value)


@given(st.data(), st.integers(1, 256), st.integers(1, 9))
def test_a_payload_shorter_than_its_code_is_refused(data: st.DataObject, K: int, M: int) -> None:
    made = side(K, M)
    payload = data.draw(st.binary(max_size=made.quantiser.code_bytes - 1))
    assert f"shorter than its code of {made.quantiser.code_bytes} bytes" in refusal(made, payload)


@given(st.data(), st.integers(1, 15), st.integers(1, 9), st.binary(max_size=20))
def test_a_code_that_names_no_word_is_refused(
    data: st.DataObject, K: int, M: int, message: bytes
) -> None:
    made = side(K, M)
    code = data.draw(st.lists(st.integers(0, K - 1), min_size=M, max_size=M))
    code[data.draw(st.integers(0, M - 1))] = data.draw(st.integers(K, 15))
    code += [0] * (M % 2)
    packed = bytes(a | b << 4 for a, b in zip(code[::2], code[1::2], strict=True))
    assert f"names no word of a book of {K}" in refusal(made, packed + message)


@pytest.mark.slow
@pytest.mark.parametrize("describer", [None, "classic", {"one": "photo", "two": "classic"}])
def test_learned_packets_need_no_searched_code(
    tmp_path: Path, describer: str | dict[str, str] | None
) -> None:
    codec = Codec.load("default")
    images = [grid(24, 40, channels) for channels in (1, 3, 4)]
    packets = codec.encode(images, quality=50, classic="never", threads=1)
    assert {packet.kind for packet in packets} == {Kind.LEARNED}
    path = tmp_path / "a.kin"
    with Archive.create(path, codec, describer=describer) as archive:
        archive.add(
            [Item(str(i), None, image.copy) for i, image in enumerate(images)],
            quality=50,
            classic="never",
        )
    with Archive.open(path) as archive:
        for i, drawn in enumerate(codec.decode(packets, threads=1)):
            assert np.array_equal(archive.read(str(i)), drawn)
