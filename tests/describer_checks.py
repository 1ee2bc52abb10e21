"""Making archives with a describer, and what must hold of their codes."""

from __future__ import annotations

from pathlib import Path

from fakes.fake_codec import FakeSource
from fakes.tiny_describer import soft_picture, tiny_describer
from kinpack.archive.archive import Archive
from kinpack.archive.care.verification import verify
from kinpack.describers.describing import packed_codes
from kinpack.pictures.images import Image
from tests.archive_checks import CODEC, Place, content, reopened


def soft(count: int, *, first: int = 0) -> FakeSource:
    """Pictures of soft waves: most have codes of their own."""
    return FakeSource(
        [
            (
                f"set/{i:05d}",
                ("cat", "dog", None)[i % 3],
                soft_picture(i, channels=(3, 1, 4)[i % 3]),
            )
            for i in range(first, first + count)
        ]
    )


def make_embedded(path: Place, source: FakeSource | None = None) -> Place:
    if isinstance(path, Path):
        path.parent.mkdir(exist_ok=True)
    with Archive.create(path, CODEC, describer=tiny_describer()) as archive:
        archive.add(soft(10) if source is None else source)
    return path


def by_id(*sources: FakeSource) -> dict[str, Image]:
    return {name: image for source in sources for name, _, image in source.images}


def check(path: Path | str, images: dict[str, Image]) -> None:
    """The archive is whole, and its codes are those of the pictures that were put in."""
    report = verify(path)
    assert report.ok, report.problems
    assert not any("leftover" in note for note in report.notes)
    with reopened(path) as archive:
        assert set(archive.ids) == set(images)
        codes = packed_codes(tiny_describer(), [images[name] for name in archive.ids])
        assert [code.tobytes() for code in archive.codes_of("tiny")[0]] == codes
        assert archive.describer is not None
        assert archive.describer.describer_id == tiny_describer().describer_id
    content(path)
