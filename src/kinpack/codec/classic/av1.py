"""The heads of an AV1 still picture, bit by bit: what need not be stored of them is left out.

A still picture of libaom's is three open bitstream units: a temporal delimiter, a sequence header
and a frame. The sequence header follows from the size and a few switches. The frame starts with a
header of some seven bytes, of which about half are known: `pack_frame` drops those bits,
`unpack_frame` puts them back. Names are those of the AV1 specification, sections 5.5 (sequence
header) and 5.9 (frame header).
"""

from __future__ import annotations

from dataclasses import dataclass

BASE_Q_IDX = (*range(0, 245, 4), 249, 255)
"""The quantiser indices of libaom's 64 quantiser steps; a packed frame stores the place in it."""

_LEVELS = (
    (0, 512, 288, 4),
    (1, 704, 396, 4),
    (4, 1088, 612, 4),
    (5, 1376, 774, 4),
    (8, 2048, 1152, 3),
    (12, 4096, 2176, 2),
    (16, 8192, 4352, 2),
)
# seq_level_idx, width and height whose product bounds the area, and the factor by which one side
# may be longer than its own bound: the levels that libaom's set_bitstream_level_tier can choose.
_LEVEL_MAX = 31

_COLOUR_DESCRIPTION = (1, 13, 6)  # primaries BT.709, transfer sRGB, matrix BT.601


@dataclass(frozen=True, slots=True)
class Sequence:
    """What a sequence header holds beyond the size.

    Attributes:
        chroma: 0 none (monochrome), 1 in half size (4:2:0), 2 in full size (4:4:4).
        large_blocks: superblocks of 128×128 in place of 64×64 pixels.
        cdef: the constrained directional enhancement filter may be used.
        restoration: the loop restoration filter may be used.
    """

    chroma: int
    large_blocks: bool = False
    cdef: bool = True
    restoration: bool = True

    @property
    def profile(self) -> int:
        """``seq_profile``: 1 where chroma has full size, else 0."""
        return int(self.chroma == 2)

    def header(self, width: int, height: int) -> bytes:
        """The content of the sequence header unit of a ``width`` × ``height`` still picture."""
        bits = _Writer()
        bits.put(3, self.profile)
        bits.put(2, 0b11)  # still_picture, reduced_still_picture_header
        bits.put(5, level(width, height))
        across, down = (width - 1).bit_length() or 1, (height - 1).bit_length() or 1
        bits.put(4, across - 1)
        bits.put(4, down - 1)
        bits.put(across, width - 1)
        bits.put(down, height - 1)
        bits.put(1, int(self.large_blocks))
        bits.put(3, 0b110)  # enable_filter_intra, enable_intra_edge_filter, no enable_superres
        bits.put(1, int(self.cdef))
        bits.put(1, int(self.restoration))
        bits.put(1, 0)  # high_bitdepth
        if self.profile == 0:
            bits.put(1, int(self.chroma == 0))
        bits.put(1, 1)  # color_description_present_flag
        for number in _COLOUR_DESCRIPTION:
            bits.put(8, number)
        bits.put(1, 1)  # color_range: full
        if self.chroma == 1:
            bits.put(2, 0)  # chroma_sample_position
        if self.chroma:
            bits.put(1, 0)  # separate_uv_delta_q
        bits.put(1, 0)  # film_grain_params_present
        bits.put(1, 1)  # trailing bit
        return bits.to_bytes()


def level(width: int, height: int) -> int:
    """``seq_level_idx`` that libaom states for a still picture of this size."""
    for index, across, down, stretch in _LEVELS:
        if (
            width * height <= across * down
            and width <= across * stretch
            and height <= down * stretch
        ):
            return index
    return _LEVEL_MAX


class Unusual(Exception):  # noqa: N818 - an answer, not a failure: the frame is stored as it is
    """A frame header holds something that the packed form has no place for."""


def pack_frame(frame: bytes, width: int, height: int, sequence: Sequence) -> tuple[int, int, bytes]:
    """Take the known bits out of a frame's header.

    Returns:
        The packed header's bits as an integer, their number, and the bytes that follow the header.

    Raises:
        Unusual: The header holds what the packed form cannot; the frame must be stored whole.
    """
    full = _Reader(frame)
    packed = _walk(_Tape(full, packing=True), width, height, sequence)
    return packed.value, packed.length, frame[full.place // 8 :]


def unpack_frame(packed: bytes, place: int, width: int, height: int, sequence: Sequence) -> bytes:
    """The frame of which `pack_frame` made the bits of ``packed`` from bit ``place`` on.

    The packed bits end in zeros up to the next byte; what follows is the frame's own.

    Raises:
        Unusual: The bits are no packed header: they end early, or their padding is not zero.
    """
    bits = _Reader(packed, place)
    full = _walk(_Tape(bits, packing=False), width, height, sequence)
    return full.to_bytes() + packed[bits.place // 8 :]


class _Writer:
    """Bits, appended from the most significant on."""

    def __init__(self) -> None:
        self.value = 0
        self.length = 0

    def put(self, count: int, number: int) -> None:
        self.value = self.value << count | number
        self.length += count

    def to_bytes(self) -> bytes:
        padding = -self.length % 8
        return (self.value << padding).to_bytes((self.length + padding) // 8, "big")


class _Reader:
    """The bits of a header, which is short: only its first bytes are looked at."""

    LONGEST = 32

    def __init__(self, data: bytes, place: int = 0) -> None:
        head = data[: self.LONGEST]
        self.value = int.from_bytes(head, "big")
        self.length = 8 * len(head)
        self.place = place

    def take(self, count: int) -> int:
        self.place += count
        if self.place > self.length:
            raise Unusual
        return self.value >> (self.length - self.place) & ((1 << count) - 1)


class _Tape:
    """One header read and another written side by side: the full one and the packed one.

    Args:
        read: the header that is there.
        packing: whether that is the full one.
    """

    def __init__(self, read: _Reader, *, packing: bool) -> None:
        self.read, self.written, self._packing = read, _Writer(), packing

    def known(self, count: int, number: int) -> None:
        """``count`` bits that are always ``number``: only in the full header."""
        if not self._packing:
            self.written.put(count, number)
        elif self.read.take(count) != number:
            raise Unusual

    def kept(self, count: int) -> int:
        """``count`` bits that are in both headers."""
        number = self.read.take(count)
        self.written.put(count, number)
        return number

    def rare(self, count: int) -> int:
        """``count`` bits that are mostly zero: one bit of the packed header says so."""
        if not self._packing:
            number = self.read.take(count) if self.read.take(1) else 0
            self.written.put(count, number)
            return number
        number = self.read.take(count)
        self.written.put(1, int(number != 0))
        if number:
            self.written.put(count, number)
        return number

    def quantiser(self) -> int:
        """``base_q_idx``: eight bits, or six of the packed header."""
        number: int = self.read.take(8) if self._packing else BASE_Q_IDX[self.read.take(6)]
        if number not in BASE_Q_IDX:
            raise Unusual
        self.written.put(*((6, BASE_Q_IDX.index(number)) if self._packing else (8, number)))
        return number


def _walk(tape: _Tape, width: int, height: int, sequence: Sequence) -> _Writer:
    """Go through a frame header once, the same way for packing and for unpacking.

    Returns:
        What was written; what was read is followed by zero bits up to the next byte.
    """
    planes = 3 if sequence.chroma else 1
    one_block = width <= 64 and height <= 64
    tape.known(1, 0)  # disable_cdf_update
    screen_content = tape.kept(1)
    if screen_content:
        tape.known(1, 0)  # force_integer_mv
    tape.known(1, 0)  # render_and_frame_size_different
    if screen_content:
        tape.known(1, 0)  # allow_intrabc
    tape.known(1, 1)  # uniform_tile_spacing_flag
    tape.known(_tile_bits(width, height, sequence.large_blocks), 0)
    base_q_idx = tape.quantiser()
    if base_q_idx == 0:
        raise Unusual  # lossless: no filters at all
    tape.known(3 if sequence.chroma else 1, 0)  # no quantiser offsets
    tape.known(3, 0)  # using_qmatrix, segmentation_enabled, delta_q_present

    loop_filter = tape.kept(6)
    tape.known(6, loop_filter)  # libaom filters both directions alike
    if loop_filter and sequence.chroma:
        tape.kept(12)
    tape.known(5, 0b00010)  # sharpness 0, loop_filter_delta_enabled, no update

    if sequence.cdef:
        tape.known(2, base_q_idx >> 6)  # cdef_damping_minus_3
        cdef_bits = 0
        if one_block:
            tape.known(2, 0)
        else:
            cdef_bits = tape.kept(2)
        for _ in range(1 << cdef_bits):
            tape.kept(12 if sequence.chroma else 6)

    if sequence.restoration:
        lr_type = tape.rare(2 * planes)
        if lr_type:
            lr_unit_shift = tape.kept(1)
            if lr_unit_shift and not sequence.large_blocks:
                tape.kept(1)
        if lr_type & 0b1111 and sequence.chroma == 1:
            tape.kept(1)  # lr_uv_shift

    if loop_filter and sequence.restoration:
        tape.known(1, 1)  # tx_mode_select: rarely 0 here, and the packed header is full
    else:
        tape.kept(1)
    tape.known(1, 0)  # reduced_tx_set
    if tape.read.take(-tape.read.place % 8):
        raise Unusual
    return tape.written


def _tile_bits(width: int, height: int, large_blocks: bool) -> int:
    """Number of zero bits that say "a single tile", for a picture that may be a single tile."""
    block = 128 if large_blocks else 64
    across, down = -(-width // block), -(-height // block)
    if width > 4096 or across * down > 4096 * 2304 // block**2:
        raise Unusual
    return int(across > 1) + int(down > 1)
