"""JPEG files: those that are cut short or broken, and those that Pillow does not read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

import numpy as np
import PIL.Image

_END = b"\xff\xd9"
_NO_LENGTH = frozenset((0x01, *range(0xD0, 0xD9)))
_FIRST, _LAST = 0xD8, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
_BLOCK = 8
_PIECE = 1 << 20
_MOST_SEGMENTS = 1 << 16
_MOST_SCANS = 1000
_MOST_STOPS = 20


def unusual(file: BinaryIO) -> str | None:
    """Say what sort of JPEG a file is, where it is one that is not read; ``None`` where not."""
    for marker, content, _, _ in _segments(file):
        if marker == 0xF7:
            return "JPEG-LS"
        if marker in _FRAMES and len(content) >= 6:
            if marker in (0xC3, 0xC7, 0xCB, 0xCF):
                return f"lossless JPEG of {content[0]} bits a sample"
            if content[0] != 8:
                return f"JPEG of {content[0]} bits a sample"
            if content[5] not in (1, 3, 4):
                return f"JPEG of {content[5]} components"
            return None
    return None


def load_cut(picture: PIL.Image.Image, file: BinaryIO, *, fine: bool = True) -> float:
    """Decode a picture whose file ends too early, as if its end came there.

    Args:
        picture: opened, and drafted perhaps; loading it failed, and it is loaded afterwards.
        file: its file.
        fine: whether all pixels of a progressive picture may be held twice more, to look for where
            its last scan ends; else the mean colours of blocks have to tell, and do not of all.

    Returns:
        The share that is missing, 0 to 1: of the blocks, or, of a progressive picture, of the
        coefficients, where one of which the last n bits are missing counts by 1 − 2⁻ⁿ.
    """
    stop = _sound_end(file)
    vars(picture)["load_read"] = _Ended(file, stop, _END)
    picture.load()
    return _missing_before(file, stop, fine=fine)


def load_broken(
    picture: PIL.Image.Image,
    file: BinaryIO,
    reopen: Callable[[], PIL.Image.Image],
    *,
    fine: bool = True,
) -> float:
    """Decode a picture in whose scans stands a marker that its decoder makes nothing of.

    The file ends, as ``load_cut`` takes it, at the last marker up to which it can be decoded.

    Args:
        picture: opened, and drafted perhaps; loading it failed, and it is loaded afterwards.
        file: its file.
        reopen: opens it anew, and drafts it.
        fine: as for ``load_cut``.

    Returns:
        The share that is missing, 0 to 1, as ``load_cut`` has it.
    """
    begun, stops = False, []
    for one in islice(_segments(file, scans=True), _MOST_SCANS):
        stops += [one.at] if begun else []
        begun = begun or one.marker == _SCAN
    for stop in stops[::-1][:_MOST_STOPS]:
        with reopen() as again:
            vars(again)["load_read"] = _Ended(file, stop, _END)
            try:
                again.load()
            except OSError:
                continue
            picture.paste(again, (0, 0))
        return _missing_before(file, stop, fine=fine)
    return 1.0


def _missing_before(file: BinaryIO, stop: int, *, fine: bool) -> float:
    """The share that is missing of a picture whose file ends at a place."""
    scans = list(islice(_scans(file, stop), _MOST_SCANS))
    if not scans:
        return 1.0
    if scans[0].is_progressive:
        last = _first_change(file, stop, fine=fine)
        return _missing_coefficients(scans, last)
    return 1 - _first_change(file, stop, fine=False)


class _Ended:
    """Reads a file up to a place, and once more something after it."""

    def __init__(self, file: BinaryIO, stop: int, end: bytes) -> None:
        self._file, self._stop, self._end = file, stop, end

    def __call__(self, size: int) -> bytes:
        data = self._file.read(max(0, min(size, self._stop - self._file.tell())))
        if not data:
            data, self._end = self._end, b""
        return data


def _first_change(file: BinaryIO, stop: int, *, fine: bool) -> float:
    """Where, in the order of the blocks, the first pixel stands that what follows the cut changes.

    The file is decoded with nothing after the cut, and with noise: what differs hangs on what is
    missing. A complete picture takes no notice of what follows.

    Args:
        file: the file.
        stop: where its sound part ends.
        fine: whether all pixels are looked at, else one a block.

    Returns:
        The share of the picture before it, 0 to 1.
    """
    noise = hashlib.shake_128(b"noise").digest(4096).replace(b"\xff", b"\x7f")
    drawn = []
    for end in (_END, noise + _END):
        file.seek(0)
        with PIL.Image.open(file, formats=["JPEG"]) as picture:
            if not fine:
                picture.draft(None, (max(1, picture.width // 8), max(1, picture.height // 8)))
            vars(picture)["load_read"] = _Ended(file, stop, end)
            drawn.append(np.asarray(picture))
    changed = drawn[0] != drawn[1]
    if changed.ndim == 3:
        changed = changed.any(axis=2)
    height, width = changed.shape
    step = _BLOCK if fine else 1
    rows = np.flatnonzero(changed.any(axis=1))
    if not len(rows):
        return 1.0
    top = int(rows[0]) // step * step
    left = int(np.flatnonzero(changed[top : top + step].any(axis=0))[0]) // step * step
    before = top * width + min(step, height - top) * left
    return float(before / (height * width))


class _Scan:
    """A scan of a picture: which coefficients of which components it brings, to which bit.

    Attributes:
        is_progressive: whether its picture is.
        components: how many the picture has.
        brought: component, first and last coefficient.
        low: bits that its coefficients still lack.
    """

    def __init__(self, marker: int, components: int, content: bytes) -> None:
        count = content[0] if content else 0
        if count > 4 or len(content) < 4 + 2 * count:
            raise ValueError("a scan's head is cut short")
        self.is_progressive = marker in (0xC2, 0xCA)
        self.components = components
        first, last, self.low = content[1 + 2 * count], content[2 + 2 * count], content[-1] & 15
        self.brought = [(content[1 + 2 * n], first, min(last, 63)) for n in range(count)]


def _scans(file: BinaryIO, stop: int) -> Iterator[_Scan]:
    """The scans that begin before a place."""
    frame: tuple[int, int] | None = None
    for marker, content, at, _ in _segments(file, scans=True):
        if at >= stop:
            return
        if marker in _FRAMES and len(content) >= 6:
            frame = marker, content[5]
        elif marker == _SCAN and frame:
            try:
                yield _Scan(*frame, content)
            except (ValueError, IndexError):
                return


def _missing_coefficients(scans: list[_Scan], last: float) -> float:
    """The share of a progressive picture's coefficients that has not come.

    Args:
        scans: all that have begun.
        last: the share of the last one that has come, 0 to 1.
    """
    there: dict[tuple[int, int], float] = {}
    for number, scan in enumerate(scans):
        share = last if number == len(scans) - 1 else 1.0
        for component, first, until in scan.brought:
            for coefficient in range(first, until + 1):
                key = component, coefficient
                before = there.get(key, 0.0)
                there[key] = before + share * (2.0**-scan.low - before)
    return max(0.0, 1 - sum(there.values()) / (64.0 * max(1, scans[0].components)))


def _sound_end(file: BinaryIO) -> int:
    """Where a file ends, or its last segment begins if that is cut short itself."""
    end = file.seek(0, 2)
    return next((one.at for one in _segments(file, scans=True) if one.end > end), end)


class _Segment(NamedTuple):
    """A segment of a file: its content as far as it is there, and where all of it would end."""

    marker: int
    content: bytes
    at: int
    end: int


def _segments(file: BinaryIO, *, scans: bool = False) -> Iterator[_Segment]:
    """The segments of a file, up to the head of its first scan, or through all of them."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 2 or head[0] != 0xFF:
            return
        marker = head[1]
        if marker == 0xFF:  # a filling byte
            at += 1
            continue
        if marker == _LAST:
            return
        if marker in _NO_LENGTH:
            if marker == _FIRST:
                yield _Segment(marker, b"", at, at + 2)
            at += 2
            continue
        length = int.from_bytes(head[2:], "big") if len(head) == 4 else 2
        end = at + 2 + length
        yield _Segment(marker, file.read(max(0, length - 2)), at, end)
        at = end
        if marker == _SCAN:
            if not scans:
                return
            at = _next_marker(file, at)


def _next_marker(file: BinaryIO, at: int) -> int:
    """Where the first marker after coded blocks stands, those that restart them apart."""
    while True:
        file.seek(at)
        data = file.read(_PIECE)
        place = data.find(b"\xff")
        while 0 <= place < len(data) - 1:
            if data[place + 1] not in (0, 0xFF, *range(0xD0, 0xD8)):
                return at + place
            place = data.find(b"\xff", place + 1)
        if len(data) < _PIECE:
            return at + len(data)
        at += len(data) - 1
