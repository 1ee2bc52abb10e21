"""The comparison of pictures: the same one whatever was done to it, and others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageFilter

from kinpack.archive.archive import Archive
from kinpack.pictures.images import Image, to_pil
from kinpack.search.comparison.comparison import SAME, Comparison
from kinpack.search.comparison.pattern import COARSE, FACES, FAINT, FINE, laid, patterns, reduced
from kinpack.search.comparison.placing import LEAST, plain_placements
from kinpack.search.comparison.sampling import sampled
from kinpack.search.distances.distance import SearchError
from kinpack.sources.items import Item
from tests.cli_runs import ask, run

SIDE = 96
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=5, deadline=None)


def clouds(seed: int, *, height: int = SIDE, width: int = SIDE) -> Image:
    """A picture of soft clouds and some edges, RGB, unlike that of any other seed."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(3, height, width))) / frequency**1.2
    field = np.fft.irfft2(spectrum, s=(height, width))
    levels = 128 + 45 * (field - field.mean()) / field.std()
    image: Image = levels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
    return image


def similarity(query: Image, other: Image) -> float:
    return float(Comparison(query).similarities([reduced(other)])[0])


def turned(image: Image, degrees: float) -> Image:
    return np.asarray(to_pil(image).rotate(degrees, Pillow.Resampling.BICUBIC))


def resized(image: Image, width: int, height: int) -> Image:
    return np.asarray(to_pil(image).resize((width, height), Pillow.Resampling.LANCZOS))


def blurred(image: Image, deviation: float) -> Image:
    return np.asarray(to_pil(image).filter(ImageFilter.GaussianBlur(deviation)))


def part(image: Image, share: float) -> Image:
    """A part that keeps a share of each side, off the centre."""
    height, width = (round(share * side) for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 3, 2 * (image.shape[1] - width) // 3
    return image[top : top + height, left : left + width]


def framed(image: Image) -> Image:
    return np.pad(image, ((12, 12), (0, 0), (0, 0)))


def grey(image: Image) -> Image:
    return np.asarray(to_pil(image).convert("L"))[:, :, None]


CHANGES: dict[str, tuple[Callable[[Image], Image], float]] = {
    "mirrored": (lambda image: image[:, ::-1], 0.99),
    "upside down": (lambda image: image[::-1, ::-1], 0.99),
    "a quarter turn": (lambda image: image.swapaxes(0, 1)[::-1], 0.99),
    "grey": (grey, 0.99),
    "darker": (lambda image: (image * 0.7).astype(np.uint8), 0.98),
    "paler": (lambda image: (image // 2 + 90).astype(np.uint8), 0.98),
    "gamma": (lambda image: np.rint(255 * (image / 255) ** 0.6).astype(np.uint8), 0.9),
    "smaller": (lambda image: resized(image, 48, 48), 0.85),
    "stretched": (lambda image: resized(image, 150, 90), 0.9),
    "a part": (lambda image: part(image, 0.7), 0.8),
    "turned": (lambda image: turned(image, 7), 0.8),
    "framed": (framed, 0.8),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
@few
@given(seeds)
def test_a_changed_picture_is_the_same(change: str, seed: int) -> None:
    image = clouds(seed)
    changed, least = CHANGES[change]
    other = np.ascontiguousarray(changed(image))
    assert similarity(other, image) >= least > SAME
    assert similarity(image, other) >= least  # and the other way around


@few
@given(seeds, seeds.map(lambda seed: seed + 2**32))
def test_other_pictures_are_not(seed: int, another: int) -> None:
    assert similarity(clouds(seed), clouds(another)) < SAME
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (2, SIDE, SIDE, 1), dtype=np.uint8)
    assert similarity(noise[0], noise[1]) < SAME


sizes = st.sampled_from([(1, 1), (1, 4096), (4096, 1), (2, 3), (31, 65), (300, 20)])


@few
@given(sizes, sizes, st.sampled_from([1, 3, 4]), st.sampled_from([1, 3, 4]), seeds)
def test_any_sizes_are_compared(
    one: tuple[int, int], other: tuple[int, int], channels: int, others: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*one, channels), dtype=np.uint8)
    second = rng.integers(0, 256, (*other, others), dtype=np.uint8)
    assert similarity(image, image) == pytest.approx(1, abs=1e-4)
    assert 0 <= similarity(image, second) <= 1


def test_flat_pictures() -> None:
    black, white = (np.full((20, 30, 3), level, np.uint8) for level in (0, 255))
    assert similarity(black, white) == pytest.approx(1, abs=1e-4)  # they differ in tone alone
    assert similarity(black, clouds(1)) < 0.3
    assert similarity(clouds(1), black) < 0.3
    slope = np.tile(np.arange(0, 250, 5, dtype=np.uint8)[:, None, None], (1, 50, 1))
    assert similarity(slope, black) < SAME  # neither has a pattern, but their levels differ
    assert similarity(slope, slope) == pytest.approx(1, abs=1e-4)
    faint = (128 + (clouds(2) > 128)).astype(np.uint8)
    assert similarity(faint, faint) == pytest.approx(1, abs=1e-4)


def test_alpha_is_laid_over_white() -> None:
    image = clouds(3)
    clear = np.dstack(
        [
            image,
            np.where(np.arange(SIDE) < SIDE // 2, 255, 0)
            .repeat(SIDE)
            .reshape(SIDE, SIDE)
            .astype(np.uint8),
        ]
    )
    shown = image.copy()
    shown[SIDE // 2 :] = 255
    assert similarity(clear, shown) >= 0.95


def test_many_are_compared_as_one_by_one() -> None:
    query = clouds(0)
    images = [query[:, ::-1].copy(), *map(clouds, range(1, 66))]
    comparison = Comparison(query)
    together = comparison.similarities([reduced(image) for image in images])
    assert together.dtype == np.float32
    alone = [float(comparison.similarities([reduced(image)])[0]) for image in images]
    assert together.tolist() == pytest.approx(alone, abs=1e-3)
    assert comparison.similarities([]).shape == (0,)


def test_placements_agree_as_a_plain_loop_says() -> None:
    query, candidate = patterns(
        np.random.default_rng(0).uniform(0, 255, (2, COARSE, COARSE)).astype(np.float32)
    )
    placements = plain_placements(query, 1.5)
    best = -np.inf
    for number, (top, bottom, left, right) in enumerate(placements.boxes.T.tolist()):
        view = placements.views[number].reshape(COARSE, COARSE)
        count = (bottom - top) * (right - left)
        inside = candidate[top:bottom, left:right].astype(np.float64)
        product = 0.0
        for y in range(top, bottom):
            product += float((candidate[y, left:right] * view[y, left:right]).sum())
        assert not np.delete(view, np.s_[top:bottom], 0).any()
        mean = placements.mean[number]
        spread = max(inside.var(), LEAST * candidate.var())
        assert 0.2 * COARSE**2 < count <= COARSE**2
        score = (product - inside.mean() * mean + placements.base[number]) / np.sqrt(spread + FAINT)
        best = max(best, score)
    value, chosen = placements.best(candidate[None])
    assert value[0] == pytest.approx(best, abs=1e-4)
    # The view is the query seen through the map, where it is not made smaller.
    views, inside = sampled(query[None], placements.maps[chosen], COARSE)
    if np.hypot(*placements.maps[chosen[0], :, 0]) < 1:
        seen = views[0] * inside[0]
        assert np.corrcoef(seen, placements.views[chosen[0]])[0, 1] > 0.95


@few
@given(seeds, st.floats(-1.5, 1.5), st.floats(0.3, 2))
def test_sampling_is_that_of_a_plain_loop(seed: int, shift: float, scale: float) -> None:
    square = np.random.default_rng(seed).uniform(size=(9, 9)).astype(np.float32)
    given_map = np.array([[scale, 0.1, shift], [-0.2, 1.0, 0.3]])
    views, inside = sampled(square[None], given_map[None], 7)
    for row in range(7):
        for column in range(7):
            x, y = given_map @ [(column + 0.5) * 2 / 7 - 1, (row + 0.5) * 2 / 7 - 1, 1]
            within = abs(x) <= 1 and abs(y) <= 1
            if min(abs(abs(x) - 1), abs(abs(y) - 1)) > 1e-5:
                assert inside[0, row * 7 + column] == within
            p, q = (min(max((v + 1) * 4.5 - 0.5, 0), 7.999) for v in (x, y))
            a, b, s, t = int(p), int(q), p % 1, q % 1
            upper = square[b, a] * (1 - s) + square[b, a + 1] * s
            lower = square[b + 1, a] * (1 - s) + square[b + 1, a + 1] * s
            wanted = upper * (1 - t) + lower * t
            assert views[0, row * 7 + column] == pytest.approx(wanted, abs=1e-3)


def test_faces_are_all_different_and_complete() -> None:
    square = np.arange(FINE * FINE, dtype=np.float32).reshape(1, FINE, FINE)
    faces = {laid(square, face).tobytes() for face in range(FACES)}
    assert len(faces) == FACES
    assert {np.rot90(square[0], turns).tobytes() for turns in range(4)} <= faces
    assert square[0, :, ::-1].tobytes() in faces


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compared") / "a.kin"
    images = {f"{seed:02}": clouds(seed, height=64, width=48) for seed in range(12)}
    with Archive.create(path, "classic") as made:
        made.add([Item(name, None, lambda image=image: image) for name, image in images.items()])  # type: ignore[misc]
    return path


def test_a_search_puts_the_same_picture_first(archive: Path) -> None:
    image = clouds(7, height=64, width=48)
    query = np.ascontiguousarray(part(grey(image)[:, ::-1], 0.8))
    with Archive.open(archive) as opened:
        plain = opened.search(query, 12, compare=0)
        assert not any(hit.compared for hit in plain)
        hits = opened.search(query, 12)
        assert hits[0].id == "07"
        assert hits[0].similarity >= SAME
        assert all(hit.compared and hit.similarity < SAME for hit in hits[1:])
        # The others keep the order of their distances.
        assert [hit.id for hit in hits[1:]] == [hit.id for hit in plain if hit.id != "07"]
        assert opened.search(query, 1) == hits[:1]
        place = [hit.id for hit in plain].index("07")
        some = opened.search(query, 12, compare=place)
        assert [hit.id for hit in some] == [hit.id for hit in plain]
        assert sum(hit.compared for hit in some) == place
        assert not opened.search("07", 3)[0].compared
        inside = opened.search("07", 3, compare=5)
        assert inside[0].id == "07"
        assert inside[0].similarity == pytest.approx(1, abs=1e-3)
        for wrong in (-1, True, "3"):
            with pytest.raises(SearchError):
                opened.search(query, compare=wrong)


def test_large_hits_are_compared_in_a_number_that_costs_little(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kinpack.archive.searching.comparing.PIXELS", 4 * 64 * 48)
    with Archive.open(archive) as opened:
        hits = opened.search(clouds(3, height=64, width=48), 12)
        assert sum(hit.compared for hit in hits) == 4
        hits = opened.search(clouds(3, height=64, width=48), 25, compare=9)
        assert sum(hit.compared for hit in hits) == 9


def test_a_damaged_image_keeps_its_place(archive: Path, tmp_path: Path) -> None:
    archive = Path(shutil.copytree(archive, tmp_path / "damaged.kin"))
    query = clouds(3, height=64, width=48)
    with Archive.open(archive) as opened:
        payload = opened.packet("03").payload
        wanted = [hit.id for hit in opened.search(query, 12, compare=0)]
    files = [file for file in archive.rglob("*") if file.is_file() and payload in file.read_bytes()]
    for file in files:
        file.chmod(0o600)
        data = file.read_bytes()
        at = data.index(payload) + len(payload) // 2
        file.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    assert files
    with Archive.open(archive) as opened:
        hits = opened.search(query, 12)
    assert [hit.id for hit in hits] == wanted
    assert [hit.id for hit in hits if not hit.compared] == ["03"]


def test_the_command_tells_similarities(archive: Path, tmp_path: Path) -> None:
    to_pil(grey(clouds(7, height=64, width=48))).save(tmp_path / "query.png")
    rows = ask("search", archive, tmp_path / "query.png", "-k", "3")
    assert rows[0]["id"] == "07"
    assert rows[0]["similarity"] >= SAME
    rows = ask("search", archive, tmp_path / "query.png", "-k", "3", "--compare", "0")
    assert [row["compared"] for row in rows] == [False] * 3
    assert all(0 <= row["similarity"] <= 1 for row in rows)
    run("search", archive, tmp_path / "query.png", "--compare", "-1", code=2)


@few
@given(seeds, st.sampled_from([1.5, 2.5, 4.0]))
def test_a_blurred_copy_is_the_same_and_a_blurred_stranger_is_not(
    seed: int, deviation: float
) -> None:
    soft = blurred(clouds(seed), deviation)
    assert similarity(soft, clouds(seed)) > 0.9
    assert similarity(clouds(seed), soft) > 0.9
    assert similarity(soft, clouds(seed + 1)) < SAME
    assert similarity(clouds(seed + 1), soft) < SAME
