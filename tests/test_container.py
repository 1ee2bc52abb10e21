"""The codec file: round trips, and every damaged, hostile or newer file refused in one line."""

from __future__ import annotations

import hashlib
import json
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kinpack.errors import CodecError
from kinpack.limits import DEEPEST
from kinpack.networks.container import MAGIC, MAX_BYTES, VERSION, Container, read_container

DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "float16", "float32", "float64"]

scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.floats(-1e9, 1e9)
plain_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
names = st.text(min_size=1, max_size=10)
headers = st.dictionaries(names.filter(lambda n: n != "sections"), plain_values, max_size=4)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
arrays = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@pytest.mark.slow
@settings(deadline=None)
@given(
    headers,
    st.dictionaries(names.map(lambda n: "b" + n), st.binary(max_size=200), max_size=3),
    st.dictionaries(names.map(lambda n: "a" + n), arrays, max_size=3),
)
def test_round_trip(header: Any, blobs: dict[str, bytes], parts: dict[str, Any]) -> None:
    content = Container(header, blobs, parts)
    data = content.to_bytes()
    found = read_container(data, where="x.kinc")
    assert found.header == header
    assert found.blobs == blobs
    assert list(found.arrays) == list(parts)
    for name, part in parts.items():
        assert found.arrays[name].dtype == part.dtype
        assert found.arrays[name].shape == part.shape
        assert found.arrays[name].tobytes() == part.tobytes()
        assert not found.arrays[name].flags.writeable
    # The same content has the same bytes: its hash is its name.
    assert found.to_bytes() == data


def test_arrays_of_the_other_byte_order_are_the_same() -> None:
    values = np.arange(6, dtype=np.int32).reshape(2, 3)
    big = Container({}, {}, {"t": values.astype(">i4")}).to_bytes()
    assert big == Container({}, {}, {"t": values}).to_bytes()
    assert np.array_equal(read_container(big, where="x").arrays["t"], values)
    strided = Container({}, {}, {"t": np.asfortranarray(values)}).to_bytes()
    assert strided == big


@pytest.fixture(scope="module")
def small() -> bytes:
    return Container(
        {"name": "small", "seed": 3},
        {"net": bytes(200), "raw": b"\x07\xf1"},
        {"table": np.arange(5, dtype=np.int16)},
    ).to_bytes()


def test_layout(small: bytes) -> None:
    """The byte table of the module, read by hand."""
    assert small[:8] == bytes.fromhex("894b494e430d0a1a")
    assert small[8:12] == (1).to_bytes(4, "little")
    end = 16 + int.from_bytes(small[12:16], "little")
    header = json.loads(small[16:end])
    assert header["name"] == "small"
    net, raw, table = header["sections"]
    stored = net["stored"]
    assert net == {"name": "net", "packing": "zlib", "length": 200, "stored": stored}
    assert zlib.decompress(small[end : end + stored]) == bytes(200)
    assert raw == {"name": "raw", "packing": "none", "length": 2, "stored": 2}
    assert small[end + stored : end + stored + 2] == b"\x07\xf1"
    kind = {"dtype": "int16", "shape": [5]}
    assert table == {"name": "table", "packing": "none", "length": 10, "stored": 10, **kind}
    assert small[-42:-32] == np.arange(5, dtype="<i2").tobytes()
    assert small[-32:] == hashlib.sha256(small[:-32]).digest()


def refusal(data: bytes) -> str:
    with pytest.raises(CodecError) as caught:
        read_container(data, where="some.kinc")
    message = str(caught.value)
    assert message.startswith("some.kinc: ")
    assert "\n" not in message
    return message


def test_every_flipped_byte_is_refused(small: bytes) -> None:
    for place in range(len(small)):
        for mask in (0x01, 0x80, 0xFF):
            broken = bytearray(small)
            broken[place] ^= mask
            refusal(bytes(broken))


def test_every_truncation_and_any_addition_is_refused(small: bytes) -> None:
    for length in range(len(small)):
        refusal(small[:length])
    assert "damaged or truncated" in refusal(small + b"\0")
    assert "damaged or truncated" in refusal(small[:-1])
    assert "not a codec file" in refusal(b"")
    assert "not a codec file" in refusal(b"\x89PNG\r\n\x1a\n" + bytes(100))


def signed(header: bytes, sections: bytes, *, version: int = VERSION) -> bytes:
    """A file of any content whose checksum holds."""
    body = MAGIC + version.to_bytes(4, "little") + len(header).to_bytes(4, "little")
    body += header + sections
    return body + hashlib.sha256(body).digest()


def with_sections(sections: Any, data: bytes, **header: Any) -> bytes:
    return signed(json.dumps({**header, "sections": sections}).encode(), data)


def test_newer_versions_say_so(small: bytes) -> None:
    newer = signed(b"{}", b"what will be", version=VERSION + 1)
    assert refusal(newer) == (
        f"some.kinc: codec format {VERSION + 1} is newer than this kinpack reads ({VERSION}); "
        "upgrade kinpack"
    )
    # Before all else: a newer format may end in another way.
    assert "upgrade kinpack" in refusal(newer[:-5] + b"other")
    assert "no such format version" in refusal(signed(b'{"sections":[]}', b"", version=0))
    assert read_container(signed(b'{"sections":[]}', b""), where="x").header == {}


def section(plain: bytes, **changes: Any) -> dict[str, Any]:
    made = {"name": "s", "packing": "none", "length": len(plain), "stored": len(plain)}
    return {**made, **changes}


@pytest.mark.slow
def test_zip_bombs_are_refused_before_they_unfold() -> None:
    bomb = zlib.compress(bytes(1 << 24), 9)
    for length in (0, 10, len(bomb), 1 << 23):
        claims = section(bomb, packing="zlib", length=length)
        assert "does not end where it should" in refusal(with_sections([claims], bomb))
    claims = section(bomb, packing="zlib", length=MAX_BYTES + 1)
    assert "impossible length" in refusal(with_sections([claims], bomb))
    # Many sections together have no more room than one.
    many = [section(bomb, packing="zlib", length=1 << 24, name=f"s{i}") for i in range(17)]
    assert "impossible length" in refusal(with_sections(many, 17 * bomb))
    for length in ((1 << 24) - 1, (1 << 24) + 1):
        claims = section(bomb, packing="zlib", length=length)
        assert "not as long as stated" in refusal(with_sections([claims], bomb))


BAD_SECTIONS: list[tuple[Any, bytes]] = [
    ([section(b"ab", packing="lzma")], b"ab"),
    ([section(b"ab", packing="zlib")], b"ab"),
    ([section(b"ab", stored=3)], b"ab"),
    ([section(b"ab", stored=-2)], b"ab"),
    ([section(b"ab", stored=1)], b"ab"),
    ([section(b"ab", length=-1)], b"ab"),
    ([section(b"ab", length=3)], b"ab"),
    ([section(b"ab", length="two")], b"ab"),
    ([section(b"ab", length=None)], b"ab"),
    ([section(b"ab", length=float("inf"))], b"ab"),
    ([section(b"ab", length=float("nan"))], b"ab"),
    ([section(b"ab", name=7)], b"ab"),
    ([section(b"ab", name=[1])], b"ab"),
    ([section(b"ab"), section(b"cd")], b"abcd"),
    ([{"name": "s"}], b""),
    (["s"], b""),
    ([None], b""),
    ({"s": 1}, b""),
    (7, b""),
    (None, b""),
    ([], b"left over"),
    ([section(b"ab", dtype="object", shape=[1])], b"ab"),
    ([section(b"ab", dtype="U1", shape=[1])], b"ab"),
    ([section(b"ab", dtype=[["a", "int16"]], shape=[1])], b"ab"),
    ([section(b"ab", dtype="int16", shape=[2])], b"ab"),
    ([section(b"ab", dtype="int16", shape=[-1])], b"ab"),
    ([section(b"ab", dtype="int16", shape=[-1, -1])], b"ab"),
    ([section(b"ab", dtype="int16", shape=[1] * 100)], b"ab"),
    ([section(b"", dtype="int16", shape=[0, 1 << 70])], b""),
    ([section(b"ab", dtype="int16", shape=None)], b"ab"),
    ([section(b"ab", dtype="int16", shape="1x")], b"ab"),
    ([section(b"ab", dtype="int16")], b"ab"),
]


@pytest.mark.parametrize(("sections", "data"), BAD_SECTIONS)
def test_senseless_sections_are_refused(sections: Any, data: bytes) -> None:
    assert "makes no sense" in refusal(with_sections(sections, data))


HEADERS = [b"", b"{", b"[]", b"7", b'"sections"', b"null", b"{}", b"\xff\xfe"]


@pytest.mark.parametrize("header", [*HEADERS, b"[" * 100_000, b"1" * 9999])
def test_senseless_headers_are_refused(header: bytes) -> None:
    assert "makes no sense" in refusal(signed(header, b""))


def nested(depth: int) -> dict[str, Any]:
    """An object so many levels deep, lists and objects in turn."""
    value: Any = 1
    for level in range(depth - 1, 0, -1):
        value = [value] if level % 2 else {"a": value}
    return {"a": value}


@pytest.mark.parametrize("depth", [DEEPEST + 1, 990, 100_000])
def test_deep_headers_are_refused(depth: int) -> None:
    """Not as deep as Python happens to follow, which depends on who calls."""
    with pytest.raises(CodecError, match="nested deeper"):
        Container(nested(depth), {}, {}).to_bytes()
    deep = b'{"sections":[],"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"
    assert "makes no sense" in refusal(signed(deep, b""))


def test_headers_may_be_as_deep_as_the_limit() -> None:
    kept = Container(nested(DEEPEST - 1), {}, {})
    assert read_container(kept.to_bytes(), where="some.kinc").header == kept.header


def test_a_header_longer_than_the_file_is_refused() -> None:
    body = MAGIC + (1).to_bytes(4, "little") + (1 << 31).to_bytes(4, "little") + b"{}"
    message = refusal(body + hashlib.sha256(body).digest())
    assert "the header is longer than the file" in message


@pytest.mark.parametrize("dtype", ["object", "U3", "complex64", "bool", "datetime64[s]"])
def test_other_arrays_cannot_be_stored(dtype: str) -> None:
    with pytest.raises(CodecError, match="cannot hold that"):
        Container({}, {}, {"t": np.zeros(3, dtype=dtype)}).to_bytes()


def test_senseless_content_cannot_be_stored() -> None:
    for header in ({"x": float("nan")}, {"x": {1, 2}}, {"x": b"bytes"}):
        with pytest.raises(CodecError, match="plain values"):
            Container(header, {}, {}).to_bytes()
    with pytest.raises(CodecError, match="t twice"):
        Container({}, {"t": b""}, {"t": np.zeros(1)}).to_bytes()
    with pytest.raises(CodecError, match="sections twice"):
        Container({"sections": 1}, {}, {}).to_bytes()
