"""What fuzzing starts from: small whole files of every sort, and payloads of every kind."""

from __future__ import annotations

import io
import pickle
import random
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Self
from unittest.mock import patch

import numpy as np
import PIL.Image

from fakes.fake_codec import FakeSource
from fakes.tiny_describer import soft_picture, tiny_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.revisions import manifest
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Packet
from kinpack.pictures.images import Image, to_pil
from reliability import ROOT
from reliability.acts import segments_of

_SIZES = ((8, 8), (13, 7), (1, 1), (20, 24), (65, 9), (3, 70))


@dataclass(frozen=True)
class Seeds:
    """Whole files and payloads, to be changed.

    Attributes:
        codecs: codec files: the shipped classic one, and a tiny learned one.
        describer: a tiny describer file.
        archive: the files of an archive with the classic codec, the describer, several segments,
            deleted rows and several revisions, by their names.
        sealed: the same, sealed.
        learned: packets of the tiny learned codec.
        causal: packets of it that are coded pixel by pixel, or whose alpha is.
        classic: packets of the classic codec: AVIF, WebP, lossless WebP, with alpha and without.
        pictures: picture files of many formats.
    """

    codecs: tuple[bytes, ...]
    describer: bytes
    archive: dict[str, bytes]
    sealed: bytes
    learned: tuple[Packet, ...]
    causal: tuple[Packet, ...]
    classic: tuple[Packet, ...]
    pictures: tuple[bytes, ...]

    def save(self, path: Path) -> None:
        """Write them for another process of the same run."""
        path.write_bytes(pickle.dumps(self))


def load_seeds(path: Path) -> Seeds:
    """Read what ``Seeds.save`` wrote in this run."""
    seeds: Seeds = pickle.loads(path.read_bytes())  # noqa: S301 (this run's own file)
    return seeds


class _Then(datetime):
    """A clock that stands still."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Always the same time."""
        return cls(2026, 1, 1, tzinfo=tz)


@contextmanager
def repeatable() -> Iterator[None]:
    """Give the archives of a block the same names and times whenever they are made.

    An input that guided fuzzing has kept names segments and the parent of its revision: among other
    seeds it would be refused for that alone.
    """
    chance = random.Random(0)

    def named() -> uuid.UUID:
        return uuid.UUID(int=chance.getrandbits(128), version=4)

    with patch.object(uuid, "uuid4", named), patch.object(manifest, "datetime", _Then):
        yield


def make_seeds() -> Seeds:
    """Make them, the same each time: the learned codec is that of a golden archive."""
    golden = ROOT / "tests" / "golden" / "format-1" / "causal.kin"
    (file,) = (golden / "codecs").glob("*.kinc")
    classic, learned = Codec.load("classic"), Codec.load(file)
    images = _images()
    with repeatable():
        archive, sealed = _archives(classic, images)
    packets = [
        packet
        for quality in (30, 95, 100)
        for packet in classic.encode(images, quality=quality, threads=1)
    ]
    with Archive.open(golden) as kept:
        causal = tuple(kept.packet(name) for name in kept.ids)
    return Seeds(
        codecs=(classic.to_bytes(), learned.to_bytes()),
        describer=tiny_describer().to_bytes(),
        archive=archive,
        sealed=sealed,
        learned=tuple(learned.encode(images, quality=40, classic="never", threads=1)),
        causal=causal,
        classic=tuple(packets),
        pictures=_pictures(images),
    )


def _images() -> list[Image]:
    return [
        soft_picture(number, height, width, channels)
        for number, (height, width) in enumerate(_SIZES)
        for channels in (1, 3, 4)
    ]


def _archives(codec: Codec, images: list[Image]) -> tuple[dict[str, bytes], bytes]:
    with tempfile.TemporaryDirectory() as folder, segments_of(6):
        path, zipped = Path(folder) / "a.kin", Path(folder) / "a.kin.zip"
        items = [(f"class/{n:03d}.png", f"l{n % 3}" if n % 4 else None, image)
                 for n, image in enumerate(images)]  # fmt: skip
        metadata = {"source": "fuzz", "deep": [[{"a": 1.5}]]}
        with Archive.create(path, codec, describer=tiny_describer(), metadata=metadata) as archive:
            for first in range(0, len(items), 9):
                archive.add(FakeSource(items[first : first + 9]))
            archive.remove([items[3][0], items[4][0], items[12][0]])
            seal(archive, zipped)
        files = {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in sorted(path.rglob("*.*"))
            if file.is_file()
        }
        return files, zipped.read_bytes()


def _pictures(images: list[Image]) -> tuple[bytes, ...]:
    """Picture files of several formats and modes."""
    made = []
    grey, colour, clear = (to_pil(image) for image in images[9:12])
    for picture in (grey, colour, clear, colour.convert("P"), colour.convert("CMYK")):
        for name in ("PNG", "GIF", "JPEG", "WEBP", "TIFF", "BMP", "ICO", "TGA", "PPM", "AVIF"):
            file = io.BytesIO()
            try:
                picture.save(file, name)
            except (OSError, ValueError):  # a format without this mode
                continue
            made.append(file.getvalue())
    frames = [to_pil(np.roll(images[10], step, 0)) for step in range(3)]
    for name in ("GIF", "PNG", "TIFF", "WEBP"):
        file = io.BytesIO()
        frames[0].save(file, name, save_all=True, append_images=frames[1:])
        made.append(file.getvalue())
    file = io.BytesIO()
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    colour.save(file, "JPEG", exif=exif, icc_profile=b"no profile at all")
    return (*made, file.getvalue())
