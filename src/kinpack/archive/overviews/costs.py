"""What an archive costs beside files of the same pictures, measured on some of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kinpack.archive.revisions.reader import Reader
from kinpack.errors import ArchiveError
from kinpack.pictures.file_sizes import FILE_FORMS, FileForm, sizes_at_psnr
from kinpack.pictures.images import Image

NEARNESS = (35, 40)
"""Mean PSNR in dB that files have to the archive's own pictures."""
_MOST = 48  # images of a sample
_MOST_PIXELS = 4_000_000  # of all of them, from the second on


@dataclass(frozen=True, slots=True, kw_only=True)
class FileCosts:
    """Bytes of the sample as files that are so near to the archive's pictures.

    Attributes:
        psnr: mean over the sample, in dB, that is reached at least.
        bytes: of all files together, by their format; ``None`` where no quality reaches it.
    """

    psnr: int
    bytes: dict[FileForm, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What an archive costs beside files.

    Files are made of the pictures as the archive gives them back: they tell what an export would
    take. The originals are not there, so that what the archive lost of them is not counted.

    Attributes:
        bytes: of the archive, everything counted that its newest revision needs.
        shared: bytes of that which are the codec and the describers, however many images there are.
        payloads: bytes of all payloads.
        sample: images that files were made of, chosen by chance.
        seed: of the choice.
        transparent: images of the sample that have alpha, and are laid on white in files.
        sample_payloads: bytes of the sample's payloads.
        files: for each of `NEARNESS`.
    """

    bytes: int
    shared: int
    payloads: int
    sample: int
    seed: int
    transparent: int
    sample_payloads: int
    files: tuple[FileCosts, ...]

    def to_dict(self) -> dict[str, Any]:
        """The costs as JSON values."""
        return asdict(self)


def costs_of(reader: Reader, *, seed: int = 0) -> Costs:
    """Measure what an archive costs beside JPEG, WebP and AVIF files, on up to 48 images.

    Args:
        reader: the archive.
        seed: of the choice of images.

    Raises:
        ArchiveError: it has no images, or a segment or the codec is missing or damaged.
        PayloadError: an image of the sample is damaged.
    """
    ids, manifest = reader.ids, reader.manifest
    if not ids:
        raise ArchiveError(f"{reader.where}: it has no images to measure; add some first")
    order = np.random.default_rng(seed).permutation(len(ids)).tolist()
    some: list[Image] = []
    payloads = pixels = 0
    for position in order[:_MOST]:
        entry = reader.entry(ids[position])
        pixels += entry.width * entry.height
        if some and pixels > _MOST_PIXELS:
            break
        some.append(reader.read(entry.id))
        payloads += entry.length
    files = tuple(
        FileCosts(
            psnr=near,
            bytes={form: _total(sizes_at_psnr(some, form, near)[0]) for form in FILE_FORMS},
        )
        for near in NEARNESS
    )
    shared = manifest.codec_bytes + sum(one.bytes for one in manifest.describers)
    return Costs(
        bytes=manifest.bytes_on_disk + shared,
        shared=shared,
        payloads=sum(segment.payload_bytes for segment in manifest.segments),
        sample=len(some),
        seed=seed,
        transparent=sum(image.shape[2] == 4 for image in some),
        sample_payloads=payloads,
        files=files,
    )


def _total(sizes: list[int] | None) -> int | None:
    return None if sizes is None else sum(sizes)
