"""Packing to a target: every image reaches its PSNR, and an archive keeps to its bytes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeCodec, FakeSource
from kinpack.archive.adding import addition as adding
from kinpack.archive.adding.allocation import allocate, hulls
from kinpack.archive.adding.fitting import GRID
from kinpack.archive.archive import Archive
from kinpack.archive.care.copying import merge
from kinpack.codec.choice.classic_trials import exactly
from kinpack.codec.choice.psnr_search import ROUNDS, PsnrSearch
from kinpack.codec.codec import Codec
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Candidate, Payloads
from kinpack.codec.packets.rates import Rates
from kinpack.codec.packets.target import Classic, Target
from kinpack.errors import ArchiveError, CodecError, KinpackError
from kinpack.metrics import psnr
from kinpack.pictures.images import Image, composite_on_white
from kinpack.sources.opening import open_source
from tests.pictures import waves


def collection() -> list[Image]:
    """Images of all sorts: mixed sizes, grey, RGBA, 1×1, noise, flat, few colours."""
    rng = np.random.default_rng(3)
    drawing = np.zeros((24, 24, 3), np.uint8)
    drawing[6:18, 4:20] = (250, 20, 90)
    return [
        waves(32, 32, 3),
        waves(17, 40, 3, seed=1),
        waves(24, 24, 1, seed=2),
        waves(20, 28, 4, seed=3),
        waves(1, 1, 3),
        rng.integers(0, 256, (16, 16, 3), np.uint8),
        rng.integers(0, 256, (9, 5, 4), np.uint8),
        np.full((12, 30, 3), 77, np.uint8),
        np.full((8, 8, 1), 255, np.uint8),
        drawing,
    ]


def seen(image: Image) -> Image:
    return composite_on_white(image) if image.shape[2] == 4 else image


def drawn_psnr(codec: Codec, images: list[Image], packets: list[Any]) -> list[float]:
    """PSNR of each image by a way of its own: decoded, laid on white, measured; exact infinite."""
    reached = []
    for image, drawn in zip(images, codec.decode(packets, threads=1), strict=True):
        a, b = seen(image), seen(drawn)
        mse = float(((a.astype(float) - b) ** 2).mean())
        reached.append(10 * math.log10(255**2 / mse) if mse else math.inf)
    return reached


@pytest.fixture(scope="module")
def classic() -> Codec:
    return Codec.load("classic")


@pytest.fixture(scope="module", params=["classic", "default"])
def codec(request: pytest.FixtureRequest, classic: Codec) -> Codec:
    return classic if request.param == "classic" else Codec.load("default", threads=1)


@pytest.mark.slow
@pytest.mark.parametrize("target", [20.0, 33.3, 47.0, 60.0])
def test_every_image_reaches_the_psnr(codec: Codec, target: float) -> None:
    images = collection()
    classic: Classic = "never" if codec.is_learned and target < 40 else "auto"
    packets, told = codec.encode_measured(images, min_psnr=target, classic=classic, threads=1)
    reached = drawn_psnr(codec, images, packets)
    assert min(reached) >= target
    assert np.array_equal(np.isinf(told), np.isinf(reached))
    assert told[np.isfinite(told)] == pytest.approx(np.array(reached)[np.isfinite(reached)])
    if target == 60:  # noise comes near it at no quality
        assert packets[5].kind is Kind.WEBP_LOSSLESS
    if classic == "never":
        lossless = [p.kind is Kind.WEBP_LOSSLESS for p in packets]
        assert {p.kind for p in packets} <= {Kind.LEARNED, Kind.WEBP_LOSSLESS}
        for i in np.flatnonzero(lossless):  # the last resort alone
            best = codec.encode_measured([images[i]], quality=99, classic="never", threads=1)[1]
            assert best[0] < target


def test_a_lower_quality_does_not_reach_it(codec: Codec) -> None:
    target, images = 31.0, collection()[:4]
    classic: Classic = "never" if codec.is_learned else "auto"
    packets = codec.encode(images, min_psnr=target, classic=classic, threads=1)
    lossy = [i for i, packet in enumerate(packets) if packet.kind is not Kind.WEBP_LOSSLESS]
    assert len(lossy) == 4
    proven = 0
    for i in lossy:
        quality = packets[i].quality
        below = range(max(1, quality - 5), quality)
        rates = codec.rates([images[i]], qualities=below, classic=classic, threads=1)
        passing = rates.psnr[0] >= target
        # No encoder is quite monotone: what a lower quality that passes takes is no less.
        if (np.diff(rates.psnr[0]) >= 0).all() and passing.any():
            assert rates.n_bytes[0, passing.argmax()] >= len(packets[i].payload)
        proven += not passing.any()
        (same,) = codec.encode([images[i]], quality=quality, classic=classic, threads=1)
        assert same.payload == packets[i].payload
    assert proven


def test_always_takes_no_more_than_the_classic_payload(classic: Codec, codec: Codec) -> None:
    images = collection()[:4]
    mine = codec.encode(images, min_psnr=34.0, classic="always", threads=1)
    theirs = classic.encode(images, min_psnr=34.0, threads=1)
    for packet, other in zip(mine, theirs, strict=True):
        assert len(packet.payload) <= len(other.payload)


def test_each_image_may_have_a_quality(codec: Codec) -> None:
    images = [waves(24, 24, 3, seed=i) for i in range(4)]
    qualities = [20, 100, 60, 45]
    together = codec.encode(images, quality=qualities, threads=1)
    assert [packet.quality for packet in together] == qualities
    for image, quality, packet in zip(images, qualities, together, strict=True):
        assert codec.encode([image], quality=quality, threads=1) == [packet]
    rates = codec.rates(images, qualities=sorted(set(qualities)), threads=1)
    for i, (packet, reached) in enumerate(
        zip(together, drawn_psnr(codec, images, together), strict=True)
    ):
        j = sorted(set(qualities)).index(packet.quality)
        assert rates.n_bytes[i, j] == len(packet.payload)
        assert rates.kind[i, j] == packet.kind
        assert rates.psnr[i, j] == pytest.approx(reached)


def test_an_image_that_its_decoder_draws_worse_is_kept_exactly(
    classic: Codec, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = collection()[:2]
    honest = Payloads.decode

    def worse(self: Payloads, packets: Any, **options: Any) -> list[Image]:
        drawn = honest(self, packets, **options)
        return [
            picture if packet.kind is Kind.WEBP_LOSSLESS else 255 - picture
            for picture, packet in zip(drawn, packets, strict=True)
        ]

    monkeypatch.setattr(Payloads, "decode", worse)
    packets, told = classic.encode_measured(images, min_psnr=30.0, threads=1)
    assert all(packet.kind is Kind.WEBP_LOSSLESS for packet in packets)
    assert np.isinf(told).all()


def test_what_is_kept_exactly_looks_the_same(classic: Codec) -> None:
    for image in collection():
        choice = exactly(image)
        assert choice.candidate.error == 0
        assert choice.quality == (99 if image.shape[2] == 4 else 100)


@pytest.mark.parametrize(
    "asked",
    [
        {"min_psnr": 0.5},
        {"min_psnr": 101.0},
        {"min_psnr": 30.0, "quality": 60},
        {"quality": [60, 60]},
        {"quality": [0]},
        {"min_psnr": 30.0, "classic": "off"},
        {"escape": "off"},
        {"max_bytes": 1000},
        {"quality": True},
        {"threads": 0},
    ],
)
def test_what_is_asked_wrongly_is_refused(classic: Codec, asked: Any) -> None:
    with pytest.raises(CodecError, match=r"quality|qualities|min_psnr|classic|archive|threads"):
        classic.encode([waves(8, 8, 3)], **asked)


def test_nothing_gives_nothing(classic: Codec) -> None:
    packets, told = classic.encode_measured([], min_psnr=30.0)
    assert packets == []
    assert told.shape == (0,)


def searched(curve: list[float], target: float) -> tuple[int | None, int]:
    """Run a search against PSNRs of qualities 1 to 99; what it found, and its rounds."""
    search, rounds = PsnrSearch(target, 1), 0
    while (quality := search.next) is not None:
        error = 255**2 / 10 ** (curve[quality - 1] / 10)
        search.tell(quality, Candidate(Kind.AVIF, bytes(quality), error))
        rounds += 1
    return search.best[0] if search.best else None, rounds


def test_the_search_finds_the_lowest_quality_on_any_rising_curve() -> None:
    rng = np.random.default_rng(0)
    for trial in range(400):
        steps = rng.exponential(0.4, 99) ** rng.uniform(0.3, 3)
        curve = (rng.uniform(5, 40) + np.cumsum(steps)).tolist()
        target = float(rng.uniform(8, 70)) if trial % 4 else curve[int(rng.integers(99))] - 1e-9
        found, rounds = searched(curve, target)
        passing = [q for q in range(1, 100) if curve[q - 1] >= target]
        assert found == (passing[0] if passing else None)
        assert rounds <= ROUNDS


def test_the_search_keeps_what_passes_where_the_curve_is_not_monotone() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        curve = (20 + 0.3 * np.arange(99) + rng.normal(0, 1.5, 99)).tolist()
        found, rounds = searched(curve, 33.0)
        assert found is not None
        assert curve[found - 1] >= 33.0
        assert rounds <= ROUNDS


def best_by_force(n_bytes: Any, value: Any, budget: int) -> float:
    n, g = n_bytes.shape
    return max(
        (
            sum(value[i, j] for i, j in enumerate(row))
            for row in itertools.product(range(g), repeat=n)
            if sum(n_bytes[i, j] for i, j in enumerate(row)) <= budget
        ),
        default=-math.inf,
    )


def test_allocation_against_all_choices() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        n, g = int(rng.integers(1, 5)), int(rng.integers(1, 5))
        n_bytes = rng.integers(1, 60, (n, g))
        value = rng.uniform(0, 50, (n, g)).round(int(rng.integers(0, 3)))
        steps = hulls(n_bytes, value)
        least = int(n_bytes.min(1).sum())
        assert allocate(steps, -1) is None
        for budget in (0, 1, 10, 40, 100, 300):
            chosen = allocate(steps, budget)
            assert chosen is not None
            rows = np.arange(n)
            assert n_bytes[rows, chosen].sum() <= least + budget
            best = best_by_force(n_bytes, value, least + budget)
            # One step of the hull is all that greed may lose.
            longest = max(
                (float(np.ptp(value[i])) for i in range(n)),
                default=0.0,
            )
            assert best - longest - 1e-9 <= value[rows, chosen].sum() <= best + 1e-9
        everything = allocate(steps, int(n_bytes.sum()))
        assert everything is not None
        assert value[np.arange(n), everything].sum() == pytest.approx(value.max(1).sum())


def test_hulls_are_concave_and_of_no_images() -> None:
    rng = np.random.default_rng(6)
    n_bytes, value = rng.integers(1, 100, (50, 8)), rng.uniform(0, 50, (50, 8))
    steps = hulls(n_bytes, value)
    for i in range(50):
        mine = steps.image == i
        points = np.concatenate([[steps.start[i]], steps.point[mine]])
        slopes = np.diff(value[i, points]) / np.diff(n_bytes[i, points])
        assert (np.diff(n_bytes[i, points]) == steps.n_bytes[mine]).all()
        assert (slopes > 0).all()
        assert (np.diff(slopes) < 1e-12).all()
        at = np.interp(n_bytes[i], n_bytes[i, points], value[i, points])
        assert (at >= value[i] - 1e-9).all()  # no point lies above the hull
    nothing = allocate(hulls(np.zeros((0, 3), np.int64), np.zeros((0, 3))), 0)
    assert nothing is not None
    assert nothing.shape == (0,)


@pytest.fixture(scope="module")
def source() -> Any:
    images = [waves(20 + i % 5, 24, (3, 3, 1, 4)[i % 4], seed=i) for i in range(24)]
    return open_source(images, labels=["cat" if i % 3 else None for i in range(24)])


def size_of(path: Path) -> int:
    """Bytes of all files of an archive but its codec and describers."""
    return sum(
        file.stat().st_size
        for file in path.rglob("*")
        if file.is_file() and file.parent.name not in ("codecs", "describers")
    )


def mean_psnr_of(archive: Archive, source: Any) -> float:
    images = {item.id: item.load() for item in source}
    drawn = archive.images()
    return float(np.mean([psnr(seen(images[entry.id]), seen(image)) for entry, image in drawn]))


@pytest.fixture(scope="module")
def uniform(
    classic: Codec, source: Any, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[int, float]]:
    """Bytes and mean PSNR of archives of one quality each."""
    folder = tmp_path_factory.mktemp("uniform")
    points = []
    for quality in GRID:
        path = folder / f"{quality}.kin"
        with Archive.create(path, classic) as archive:
            archive.add(source, quality=quality, threads=1)
            points.append((size_of(path), mean_psnr_of(archive, source)))
    return points


@pytest.mark.slow
def test_an_archive_keeps_to_its_bytes_and_no_quality_does_better(
    classic: Codec, source: Any, uniform: list[tuple[int, float]], tmp_path: Path
) -> None:
    sizes = [size for size, _ in uniform]
    # A target takes some hundred bytes of the manifest, which an archive of one quality lacks.
    noted = 400
    for k, limit in enumerate(np.linspace(sizes[1] + noted, sizes[-1] + 2 * noted, 4).astype(int)):
        path = tmp_path / f"{k}.kin"
        with Archive.create(path, classic) as archive:
            report = archive.add(source, max_bytes=int(limit), threads=1)
            reached = mean_psnr_of(archive, source)
            info = archive.info()
        assert size_of(path) <= limit
        assert reached >= max(mean for size, mean in uniform if size + noted <= limit) - 1e-9
        assert report.mean_psnr == pytest.approx(reached)
        assert info["bytes_on_disk"] == size_of(path) == info["reached"]["bytes"]
        assert info["reached"]["mean_psnr"] == pytest.approx(reached, abs=1e-4)
        assert info["asked"] == {"max_bytes": limit}
        if limit < sizes[-1]:
            assert size_of(path) >= 0.95 * limit  # what is left is less than a step takes


@pytest.mark.slow
def test_the_least_size_is_named_and_reached(classic: Codec, source: Any, tmp_path: Path) -> None:
    with (
        pytest.raises(KinpackError, match="the least that they take is") as refused,
        Archive.create(tmp_path / "a.kin", classic) as archive,
    ):
        archive.add(source, max_bytes=1000, threads=1)
    assert not (tmp_path / "a.kin").exists()
    assert "\n" not in str(refused.value)
    least = int(str(refused.value).partition("take is ")[2].partition(":")[0].replace(",", ""))
    with Archive.create(tmp_path / "b.kin", classic) as archive:
        archive.add(source, max_bytes=least, threads=1)
    assert least - 64 <= size_of(tmp_path / "b.kin") <= least


class OnceOnly:
    """A source that can be read once."""

    def __init__(self, source: Any) -> None:
        self._items: Iterator[Any] = iter(source)

    def __iter__(self) -> Iterator[Any]:
        return self._items


class Changing:
    """A source that has lost its first image when it is read again."""

    def __init__(self, source: Any) -> None:
        self._items = list(source)
        self._readings = 0

    def __iter__(self) -> Iterator[Any]:
        self._readings += 1
        return iter(self._items[self._readings - 1 :])


def test_refusals(classic: Codec, source: Any, tmp_path: Path) -> None:
    several: list[Any] = [{"quality": 6, "min_psnr": 30.0}, {"min_psnr": 3.0, "max_bytes": 10**6}]
    wrong: list[Any] = [{"min_psnr": 0.0}, {"max_bytes": 0}]
    for asked in several:
        with pytest.raises(CodecError, match="exclude each other"):
            Target(**asked)
    for asked in wrong:
        with pytest.raises(CodecError, match=r"min_psnr|max_bytes"):
            Target(**asked)
    for items, message in ((OnceOnly(source), "read twice"), (Changing(source), "read again")):
        with (
            pytest.raises(ArchiveError, match=message),
            Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive,
        ):
            archive.add(iter(items) if isinstance(items, OnceOnly) else items, max_bytes=10**6)
        assert not (tmp_path / "a.kin").exists()
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        archive.add(FakeSource([("x", None, waves(8, 8, 3))]))
        with pytest.raises(ArchiveError, match="for a new archive"):
            archive.add(source, max_bytes=10**6)
        assert len(archive) == 1


def test_duplicates_and_broken_pictures_keep_to_the_bytes(classic: Codec, tmp_path: Path) -> None:
    images = [(f"{i % 7}", None, waves(16, 16 + i, 3, seed=i)) for i in range(12)]
    mixed = FakeSource([*images, ("torn", None, None)])
    for on_duplicate in ("skip", "replace"):
        path = tmp_path / f"{on_duplicate}.kin"
        with Archive.create(path, classic) as archive:
            report = archive.add(
                mixed, max_bytes=9000, on_duplicate=on_duplicate, skip_broken=True, threads=1
            )
            assert len(archive) == 7
            assert archive.info()["bytes_on_disk"] == archive.info()["reached"]["bytes"] <= 9000
            assert archive.verify(deep=True).ok
        assert [name for name, _ in report.broken] == ["torn"]


class Fickle(FakeCodec):
    """A codec whose payloads come out larger than it measured, the first time or always."""

    def __init__(self, faults: int) -> None:
        super().__init__()
        self.faults = faults

    def encode_measured(self, images: Any, *target: Any, **asked: Any) -> Any:
        packets, told = super().encode_measured(images, *target, **asked)
        self.faults -= 1
        if self.faults >= 0:
            import dataclasses

            packets = [dataclasses.replace(p, payload=p.payload + bytes(50)) for p in packets]
        return packets, told

    def rates(self, images: Any, *asked: Any, **more: Any) -> Rates:
        rates = super().rates(images, *asked, **more)
        rates.n_bytes[:, -1] += 40
        rates.psnr[:, :-1] = 30
        return rates


def test_payloads_of_other_sizes_than_measured_never_break_the_promise(tmp_path: Path) -> None:
    images = FakeSource([(f"{i}", None, waves(16, 16, 3, seed=i)) for i in range(9)])
    with Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive:
        archive.add(images)
        least = archive.info()["bytes_on_disk"]
    limit = least + 750
    with Archive.create(tmp_path / "b.kin", Fickle(1)) as archive:
        archive.add(images, max_bytes=limit)
        assert archive.info()["bytes_on_disk"] <= limit
        assert len(list((tmp_path / "b.kin" / "segments").iterdir())) == 1
    with (
        pytest.raises(ArchiveError, match=r"at the sizes measured|do not fit"),
        Archive.create(tmp_path / "c.kin", Fickle(adding.ATTEMPTS)) as archive,
    ):
        archive.add(images, max_bytes=least + 420)
    assert not (tmp_path / "c.kin").exists()


def test_an_interruption_leaves_nothing(classic: Codec, source: Any, tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise KeyboardInterrupt

    stops: list[Any] = [{"measuring": stop}, {"progress": stop}]
    for option in stops:
        with (
            pytest.raises(KeyboardInterrupt),
            Archive.create(tmp_path / "a.kin", FakeCodec(), describer=None) as archive,
        ):
            archive.add(source, max_bytes=10**6, batch=4, **option)
        assert list(tmp_path.iterdir()) == []


def test_what_was_reached_stays_noted(classic: Codec, source: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    with Archive.create(path, classic, metadata={"from": "waves"}) as archive:
        report = archive.add(source, min_psnr=35.0, threads=1)
        more = FakeSource([("new", None, waves(30, 30, 3, seed=99))])
        archive.add(more, min_psnr=28.0, threads=1)
        archive.remove(["new"])
        info = archive.info()
        changes = [revision.change for revision in archive.history()]
    assert report.lowest_psnr is not None
    assert 35.0 <= report.lowest_psnr < 36.5
    assert info["asked"] == {"min_psnr": 35.0}
    assert info["reached"]["images"] == 24
    assert info["reached"]["lowest_psnr"] == pytest.approx(report.lowest_psnr, abs=1e-4)
    assert info["metadata"]["from"] == "waves"
    assert changes[0]["min_psnr"] == 35.0
    assert changes[0]["lowest_psnr"] >= 35.0
    assert changes[1]["min_psnr"] == 28.0
    assert 28.0 <= changes[1]["lowest_psnr"] < 30
    with Archive.open(path) as one, Archive.open(path, at=1) as same:
        merge([one], tmp_path / "copy.kin")
        merge([one, same], tmp_path / "both.kin", on_duplicate="skip")
    with Archive.open(tmp_path / "copy.kin") as copied:
        assert copied.info()["reached"] == info["reached"]
    with Archive.open(tmp_path / "both.kin") as both:
        assert "reached" not in both.info()
