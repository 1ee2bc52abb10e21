"""``docs/format.md`` suffices: golden payloads decoded, and codes made, by what the page says.

Only networks and the pictures inside AVIF and WebP files are left to other programs.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import re
import zlib
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from kinpack.archive.archive import Archive
from kinpack.codec.classic.avif import Subsampling, encode_avif, rebuild
from kinpack.codec.packets.packet import Packet
from kinpack.networks.container import DESCRIBER_FILE, Container, read_container
from tests.pictures import grid, waves
from tests.test_alpha import GOLDEN as ALPHA

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "format-1"
EXPECTED = {
    one["archive"]: one for one in json.loads((GOLDEN / "expected.json").read_text("utf-8"))
}
PAGE = (ROOT / "docs" / "format.md").read_text("utf-8")

Pixels = NDArray[np.uint8]


def range_decoder() -> tuple[Any, Any]:
    """The class of the page and its rule for counts, executed as they stand there."""
    block = re.search(r"```python\n(from bisect import.*?)\n```", PAGE, re.S)
    assert block is not None
    scope: dict[str, Any] = {"print": lambda value: None}
    exec(block[1], scope)  # noqa: S102 (the page is ours)
    return scope["RangeDecoder"], scope["starts_of"]


RangeDecoder, starts_of = range_decoder()


# --- classic payloads -----------------------------------------------------------------------------


def varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        number |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return number, at


def as_varint(number: int) -> bytes:
    out = b""
    while number > 127:
        out, number = out + bytes([number & 127 | 128]), number >> 7
    return out + bytes([number])


def alpha_plane(part: bytes, width: int, height: int) -> Pixels:
    if len(part) < 2:
        return np.full((height, width), part[0] if part else 255, np.uint8)
    way, rest = part[0], part[1:]
    if way & 4:
        return alpha_plane(bytes([way & 3]) + rest, height, width).T
    if way == 0:
        return lossless_webp(rest, width, height, 1)[:, :, 0]
    if way == 1:
        plane = zlib.decompressobj(-15).decompress(rest)
    else:
        settings = {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16, "lc": 1, "lp": 0, "pb": 0}
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[settings])
        plane = decoder.decompress(b"\0" + rest, width * height)
    return np.frombuffer(plane, np.uint8).reshape(height, width)


def riff(name: bytes, data: bytes) -> bytes:
    chunk = name + len(data).to_bytes(4, "little") + data + b"\0" * (len(data) % 2)
    return b"RIFF" + (4 + len(chunk)).to_bytes(4, "little") + b"WEBP" + chunk


def drawn(file: bytes, mode: str) -> Pixels:
    picture = np.asarray(PIL.Image.open(io.BytesIO(file)).convert(mode))
    return picture.reshape(*picture.shape[:2], -1)


def lossless_webp(payload: bytes, width: int, height: int, channels: int) -> Pixels:
    hint = 0
    if channels == 4:
        hint, payload = payload[0], payload[1:]
    head = (width - 1) + 2**14 * (height - 1) + 2**28 * hint
    file = riff(b"VP8L", b"\x2f" + head.to_bytes(4, "little") + payload)
    picture = drawn(file, "RGBA" if channels == 4 else "RGB")
    return picture[:, :, 1:2] if channels == 1 else picture


def webp(payload: bytes, width: int, height: int, channels: int) -> Pixels:
    size = width.to_bytes(2, "little") + height.to_bytes(2, "little")
    picture = drawn(riff(b"VP8 ", payload[:3] + b"\x9d\x01\x2a" + size + payload[3:]), "RGB")
    return picture[:, :, 1:2] if channels == 1 else picture


def box(name: str, content: bytes, *, full: int | None = None) -> bytes:
    if full is not None:
        content = full.to_bytes(4, "big") + content
    return (8 + len(content)).to_bytes(4, "big") + name.encode() + content


LEVELS = [
    [int(cell.replace(",", "")) for cell in re.findall(r"[\d,]+", line)]
    for line in re.findall(r"^\| \d+ \| [\d,]+ · [\d,]+ \| [\d,]+ \| [\d,]+ \|$", PAGE, re.M)
]


def level(width: int, height: int) -> int:
    for index, a, b, across, down in LEVELS:
        if width * height <= a * b and width <= across and height <= down:
            return index
    return 31


def to_bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int("1" + bits, 2).to_bytes(len(bits) // 8 + 1, "big")[1:] if bits else b""


def avif_file(payload: bytes, width: int, height: int, channels: int) -> bytes:
    if payload[0] == 0xC0:
        return payload[1:]
    bits = "".join(f"{byte:08b}" for byte in payload[:40])
    if bits[0] == "1":
        chroma, frame = int(bits[2:4], 2), payload[1:]
        large, cdef, restoration = bits[4] == "1", bits[5] == "1", bits[6] == "1"
    else:
        chroma, restoration, cdef = 0 if channels == 1 else 2, bits[1] == "1", True
        beyond = width > 64 or height > 64
        large = beyond and bits[2] == "1"
        place = 3 if beyond else 2
        header, used = frame_header(bits, place, width, height, chroma, large, restoration)
        frame = to_bytes(header) + payload[-(-used // 8) :]
    profile = int(chroma == 2)
    across, down = max(1, (width - 1).bit_length()), max(1, (height - 1).bit_length())
    sequence = f"{profile:03b}11{level(width, height):05b}{across - 1:04b}{down - 1:04b}"
    sequence += f"{width - 1:0{across}b}{height - 1:0{down}b}{large:b}110{cdef:b}{restoration:b}0"
    sequence += ("" if profile else f"{chroma == 0:b}") + f"1{1:08b}{13:08b}{6:08b}1"
    sequence += ("00" if chroma == 1 else "") + ("0" if chroma else "") + "01"
    head = to_bytes(sequence)
    stream = b"\x12\0\x0a" + as_varint(len(head)) + head + b"\x32" + as_varint(len(frame)) + frame
    brand = {0: b"", 1: b"MA1B", 2: b"MA1A"}[chroma]
    start = box("ftyp", b"avif" + bytes(4) + b"avifmif1miaf" + brand)
    unplaced = meta(profile, chroma, width, height, 0, 0)
    place = len(start) + len(unplaced) + 8
    return start + meta(profile, chroma, width, height, place, len(stream)) + box("mdat", stream)


def meta(profile: int, chroma: int, width: int, height: int, place: int, length: int) -> bytes:
    def big(number: int) -> bytes:
        return number.to_bytes(4, "big")

    sort = {2: 0x00, 1: 0x0C, 0: 0x1C}[chroma]
    where = bytes.fromhex("44000001000100000001") + big(place) + big(length)
    item = box("infe", bytes.fromhex("00010000") + b"av01Color\0", full=0x02000000)
    properties = (
        box("ispe", big(width) + big(height), full=0)
        + box("pixi", b"\x03\x08\x08\x08" if chroma else b"\x01\x08", full=0)
        + box("av1C", bytes([0x81, profile * 32 + level(width, height), sort, 0]))
        + box("colr", b"nclx" + bytes.fromhex("0001000D000680"))
    )
    links = box("ipma", bytes.fromhex("00000001000104010283") + b"\x04", full=0)
    return box(
        "meta",
        box("hdlr", bytes(4) + b"pict" + bytes(13), full=0)
        + box("pitm", b"\0\1", full=0)
        + box("iloc", where, full=0)
        + box("iinf", b"\0\1" + item, full=0)
        + box("iprp", box("ipco", properties) + links),
        full=0,
    )


def frame_header(
    bits: str, at: int, width: int, height: int, chroma: int, large: bool, restoration: bool
) -> tuple[str, int]:
    """The frame's own header as bits, and how many bits of the payload were used."""
    full = ""

    def kept(count: int) -> int:
        nonlocal full, at
        full, at = full + bits[at : at + count], at + count
        return int(full[-count:], 2)

    block = 128 if large else 64
    full += "0"
    screen = kept(1)
    full += "0" * screen + "0" + "0" * screen + "1"
    full += "0" * (width > block) + "0" * (height > block)
    quantiser = [*range(0, 245, 4), 249, 255][int(bits[at : at + 6], 2)]
    at += 6
    full += f"{quantiser:08b}" + ("000" if chroma else "0") + "000"
    strength = kept(6)
    full += f"{strength:06b}"
    if strength and chroma:
        kept(12)
    full += "00010" + f"{quantiser // 64:02b}"
    if width > 64 or height > 64:
        cdef_bits = kept(2)
    else:
        full, cdef_bits = full + "00", 0
    for _ in range(2**cdef_bits):
        kept(12 if chroma else 6)
    if restoration:
        at += 1
        planes = 3 if chroma else 1
        if bits[at - 1] == "0":
            full += "00" * planes
        else:
            kept(2 * planes)
            if kept(1) and not large:
                kept(1)
    if restoration and strength:
        full += "1"
    else:
        kept(1)
    return full + "0", at


def avif(payload: bytes, width: int, height: int, channels: int) -> Pixels:
    file = avif_file(payload, width, height, channels)
    assert file == rebuild(payload, width=width, height=height, channels=channels)
    return drawn(file, "L" if channels == 1 else "RGB")


def classic(packet: Packet) -> Pixels:
    height, width, channels = packet.height, packet.width, packet.channels
    decode: Callable[[bytes, int, int, int], Pixels] = {1: avif, 2: webp, 3: lossless_webp}[
        packet.kind
    ]

    def tile(payload: bytes, width: int, height: int) -> Pixels:
        if channels < 4 or packet.kind == 3:
            return decode(payload, width, height, channels)
        length, at = varint(payload, 0)
        alpha = alpha_plane(payload[at : at + length], width, height)
        return np.dstack([decode(payload[at + length :], width, height, 3), alpha])

    if max(width, height) <= 8192:
        return tile(packet.payload, width, height)
    image, at = np.zeros((height, width, channels), np.uint8), 0
    for top in range(0, height, 8192):
        for left in range(0, width, 8192):
            across, down = min(8192, width - left), min(8192, height - top)
            length, at = varint(packet.payload, at)
            part = tile(packet.payload[at : at + length], across, down)
            image[top : top + down, left : left + across], at = part, at + length
    assert at == len(packet.payload)
    return image


def test_the_table_of_levels_is_there() -> None:
    assert [row[0] for row in LEVELS] == [0, 1, 4, 5, 8, 12, 16]


def test_classic_payloads_by_the_page() -> None:
    firsts, ways = set(), set()
    with Archive.open(GOLDEN / "classic.kin") as archive:
        for was in EXPECTED["classic.kin"]["images"]:
            packet = archive.packet(was["id"])
            image = classic(packet)
            assert list(image.shape) == was["shape"]
            # Pillow's own way to draw AVIF and the package's are the same here.
            assert (image == archive.read(was["id"])).all(), was["id"]
            if packet.kind == 1 and packet.channels < 4:
                firsts.add(packet.payload[0] >> 6)
            if packet.kind != 3 and packet.channels == 4:
                length, at = varint(packet.payload, 0)
                ways.add(packet.payload[at] if length > 1 else -length)
    assert firsts >= {0b10, 0b11}
    assert firsts & {0b00, 0b01}
    assert ways >= {0, -1}
    assert len(ways) >= 3


@pytest.mark.parametrize("size", [(8, 8), (64, 40), (65, 30), (40, 150), (210, 140)])
@pytest.mark.parametrize("channels", [1, 3])
def test_avif_files_by_the_page(size: tuple[int, int], channels: int) -> None:
    """Pictures of other sizes and qualities, coded here: their files to the byte."""
    width, height = size
    image = waves(height, width, channels, seed=width)
    colours: tuple[Subsampling, ...] = ("4:4:4", "4:2:0")
    for quality, subsampling in product((5, 50, 90), colours):
        payload = encode_avif(image, avif_quality=quality, speed=7, subsampling=subsampling)
        file = avif_file(payload, width, height, channels)
        assert file == rebuild(payload, width=width, height=height, channels=channels)
        assert file[4:12] == b"ftypavif"


@pytest.mark.parametrize("way", ALPHA)
def test_alpha_by_the_page(way: int) -> None:
    part = bytes.fromhex(ALPHA[way])
    assert part[0] == way
    assert (alpha_plane(part, 24, 17) == grid(17, 24, 1)[:, :, 0]).all()


# --- learned payloads -----------------------------------------------------------------------------


def codec_of(name: str) -> Container:
    (file,) = (GOLDEN / name / "codecs").iterdir()
    return read_container(file.read_bytes(), where=file.name)


def describer_of(name: str, column: str) -> Container:
    with Archive.open(GOLDEN / name) as archive:
        entry = archive.manifest.describer(column)
    assert entry is not None
    data = (GOLDEN / name / entry.file).read_bytes()
    return read_container(data, where=name, kind=DESCRIBER_FILE)


def unpacked(code: bytes, M: int) -> list[int]:
    return [half for byte in code for half in (byte & 15, byte >> 4)][:M]


ESCAPED: list[bool] = []
"""Of each symbol decoded so far, whether it was spelled out."""


Ints = NDArray[np.int64]


def convolved(x: Ints, weight: NDArray[Any]) -> Ints:
    """Sums of weight[o, c, i, j] · x[c, row + i − edge, column + j − edge]; 0 outside."""
    edge, (_, h, w) = weight.shape[2] // 2, x.shape
    padded = np.pad(x, ((0, 0), (edge, edge), (edge, edge)))
    found = np.zeros((len(weight), h, w), np.int64)
    for i, j in product(range(weight.shape[2]), repeat=2):
        window = padded[:, i : i + h, j : j + w]
        found += np.tensordot(weight[:, :, i, j].astype(np.int64), window, 1)
    return found


def shuffled(x: Ints, b: int) -> Ints:
    """Channel b²·c + b·i + j gives the positions (b·row + i, b·column + j) of channel c."""
    found = np.zeros((len(x) // b**2, x.shape[1] * b, x.shape[2] * b), np.int64)
    for i, j in product(range(b), repeat=2):
        found[:, i::b, j::b] = x[b * i + j :: b * b]
    return found


def network(codec: Container, name: str, x: Ints) -> Ints:
    """What a network of integers gives for (channels, h, w) integers, in whole numbers."""
    stored = codec.header["integer_networks"][name]

    def array(part: str) -> Ints:
        found: Ints = codec.arrays[f"{name}_{part}"].astype(np.int64)
        return found

    def planes(part: str) -> Ints:
        return array(part)[:, None, None]

    results: list[Ints] = []
    at = x
    for i, layer in enumerate(stored["layers"]):
        if layer["reads"] is not None:
            shift = planes(f"read{i}")
            at = ((2 * at + (1 << shift)) >> (shift + 1)).clip(layer["reads"], 255)
        at = (convolved(at, array(f"weight{i}")) + planes(f"bias{i}")) >> planes(f"shift{i}")
        at = shuffled(at.clip(layer["low"], layer["high"]), layer["shuffle"])
        if layer["adds"]:
            at = (at + results[i - layer["adds"]]).clip(layer["low"], layer["high"])
        results.append(at)
    if "whole" not in stored:
        return at
    whole = stored["whole"]
    weight = array("whole_weight")[:, :, None, None]
    high = (weight + 64) >> 7
    low = weight - 128 * high
    x_high, x_low = x >> 8, x & 255
    mixed = convolved(x_low, high) + 2 * convolved(x_high, low) + (convolved(x_low, low) >> 7)
    top = convolved(x_high, high) << (15 - whole["shift"])
    found = (top + (mixed >> (whole["shift"] - 7))).clip(-(2**22), 2**22) + planes("whole_bias")
    summed: Ints = shuffled(found, whole["shuffle"]) + at + 2 ** whole["drop"] // 2
    given: Ints = summed >> whole["drop"]
    given.clip(whole["low"], whole["high"], out=given)
    return given


def latents(
    codec: Container, packet: Packet, side: list[int], message: bytes, h: int, w: int
) -> NDArray[np.int64]:
    """ŷ of one message, element by element."""
    arrays, latent = codec.arrays, codec.header["latent"]
    starts, counts = arrays["table_starts"].tolist(), arrays["table_counts"].tolist()
    tables = [counts[a:b] for a, b in pairwise(starts)]
    decoder = RangeDecoder(message, tables, arrays["table_lows"].tolist())
    q, limit = packet.quality, latent["limit"]
    step = int(arrays["step_units"][q])
    words = arrays["code_context"]
    told = np.sum([words[m, k].astype(int) for m, k in enumerate(side)], axis=0).clip(-255, 255)
    found = np.zeros((latent["channels"], h, w), np.int64)
    for number, (start, stop, parity) in enumerate(latent["steps"]):
        x = np.zeros((stop + len(told) + 1, h, w), np.int64)
        x[:stop] = found[:stop]
        x[stop:-1] = told[:, None, None]
        x[-1] = q - 50
        out = network(codec, f"context{number}", x)
        places = [
            (c, i, j)
            for c in range(stop - start)
            for i in range(h)
            for j in range(w)
            if parity < 0 or (i + j) % 2 == parity
        ]
        shift = int(arrays["table_shift"][q])
        numbers = [
            min(max(int(out[stop - start + c, i, j]) + shift, 0), len(tables) - 1)
            for c, i, j in places
        ]
        symbols = decoder.step(numbers)
        for t, symbol in zip(numbers, symbols, strict=True):
            low = int(arrays["table_lows"][t])
            ESCAPED.append(not low <= symbol < low + len(tables[t]) - 1)
        for (c, i, j), t, symbol in zip(places, numbers, symbols, strict=True):
            inward = (int(arrays["inward_shifts"][t]) * step + 128) // 256
            sign = (symbol > 0) - (symbol < 0)
            value = int(out[c, i, j]) + symbol * step - sign * inward
            found[start + c, i, j] = min(max(value, -limit), limit)
    return found


def learned(codec: Container, packet: Packet) -> Pixels:
    height, width = packet.height, packet.width
    alpha, payload = b"", packet.payload
    if packet.channels == 4:
        length, at = varint(payload, 0)
        alpha, payload = payload[at : at + length], payload[at + length :]
    M = len(codec.arrays["codebooks"])
    side, payload = unpacked(payload[: (M + 1) // 2], M), payload[(M + 1) // 2 :]
    if max(height, width) <= 512:
        found = latents(codec, packet, side, payload, -(-height // 8), -(-width // 8))
    else:
        rows, at = [], 0
        for top in range(0, height, 512):
            row = []
            for left in range(0, width, 512):
                length, at = varint(payload, at)
                h, w = -(-min(512, height - top) // 8), -(-min(512, width - left) // 8)
                row.append(latents(codec, packet, side, payload[at : at + length], h, w))
                at += length
            rows.append(np.concatenate(row, axis=2))
        assert at == len(payload)
        found = np.concatenate(rows, axis=1)
    x = np.concatenate([found, np.full((1, *found.shape[1:]), packet.quality - 50)])
    levels = network(codec, "synthesis", x).astype(np.uint8)
    picture: NDArray[np.uint8] = levels.transpose(1, 2, 0)[:height, :width]
    if packet.channels == 1:
        grey: NDArray[np.uint8] = ((picture.astype(int).sum(2, keepdims=True) + 1) // 3).astype(
            np.uint8
        )
        return grey
    if packet.channels == 4:
        return np.dstack([picture, alpha_plane(alpha, width, height)])
    return picture


def test_learned_payloads_by_the_page() -> None:
    """With the range decoder that the page prints, in plain Python."""
    codec = codec_of("learned.kin")
    images = [was for was in EXPECTED["learned.kin"]["images"] if was["kind"] == "LEARNED"]
    assert {was["shape"][2] for was in images} == {1, 3, 4}
    with Archive.open(GOLDEN / "learned.kin") as archive:
        for was in images:
            image = learned(codec, archive.packet(was["id"]))
            assert list(image.shape) == was["shape"]
            pixels = np.ascontiguousarray(image).tobytes()
            assert hashlib.sha256(pixels).hexdigest() == was["pixels"], was["id"]
    assert any(ESCAPED)


# --- causal payloads ------------------------------------------------------------------------------


def nearest(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_HALF_EVEN))


def causal_levels(
    codec: Container, prefix: str, message: bytes, h: int, w: int, step: int
) -> list[list[int]]:
    """Values of a plane, in plain integers."""
    arrays = {n.removeprefix(prefix): v.tolist() for n, v in codec.arrays.items()}
    decoder = RangeDecoder(message, [], [])
    values = [[0] * w for _ in range(h)]

    def at(y: int, x: int) -> int:
        return values[y][x] if 0 <= y < h and 0 <= x < w else 0

    offsets = [(0, -d) for d in (1, 2, 3)] + [(-r, d) for r in (1, 2) for d in range(-3, 4)]
    offsets += [(-3, d) for d in range(-2, 3)]
    for y, x in sorted(
        ((y, x) for y in range(h) for x in range(w)), key=lambda p: (p[1] + 4 * p[0], p[0])
    ):
        near = [at(y + dy, x + dx) for dy, dx in offsets]
        mirrored = []
        for d in (-1, 0, 1):
            c = w - 1 - x + d
            mirrored.append(at(y - max(0, (c - x) // 4 + 1), c))
        inputs = [*near, *(255 * (v == 0) for v in near), *mirrored, min(2 * step, 255)]
        inputs += [255 * y // max(1, h - 1), 255 * x // max(1, w - 1)]
        for i in range(3):
            weight, bias, shift = (arrays[f"{name}{i}"] for name in ("weight", "bias", "shift"))
            low, high = (0, 4095) if i < 2 else (-32767, 32767)
            sums = [
                sum(v * row[o] for v, row in zip(inputs, weight, strict=True)) + b
                for o, b in enumerate(bias)
            ]
            inputs = [min(high, max(low, a >> s)) for a, s in zip(sums, shift, strict=True)]
        counts = causal_counts(inputs, step)
        values[y][x] = min(255, step * decoder.entry(starts_of(counts)))
    return values


def causal_counts(outputs: list[int], step: int) -> list[int]:
    logs, means, scales = outputs[:3], outputs[3:6], outputs[6:]
    weights = [nearest(4096 * Decimal(2) ** (Decimal(-min(255, max(logs) - a)) / 16)) for a in logs]
    reached = [0]
    for j in range((510 + step) // (2 * step)):
        total = 0
        for weight, mean, scale in zip(weights, means, scales, strict=True):
            inverse = nearest(2**18 / Decimal(2) ** (Decimal(min(28, max(-12, scale))) / 4))
            k = (((2 * j + 1) * step * 8 - mean) * inverse) // 2**16
            k = min(1024, max(-1024, k))
            total += weight * SIGMOID[k]
        reached.append(total)
    reached.append(sum(weights) * 2**16)
    return [(b - a) // 2**10 + 1 for a, b in pairwise(reached)]


SIGMOID = {k: nearest(2**16 / (1 + (Decimal(-k) / 64).exp())) for k in range(-1024, 1025)}


@pytest.mark.slow
def test_causal_payloads_by_the_page() -> None:
    codec = codec_of("causal.kin")
    seen = set()
    with Archive.open(GOLDEN / "causal.kin") as archive:
        for was in EXPECTED["causal.kin"]["images"]:
            packet, (h, w, channels) = archive.packet(was["id"]), was["shape"]
            if channels == 4:
                length, at = varint(packet.payload, 0)
                part = packet.payload[at : at + length]
                assert part[0] == 3
                plane = causal_levels(codec, "alpha_", part[1:], h, w, 1)
                assert np.array_equal(archive.read(was["id"])[:, :, 3], plane)
            elif was["kind"] == "CAUSAL":
                step = int(codec.arrays["causal_steps"][packet.quality])
                plane = causal_levels(codec, "grey_", packet.payload, h, w, step)
                values = np.array(plane)
                x = np.array([values, 255 * (values == 0), np.full((h, w), min(2 * step, 255))])
                (said,) = network(codec, "restoration", x)
                drawn = (values + (said * step + 32) // 64).clip(0, 255).astype(np.uint8)
                assert hashlib.sha256(drawn.tobytes()).hexdigest() == was["pixels"], was["id"]
            seen.add((was["kind"], channels))
    assert {("CAUSAL", 1), ("LEARNED", 4), ("AVIF", 4)} <= seen


# --- the product code -----------------------------------------------------------------------------


def cells_of(image: Pixels) -> list[list[list[float]]]:
    """The area reduction, in fractions: (32, 32, 3)."""
    height, width, channels = image.shape
    plain = image.astype(int)
    if channels == 4:
        alpha = plain[:, :, 3:]
        plain = (plain[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255
    plain = np.repeat(plain, 3, axis=2) if channels == 1 else plain

    def overlaps(n: int, cell: int) -> list[tuple[int, Fraction]]:
        first, stop = Fraction(cell * n, 32), Fraction((cell + 1) * n, 32)
        lines = range(int(first), -int(-stop // 1))
        return [
            (line, min(stop, Fraction(line + 1)) - max(first, Fraction(line))) for line in lines
        ]

    area = Fraction(height * width, 32 * 32)
    rows = []
    for i in range(32):
        row = []
        for j in range(32):
            total = [Fraction(0)] * 3
            for y, down in overlaps(height, i):
                for x, across in overlaps(width, j):
                    for c in range(3):
                        total[c] += down * across * int(plain[y, x, c])
            row.append([float(np.float32(float(one / area))) for one in total])
        rows.append(row)
    return rows


def linear_code(describer: Container, image: Pixels) -> list[int]:
    """Sub-indices of an image, in plain numbers."""
    arrays, settings = describer.arrays, describer.header["descriptor"]
    side, floor = settings["side"], settings["contrast_floor"]
    f, N = 32 // side, 3 * side**2
    u = 16 * f**2
    cells = cells_of(image)
    x = [
        sum(
            round(16 * cells[row * f + a][column * f + b][c]) for a in range(f) for b in range(f)
        )
        for row in range(side)
        for column in range(side)
        for c in range(3)
    ]  # fmt: skip
    z = []
    s, q = sum(x), sum(value * value for value in x)
    sigma = (N * q - s * s) ** 0.5 / (N * u)
    matrix = arrays["descriptor_matrix"].tolist()
    scales, offsets = arrays["descriptor_scale"].tolist(), arrays["descriptor_offset"].tolist()
    for row, scale, offset in zip(matrix, scales, offsets, strict=True):
        p = sum(a * b for a, b in zip(row, x, strict=True))
        if floor is None:
            z.append(scale * p / u - offset)
        else:
            z.append(scale * (N * p - s * sum(row)) / (N * u * (sigma + floor)) - offset)
    if settings["unit_length"]:
        length = sum(value * value for value in z) ** 0.5
        z = [value / length for value in z] if length else z
    books = arrays["codebooks"].astype(np.float64)
    d = books.shape[2]
    code = []
    for m, words in enumerate(books):
        part = np.array(z[m * d : (m + 1) * d], np.float32).astype(np.float64)
        code.append(int(np.square(words - part).sum(1).argmin()))
    return code


@pytest.mark.parametrize("name", ["classic.kin", "wide.kin"])
def test_product_codes_by_the_page(name: str) -> None:
    column = name.removesuffix(".kin")
    describer = describer_of(name, column)
    M = len(describer.arrays["codebooks"])
    with Archive.open(GOLDEN / name) as archive:
        for was in EXPECTED[name]["images"]:
            if was["kind"] == "WEBP_LOSSLESS" and max(was["shape"]) < 100:
                packed = bytes.fromhex(was["codes"][column])
                code = (
                    unpacked(packed, M)
                    if describer.arrays["codebooks"].shape[1] <= 16
                    else list(packed)
                )
                assert linear_code(describer, archive.read(was["id"])) == code
