"""Damage the files of archives: every byte, bytes at random, and every length.

    python -m reliability.damage [--flips 10000] [--every 1]

Of a small archive, as a folder and sealed, every byte gets another value, one at a time, and every
file is cut off at every length. Of a larger one bytes at random places get other values. Each time
`verify` names the file, or every image is still read as it was; and whoever reads gets the right
pixels or an error of kinpack's in one line, never others, nor another error.
"""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fakes.fake_codec import FakeSource, pictures
from kinpack.archive.archive import Archive
from kinpack.archive.care.sealing import seal
from kinpack.archive.care.verification import verify
from kinpack.errors import KinpackError
from kinpack.pictures.images import Image
from reliability.acts import CODEC, DESCRIBER, BrokenPromiseError, segments_of
from reliability.report import Trials, parser

LARGE = 400  # images of the larger archive
_READ = 12  # images that are read of it after each flip


class Subject:
    """An archive to damage.

    Args:
        path: of it.
        images: what it holds.
    """

    def __init__(self, path: Path, images: dict[str, Image]) -> None:
        self.path = path
        self._images = images
        self.files = [path] if path.is_file() else sorted(path.rglob("*.*"))
        with Archive.open(path, codec=CODEC) as archive:
            self._indices = {
                segment.manifest_entry.file.rpartition("/")[2]: segment.index
                for segment, _ in archive.parts()
            }

    def check(self, file: Path, offset: int, names: list[str]) -> str:
        """See what is made of damage to a file.

        Args:
            file: the damaged one.
            offset: the first byte that is damaged.
            names: of images to read; an empty list stands for all.

        Returns:
            ``found`` by ``verify``, or ``harmless``.

        Raises:
            BrokenPromiseError: it is neither, or a reader got wrong pixels.
        """
        problems: list[str] = []
        try:
            problems = verify(self.path).problems
        except KinpackError as error:
            problems = [str(error)]
        if problems and file.name not in " ".join(problems):
            raise BrokenPromiseError(f"{file.name} is damaged, and it says {problems[0]}")
        readable = self._read(names + self._hit(file, offset) if names else [])
        if problems:
            return "found"
        if not readable:
            raise BrokenPromiseError(f"{file.name} cannot be read, and verify finds nothing")
        return "harmless"

    def _read(self, names: list[str]) -> bool:
        """Whether all images are read as they were; an error that is one line is no failure."""
        try:
            with Archive.open(self.path, codec=CODEC) as archive:
                if archive.ids != list(self._images):
                    raise BrokenPromiseError("it holds other images than before")
                whole = True
                for name in names or self._images:
                    try:
                        image = archive.read(name)
                    except KinpackError as error:
                        whole = whole and not _one_line(error)
                        continue
                    if not np.array_equal(image, self._images[name]):
                        raise BrokenPromiseError(f"{name} is read with other pixels")
                return whole
        except KinpackError as error:
            return not _one_line(error)

    def _hit(self, file: Path, offset: int) -> list[str]:
        """The image whose payload has a byte of a file."""
        index = self._indices.get(file.name)
        if index is None:
            return []
        row = int(np.searchsorted(index.starts, offset, "right")) - 1
        return [index.ids[row].as_py()] if 0 <= row < len(index.ids) else []


def _one_line(error: KinpackError) -> bool:
    if "\n" in str(error):
        raise BrokenPromiseError(f"an error of several lines: {error}")
    return True


@contextmanager
def changed(file: Path, change: Callable[[bytearray], None]) -> Iterator[None]:
    """Change a file's bytes for a block."""
    data = file.read_bytes()
    damaged = bytearray(data)
    change(damaged)
    file.write_bytes(damaged)
    try:
        yield
    finally:
        file.write_bytes(data)


def tried(
    subject: Subject,
    file: Path,
    offset: int,
    names: list[str],
    change: Callable[[bytearray], None],
    trials: Trials,
) -> str:
    """Change a file, and give what ``Subject.check`` makes of it, or ``failed``."""
    with changed(file, change):
        try:
            return subject.check(file, offset, names)
        except Exception as error:  # an error that is none of kinpack's is a failure too
            trials.fail(f"{file.name}: byte {offset}: {error!r}")
            return "failed"


def change_every_byte(
    subject: Subject, every: int, first: int, chance: random.Random, trials: Trials
) -> Counter[str]:
    """Give every byte of every file another value, one at a time."""
    counts: Counter[str] = Counter()
    places = [(file, offset) for file in subject.files for offset in range(file.stat().st_size)]
    for file, offset in places[first::every]:
        mask = chance.randrange(1, 256)

        def change(data: bytearray, offset: int = offset, mask: int = mask) -> None:
            data[offset] ^= mask

        counts[tried(subject, file, offset, [], change, trials)] += 1
        trials.tell(f"{file.name}: byte {offset}: {dict(counts)}")
    return counts


def cut_everywhere(subject: Subject, every: int, first: int, trials: Trials) -> Counter[str]:
    """Cut off every file at every length, from 0 to one byte less than all."""
    counts: Counter[str] = Counter()
    lengths = [(file, length) for file in subject.files for length in range(file.stat().st_size)]
    for file, length in lengths[first::every]:

        def change(data: bytearray, length: int = length) -> None:
            del data[length:]

        counts[tried(subject, file, length, [], change, trials)] += 1
        trials.tell(f"{file.name}: {length} bytes: {dict(counts)}")
    return counts


def change_at_random(
    subject: Subject, flips: int, images: list[str], chance: random.Random, trials: Trials
) -> tuple[Counter[str], Counter[str]]:
    """Give bytes at random places other values.

    Returns:
        Counts of what was made of it, and of the folders that were hit.
    """
    counts: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    sizes = [file.stat().st_size for file in subject.files]
    for _ in range(flips):
        (file,) = chance.choices(subject.files, sizes)
        offset = chance.randrange(file.stat().st_size)
        mask = chance.randrange(1, 256)

        def change(data: bytearray, offset: int = offset, mask: int = mask) -> None:
            data[offset] ^= mask

        names = chance.sample(images, _READ)
        counts[tried(subject, file, offset, names, change, trials)] += 1
        hits[file.parent.name] += 1
        trials.tell(f"flips: {dict(counts)}")
    return counts, hits


def _made(path: Path, source: FakeSource, commits: int) -> dict[str, Image]:
    """Write an archive in so many commits, and give what it holds."""
    with Archive.create(path, CODEC, describer=DESCRIBER) as archive:
        for number in range(commits):
            archive.add(FakeSource(source.images[number::commits]))
        ids = archive.ids
    images = {name: image for name, _, image in source.images}
    return {name: images[name] for name in ids}


def main() -> None:
    """Run the trials, and write the result file."""
    options = parser(__doc__, "damage")
    options.add_argument("--flips", type=int, default=10_000, help="flips at random")
    options.add_argument(
        "--every", type=int, default=1, help="only every so many bytes and lengths"
    )
    chosen = options.parse_args()
    trials = Trials("damage", chosen)
    chance = random.Random(chosen.seed)
    counts: dict[str, object] = {}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder, segments_of(64):
        small = Path(folder) / "small.kin"
        images = _made(small, pictures(2, side=3), 1)
        with Archive.open(small, codec=CODEC) as archive:
            seal(archive, Path(folder) / "small.kin.zip")
        first = chosen.seed % chosen.every
        for name, path in (("folder", small), ("sealed", Path(folder) / "small.kin.zip")):
            subject = Subject(path, images)
            counts[name] = {
                "bytes": sum(file.stat().st_size for file in subject.files),
                "bytes_changed": change_every_byte(subject, chosen.every, first, chance, trials),
                "lengths_cut_to": cut_everywhere(subject, chosen.every, first, trials),
            }
        large = Path(folder) / "large.kin"
        images = _made(large, pictures(LARGE, side=24), 10)
        subject = Subject(large, images)
        found, hits = change_at_random(subject, chosen.flips, list(images), chance, trials)
        counts["large"] = {
            "images": len(images),
            "files": len(subject.files),
            "bytes": sum(file.stat().st_size for file in subject.files),
            "bytes_changed": found,
            "by_folder": dict(sorted(hits.items())),
        }
    trials.finish(counts)


if __name__ == "__main__":
    main()
