"""AVIF payloads: the file of one still picture without all that can be written again.

A file of libavif's, as Pillow saves it, is a ``ftyp`` and a ``meta`` box, which depend on the size,
the sort of picture and the length of the data alone, and a ``mdat`` box with the AV1 stream: a
temporal delimiter, a sequence header, a frame. A payload keeps only the frame, and of its header
only what cannot be known (`kinpack.codec.classic.av1`). Its first bits, the highest first, say how:

- ``0 r [b]``: a packed frame. The picture is monochrome where the image is grey, else 4:4:4; CDEF
  is enabled. ``r``: loop restoration is enabled. ``b``, there only for pictures larger than 64×64:
  superblocks of 128×128. The packed frame header follows at once, then zero bits up to the next
  byte, then the rest of the frame.
- ``1 0 cc b d r 0``: a whole frame follows. ``cc``: 0 monochrome, 1 4:2:0, 2 4:4:4. ``b``:
  superblocks of 128×128. ``d``: CDEF is enabled. ``r``: loop restoration is enabled.
- ``1 1 0 0 0 0 0 0``: a whole file follows, one that this module could not have written.

This is part of the packet's format: it never changes.
"""

from __future__ import annotations

import io
import struct
from itertools import product
from typing import Any, Literal, TypeAlias

import numpy as np
import PIL.Image

from kinpack.codec.classic.av1 import Sequence, Unusual, level, pack_frame, unpack_frame
from kinpack.entropy.varint import read_varint, write_varint
from kinpack.errors import CodecError, PayloadError, see_memory
from kinpack.limits import DECODING
from kinpack.pictures.images import Image

_WHAT = "an AVIF payload"
Subsampling: TypeAlias = Literal["4:4:4", "4:2:0"]

_WHOLE_FRAME = 0x80
_WHOLE_FILE = 0xC0

_TEMPORAL_DELIMITER = b"\x12\x00"
_SEQUENCE_HEADER = 0x0A
_FRAME = 0x32

_BRAND = {0: b"", 1: b"MA1B", 2: b"MA1A"}
_ONE_THREAD = 512 * 512  # pixels up to which threads cost an encoder more than they bring

_SETTINGS = {"tune": "psnr", "enable-cdef": "1", "enable-restoration": "1"}
_SQUARES = {"enable-rect-partitions": "0"}


def encode_avif(
    image: Image,
    *,
    avif_quality: int,
    speed: int = 4,
    squares: bool = False,
    subsampling: Subsampling = "4:4:4",
) -> bytes:
    """Encode a picture.

    Args:
        image: uint8 (H, W, 1) or (H, W, 3), sides up to 16,384.
        avif_quality: 0 (coarsest) to 100, as libavif counts.
        speed: 0 (slowest, fewest bytes) to 10.
        squares: whether blocks are cut into squares alone, which at speed 4 takes 0.4 of the time
            for 2.5 to 3.5 % more bytes on photographs, and 8 % on drawings and text.
        subsampling: size of the chroma planes; without meaning for grey.

    Returns:
        The payload, of which `decode_avif` makes the picture again.

    Raises:
        CodecError: This Pillow was built without AVIF.
    """
    _plugin()
    height, width, channels = image.shape
    grey = channels == 1
    threads = {"max_threads": 1} if width * height <= _ONE_THREAD else {}
    file = io.BytesIO()
    PIL.Image.fromarray(image[:, :, 0] if grey else image).save(
        file,
        "AVIF",
        quality=avif_quality,
        subsampling="4:0:0" if grey else subsampling,
        speed=speed,
        autotiling=False,
        advanced=_SETTINGS | (_SQUARES if squares else {}),
        **threads,
    )
    return strip(file.getvalue(), width=width, height=height, channels=channels)


def decode_avif(payload: bytes, *, width: int, height: int, channels: int) -> Image:
    """Draw the picture of a payload.

    Args:
        payload: as `encode_avif` made it.
        width: pixels across.
        height: pixels down.
        channels: 1 or 3.

    Returns:
        uint8 (height, width, channels).

    Raises:
        PayloadError: The payload is damaged, or is of another size.
        CodecError: This Pillow was built without AVIF.
    """
    plugin = _plugin()
    file = rebuild(payload, width=width, height=height, channels=channels)
    try:
        # Pillow's own way starts a thread a core for each picture, which for thumbnails takes
        # tens of times longer than the decoding.
        decoder = plugin.AvifDecoder(file, "auto", 1)
        size, _, mode, *_ = decoder.get_info()
        if size != (width, height) or mode not in ("L", "RGB"):
            raise PayloadError.of(_WHAT, f"it holds {size[0]}×{size[1]} pixels, mode {mode}")
        data = decoder.get_frame(0)[0]
        picture = np.frombuffer(data, dtype=np.uint8).reshape(height, width, -1)
    except PayloadError:
        raise
    except Exception as error:  # the decoder raises whatever comes to its mind
        see_memory(error, _WHAT, DECODING * width * height)
        raise PayloadError.of(_WHAT, error) from error
    if picture.shape[2] < channels:
        raise PayloadError.of(_WHAT, "it holds a grey picture in place of a coloured one")
    return np.ascontiguousarray(picture[:, :, :channels])


def strip(file: bytes, *, width: int, height: int, channels: int) -> bytes:
    """Leave out of an AVIF file what `rebuild` writes again.

    Args:
        file: a still picture without alpha; of whatever encoder.
        width: pixels across.
        height: pixels down.
        channels: 1 or 3.

    Returns:
        The payload; the shorter, the more the file is as `encode_avif` makes it.
    """
    size = {"width": width, "height": height, "channels": channels}
    found = _find_frame(file, width, height)
    if found is not None:
        sequence, frame = found
        packed = _pack(frame, sequence, **size)
        if packed is not None and rebuild(packed, **size) == file:
            return packed
        whole = bytes([_WHOLE_FRAME | _switches(sequence)]) + frame
        if rebuild(whole, **size) == file:
            return whole
    return bytes([_WHOLE_FILE]) + file


def rebuild(payload: bytes, *, width: int, height: int, channels: int) -> bytes:
    """Write the AVIF file of which `strip` made a payload, byte for byte.

    Args:
        payload: as `strip` made it.
        width: pixels across.
        height: pixels down.
        channels: 1 or 3.

    Returns:
        The file.

    Raises:
        PayloadError: The payload is damaged.
    """
    if not payload:
        raise PayloadError.of(_WHAT, "it is empty")
    first = payload[0]
    if first == _WHOLE_FILE:
        return payload[1:]
    if first & 0xC1 == _WHOLE_FRAME and first >> 4 & 3 != 3:
        return _file(payload[1:], _sequence_of(first), width, height)
    if first & 0x80:
        raise PayloadError.of(_WHAT, "its first byte is of no known form")
    place = 2 if _one_block(width, height) else 3
    sequence = Sequence(
        chroma=0 if channels == 1 else 2,
        large_blocks=bool(place == 3 and first & 0x20),
        restoration=bool(first & 0x40),
    )
    try:
        frame = unpack_frame(payload, place, width, height, sequence)
    except Unusual as error:
        raise PayloadError.of(_WHAT, "its frame header is broken") from error
    return _file(frame, sequence, width, height)


def _pack(
    frame: bytes, sequence: Sequence, *, width: int, height: int, channels: int
) -> bytes | None:
    chroma = 0 if channels == 1 else 2
    small = _one_block(width, height)
    if sequence.chroma != chroma or not sequence.cdef or (small and sequence.large_blocks):
        return None
    try:
        bits, count, rest = pack_frame(frame, width, height, sequence)
    except Unusual:
        return None
    form = int(sequence.restoration)
    if not small:
        form = form << 1 | int(sequence.large_blocks)
    used = count + (2 if small else 3)
    head = (form << count | bits) << (-used % 8)
    return head.to_bytes(-(-used // 8), "big") + rest


def _one_block(width: int, height: int) -> bool:
    return width <= 64 and height <= 64


def _switches(sequence: Sequence) -> int:
    return (
        sequence.chroma << 4
        | sequence.large_blocks << 3
        | sequence.cdef << 2
        | sequence.restoration << 1
    )


def _sequence_of(switches: int) -> Sequence:
    return Sequence(
        chroma=switches >> 4 & 3,
        large_blocks=bool(switches & 8),
        cdef=bool(switches & 4),
        restoration=bool(switches & 2),
    )


def _find_frame(file: bytes, width: int, height: int) -> tuple[Sequence, bytes] | None:
    """The frame of a file and the sequence it belongs to, where the stream is as expected."""
    start = file.find(b"mdat" + _TEMPORAL_DELIMITER)
    if start < 0:
        return None
    stream = file[start + 4 + len(_TEMPORAL_DELIMITER) :]
    for chroma, *flags in product((2, 0, 1), (False, True), (True, False), (True, False)):
        sequence = Sequence(chroma, *flags)
        head = _unit(_SEQUENCE_HEADER, sequence.header(width, height)) + bytes([_FRAME])
        if stream.startswith(head):
            try:
                length, place = read_varint(stream, len(head))
            except PayloadError:
                return None
            return (sequence, stream[place:]) if place + length == len(stream) else None
    return None


def _unit(head: int, content: bytes) -> bytes:
    """An open bitstream unit with its length."""
    return bytes([head]) + write_varint(len(content)) + content


def _file(frame: bytes, sequence: Sequence, width: int, height: int) -> bytes:
    """The AVIF file of one frame, as libavif 1.4 writes it."""
    stream = (
        _TEMPORAL_DELIMITER
        + _unit(_SEQUENCE_HEADER, sequence.header(width, height))
        + _unit(_FRAME, frame)
    )
    brands = b"avif" + b"mif1" + b"miaf" + _BRAND[sequence.chroma]
    file_type = _box(b"ftyp", b"avif" + bytes(4) + brands)
    # The place of the data is in the box whose length it follows from: write that box twice.
    length = len(_meta(sequence, width, height, 0, 0))
    place = len(file_type) + length + 8
    return file_type + _meta(sequence, width, height, place, len(stream)) + _box(b"mdat", stream)


def _meta(sequence: Sequence, width: int, height: int, place: int, length: int) -> bytes:
    sort = {0: 0x1C, 1: 0x0C, 2: 0x00}[sequence.chroma]  # monochrome, subsampling in x and y
    profile_and_level = sequence.profile << 5 | level(width, height)
    planes = 3 if sequence.chroma else 1
    properties = _box(
        b"ipco",
        _full_box(b"ispe", struct.pack(">II", width, height))
        + _full_box(b"pixi", bytes([planes]) + b"\x08" * planes)
        + _box(b"av1C", bytes([0x81, profile_and_level, sort, 0]))
        + _box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0x80)),
    )
    associations = struct.pack(">IHB4B", 1, 1, 4, 1, 2, 0x83, 4)
    entry = _full_box(b"infe", struct.pack(">HH", 1, 0) + b"av01Color\0", version=2)
    return _full_box(
        b"meta",
        _full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
        + _full_box(b"pitm", struct.pack(">H", 1))
        + _full_box(b"iloc", struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, place, length))
        + _full_box(b"iinf", struct.pack(">H", 1) + entry)
        + _box(b"iprp", properties + _full_box(b"ipma", associations)),
    )


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def _full_box(name: bytes, content: bytes, *, version: int = 0) -> bytes:
    return _box(name, struct.pack(">I", version << 24) + content)


def _plugin() -> Any:
    try:
        from PIL import _avif
    except ImportError as error:
        raise CodecError(
            "this Pillow was built without AVIF; install a wheel of Pillow 12 or newer"
        ) from error
    return _avif
