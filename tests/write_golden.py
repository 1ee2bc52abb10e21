"""Write ``tests/golden/format-1``: once, for version 1 of the formats. Tests only read it.

    python -m tests.write_golden [--anew | --add NAME]

It needs torch. Encoders differ from machine to machine and change with their versions, so another
run gives other bytes; what the files must say is in ``expected.json`` beside them. ``--anew``
replaces them, which is allowed until the first release alone; ``--add causal`` adds one archive.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from fakes.tiny_describer import tiny_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.codec.classic.alpha import encode_alpha, fill_transparent, join
from kinpack.codec.classic.avif import encode_avif, strip
from kinpack.codec.classic.own_quality import avif_quality, webp_quality
from kinpack.codec.classic.payloads import candidates
from kinpack.codec.classic.webp import encode_webp
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind, Packet
from kinpack.codec.packets.target import Classic, Target
from kinpack.describers.describer import Describer
from kinpack.describers.descriptor import LinearDescriptor
from kinpack.describers.product_books import learn_books
from kinpack.errors import CodecError
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.pictures.images import Image
from kinpack.sources.items import Item
from tests.pictures import grid, plane, waves
from tests.tiny_codec import NETWORK, patches, picture, tiny_model

FOLDER = Path(__file__).parent / "golden" / "format-1"
LEARNED = replace(NETWORK, M=5, code_dim=2)
SEARCHES = 3

Pixels = NDArray[np.uint8]
Payload = Callable[[Image, int], tuple[Kind, bytes]]


@dataclass(frozen=True)
class Pictures:
    """Images to add, in order: id, label, pixels."""

    images: Sequence[tuple[str, str | None, Pixels]]
    name: str = "synthetic"

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Item]:
        for name, label, pixels in self.images:
            yield Item(name, label, lambda pixels=pixels: pixels)  # type: ignore[misc]


class Chooser:
    """A codec that codes each image by the payload function whose turn it is."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.codec_id, self.to_bytes = codec.codec_id, codec.to_bytes
        self.decode, self.rates = codec.decode, codec.rates
        self.encode_measured = codec.encode_measured
        self.payload: Payload = best

    def encode(
        self, images: Sequence[Image], target: Target | None = None, **asked: Any
    ) -> list[Packet]:
        quality = Target.of(target, asked).asked["quality"]
        packets = []
        for image in images:
            height, width, channels = image.shape
            kind, payload = self.payload(image, quality)
            packets.append(Packet(width, height, channels, kind, quality, payload))
        return packets


def best(image: Image, quality: int) -> tuple[Kind, bytes]:
    """The kind that costs least."""
    found = min(candidates(image, quality=quality), key=lambda one: one.cost(quality))
    return found.kind, found.payload


def avif(image: Image, quality: int) -> tuple[Kind, bytes]:
    """AVIF, whatever it costs."""
    alpha, colour = alpha_and_colour(image)
    return Kind.AVIF, alpha + encode_avif(colour, avif_quality=avif_quality(quality))


def webp(image: Image, quality: int) -> tuple[Kind, bytes]:
    """Lossy WebP, whatever it costs."""
    alpha, colour = alpha_and_colour(image)
    return Kind.WEBP, alpha + encode_webp(colour, webp_quality=webp_quality(quality))


def alpha_and_colour(image: Image) -> tuple[bytes, Image]:
    """The bytes that an image's alpha takes before its colour, and its colour."""
    if image.shape[2] < 4:
        return b"", image
    alpha = np.ascontiguousarray(image[:, :, 3])
    colour = fill_transparent(np.ascontiguousarray(image[:, :, :3]), alpha)
    return join(encode_alpha(alpha), b""), colour


def half_colour(image: Image, quality: int) -> tuple[Kind, bytes]:
    """AVIF of 4:2:0: a whole frame."""
    return Kind.AVIF, encode_avif(image, avif_quality=quality, subsampling="4:2:0")


def whole_file(image: Image, quality: int) -> tuple[Kind, bytes]:
    """AVIF that holds what no payload of a frame has a place for: a whole file."""
    height, width, channels = image.shape
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "AVIF", quality=quality, tile_rows=1, xmp=b"<x/>")
    return Kind.AVIF, strip(file.getvalue(), width=width, height=height, channels=channels)


def classic_archive(path: Path) -> None:
    """An archive of all classic payloads, of a describer's codes, tombstones and six revisions."""
    codec = Chooser(Codec.load("classic"))
    stripes = np.ascontiguousarray(grid(24, 31, 4))
    stripes[:, :, 3] = np.where(np.arange(31) % 5 < 2, 0, 255)
    flat, opaque = waves(18, 22, 4, seed=7), waves(15, 26, 4, seed=8)
    flat[:, :, 3], opaque[:, :, 3] = 77, 255
    steps: list[tuple[Payload, int, list[tuple[str, str | None, Pixels]]]] = [
        (
            avif,
            60,
            [
                ("avif/grey", "grey", waves(32, 40, 1, seed=1)),
                ("avif/rgb", "colour", waves(36, 28, 3, seed=2)),
                ("avif/rgba", None, waves(30, 30, 4, seed=3)),
                ("avif/large", "colour", waves(70, 90, 3, seed=4)),
                ("avif/stripes", "alpha", stripes),
                ("avif/flat alpha", "alpha", flat),
                ("avif/opaque", "alpha", opaque),
                ("deleted later", None, waves(12, 12, 3, seed=5)),
            ],
        ),
        (
            webp,
            40,
            [
                ("webp/grey", "grey", waves(17, 33, 1, seed=11)),
                ("webp/rgb", "colour", waves(33, 17, 3, seed=12)),
                ("webp/rgba", None, waves(20, 41, 4, seed=13)),
            ],
        ),
        (
            best,
            100,
            [
                ("exact/grey", "grey", grid(13, 29, 1)),
                ("exact/rgb", "colour", grid(29, 13, 3)),
                ("exact/rgba", "", grid(16, 16, 4)),
                ("exact/one pixel", None, grid(1, 1, 3)),
                ("exact/zwei Stücke, 一 🖼", "zwei Stücke", grid(2, 8195, 1)),
            ],
        ),
        (half_colour, 50, [("avif/half colour", "colour", waves(26, 38, 3, seed=21))]),
    ]
    with Archive.create(
        path,
        codec,
        describer={"classic": "classic", "tiny": tiny_describer()},
        metadata={"source": "synthetic", "ü": [1, 2.5, None]},
    ) as archive:
        for payload, quality, images in steps:
            codec.payload = payload
            archive.add(Pictures(images), quality=quality)
        archive.remove(["deleted later"])
        codec.payload = whole_file
        archive.add(Pictures([("avif/whole file", None, waves(20, 20, 3, seed=22))]), quality=50)


def wide_archive(path: Path) -> None:
    """A describer of 3 books of 20 words, a byte a sub-index, and five images."""
    rng = np.random.default_rng(5)
    descriptor = LinearDescriptor(
        matrix=rng.integers(-300, 300, (6, 48)).astype(np.int16),
        scale=rng.uniform(0.001, 0.003, 6).astype(np.float32),
        offset=rng.normal(size=6).astype(np.float32),
        side=4,
        contrast_floor=None,
        unit_length=False,
    )
    images = [(f"{i}", None, waves(10 + i, 14, 3, seed=30 + i)) for i in range(5)]
    seen = descriptor.describe([waves(20, 20, 3, seed=seed) for seed in range(60)])
    books = learn_books(seen, M=3, K=20)
    arrays = {f"descriptor_{name}": value for name, value in descriptor.arrays().items()}
    header = {"name": "wide", "version": 1, "side": 32, "data": ["synthetic"]}
    describer = Describer.from_container(
        Container(
            header={**header, "descriptor": descriptor.to_dict()},
            blobs={},
            arrays={**arrays, "codebooks": books.codebooks},
            kind=DESCRIBER_FILE,
        )
    )
    with Archive.create(path, "classic", describer=describer) as archive:
        archive.add(Pictures(images), quality=100)


def learned_archive(path: Path) -> None:
    """A tiny learned codec, whose side code has five words, and images of every sort."""
    description = {"name": "tiny", "data": ["synthetic"], "seed": 0, "note": "ü"}
    codec = freeze_learned(description)
    noise = 255 * np.random.default_rng(8).integers(0, 2, (24, 24, 3), np.uint8)
    images: dict[int, list[tuple[str, str | None, Pixels]]] = {
        30: [("low/rgb", "low", picture(40, 48, 1)), ("low/grey", None, picture(21, 11, 2, 1))],
        62: [
            ("rgb", "middle", picture(32, 32, 3)),
            ("grey", "middle", picture(24, 40, 4, 1)),
            ("rgba", None, picture(30, 26, 5, 4)),
            ("one pixel", None, picture(1, 1, 6)),
            ("tiles", "large", picture(10, 1030, 7)),
        ],
        99: [("high/rgb", "high", picture(17, 25, 9)), ("high/noise", "high", noise)],
    }
    with Archive.create(path, codec, describer=None) as archive:
        for quality, some in images.items():
            archive.add(Pictures(some), quality=quality, classic="never")
        archive.add(Pictures([("exact", None, picture(12, 12, 10))]), quality=100)


def causal_archive(path: Path) -> None:
    """A tiny codec that codes grey images and alpha planes pixel by pixel, and some under it."""
    from kinpack.learn.causal.learning import CausalPlan, with_alpha, with_grey
    from kinpack.learn.models.config import TrainingConfig

    codec = freeze_learned({"name": "tiny drawings", "data": ["synthetic"], "seed": 0})
    rough = [plane(20, 16, seed)[:, :, None] for seed in range(60)]
    soft = [plane(20, 16, seed, noise=0) for seed in range(60)]
    with tempfile.TemporaryDirectory() as folder:
        training = TrainingConfig(minutes=1, steps=300, quality_low=25, quality_high=90)
        plan = CausalPlan(training, Path(folder), hidden=12)
        codec = with_alpha(with_grey(codec, rough, plan), soft, plan)
    with Archive.create(path, codec) as archive:
        for quality, size in ((30, (18, 25)), (60, (27, 16)), (90, (9, 1))):
            grey = [(f"{quality}/{seed}", None, plane(*size, seed)[:, :, None]) for seed in (1, 2)]
            archive.add(Pictures(grey), quality=quality, classic="never")
        rules: tuple[Classic, ...] = ("never", "always")
        for classic in rules:
            clear = [
                (
                    f"{classic}/{seed}",
                    "alpha",
                    np.dstack([picture(h, 14, seed), plane(h, 14, seed, noise=0)]),
                )
                for seed, h in ((3, 17), (4, 21))
            ]
            archive.add(Pictures(clear), quality=50, classic=classic)


def freeze_learned(description: dict[str, Any]) -> Codec:
    """The tiny network, trained for five steps and frozen."""
    from kinpack.learn.freezing.freeze import freeze

    return freeze(tiny_model(LEARNED), patches(48), description=description)


def expected(path: Path) -> dict[str, Any]:
    """What a reader must find in an archive; lossy AVIF pictures are saved beside it."""
    with Archive.open(path) as archive:
        report = archive.verify(deep=True)
        if not report.ok:
            raise CodecError("; ".join(report.problems))
        codes = {name: archive.codes_of(name)[0] for name in archive.describers}
        images = []
        for position, (entry, pixels) in enumerate(archive.images()):
            packet = archive.packet(entry.id)
            images.append(
                {
                    "id": entry.id,
                    "label": entry.label,
                    "shape": list(pixels.shape),
                    "kind": entry.kind.name,
                    "quality": entry.quality,
                    "codes": {name: of[position].tobytes().hex() for name, of in codes.items()},
                    "payload": hashlib.sha256(packet.payload).hexdigest(),
                    "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
                }
            )
            if entry.kind is Kind.AVIF:
                save_drawn(pixels, drawn_name(path, entry.id))
        return {
            "archive": path.name,
            "images": images,
            "revisions": {str(s): ids_at(path, s) for s in range(1, archive.manifest.number + 1)},
            "searches": [
                {
                    "id": name,
                    "codes": column,
                    "hits": [[h.id, h.distance] for h in archive.search(name, k=5, codes=column)],
                }
                for column in codes
                for name in archive.ids[:SEARCHES]
            ],
        }


def drawn_name(path: Path, name: str) -> Path:
    """Where a lossy picture is kept as it was drawn."""
    return FOLDER / "drawn" / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.png"


def save_drawn(pixels: Pixels, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    plain = pixels[:, :, 0] if pixels.shape[2] == 1 else pixels
    PIL.Image.fromarray(plain).save(path, optimize=True)


def ids_at(path: Path, number: int) -> list[str]:
    with Archive.open(path, at=number) as archive:
        return list(archive.ids)


def main() -> None:
    """Write all files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--anew", action="store_true", help="replace what is there")
    parser.add_argument("--add", choices=("causal",), help="add this one to what is there")
    args = parser.parse_args()
    listed = FOLDER / "expected.json"
    if args.add:
        causal_archive(FOLDER / "causal.kin")
        known = [o for o in json.loads(listed.read_text("utf-8")) if o["archive"] != "causal.kin"]
        found = [*known, expected(FOLDER / "causal.kin")]
        listed.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    if args.anew and FOLDER.exists():
        shutil.rmtree(FOLDER)
    FOLDER.mkdir(parents=True)
    classic_archive(FOLDER / "classic.kin")
    wide_archive(FOLDER / "wide.kin")
    learned_archive(FOLDER / "learned.kin")
    causal_archive(FOLDER / "causal.kin")
    names = ("classic", "wide", "learned", "causal")
    found = [expected(FOLDER / f"{name}.kin") for name in names]
    with Archive.open(FOLDER / "classic.kin") as archive:
        seal(archive, FOLDER / "classic.kin.zip")
    text = json.dumps(found, indent=1, ensure_ascii=False)
    listed.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
