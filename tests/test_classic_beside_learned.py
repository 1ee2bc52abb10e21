"""Classic payloads beside learned ones: few tries, and never more bytes where that is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PILImage

from kinpack.archive.archive import Archive
from kinpack.codec.choice import classic_trials
from kinpack.codec.choice.classic_rule import FEATURES, ClassicRule, features
from kinpack.codec.choice.efforts import EFFORTS
from kinpack.codec.choice.first_look import SIGHTS, FirstLook, sights
from kinpack.codec.choice.prediction import Prediction, is_smooth
from kinpack.codec.classic.payloads import (
    DEFAULT_SPEED,
    ClassicImages,
    candidates,
    may_be_lossless,
)
from kinpack.codec.codec import Codec
from kinpack.codec.encoding import Encoder
from kinpack.codec.learned.learned import LearnedImages
from kinpack.codec.packets.packet import Kind
from kinpack.codec.packets.payload import Candidate, Payload, Payloads
from kinpack.codec.packets.target import Effort, Target, lam
from kinpack.errors import CodecError
from kinpack.pictures.images import Image, squared_error
from tests.cli_runs import run
from tests.pictures import waves


def images() -> list[Image]:
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(32) * 3, np.arange(40) * 4)[..., None] + np.array([0, 20, 40])
    flat = np.full((32, 32, 3), 77, np.uint8)
    drawing = flat.copy()
    drawing[8:20, 4:30] = (250, 10, 10)
    noise = rng.integers(0, 256, (24, 24, 3)).astype(np.uint8)
    grey = smooth[..., :1].clip(0, 255).astype(np.uint8)
    alpha = np.dstack([drawing, np.where(drawing[..., :1] == 250, 255, 0).astype(np.uint8)])
    return [smooth.clip(0, 255).astype(np.uint8), flat, drawing, noise, grey, alpha]


def payloads_of(codec: Codec) -> Payloads:
    """A codec's payloads: learned ones of RGB pictures, and classic ones."""
    makers: dict[tuple[Kind, ...], Callable[[], Payload | None]] = {
        LearnedImages.kinds: lambda: LearnedImages(codec.learned_coder(), codec.parts.side_code()),
        ClassicImages.kinds: ClassicImages,
    }
    return Payloads(codec.name, makers, own=[LearnedImages.kinds])


@pytest.mark.parametrize("quality", [20, 50, 80, 95])
def test_always_never_takes_more_bytes_than_a_classic_codec(quality: int) -> None:
    codec = Codec.load("default")
    packets = codec.encode(images(), quality=quality, classic="always")
    for image, packet in zip(images(), packets, strict=True):
        sizes = [len(c.payload) for c in candidates(image, quality=quality)]
        assert len(packet.payload) <= min(sizes)


@pytest.mark.parametrize("quality", [40, 75])
def test_auto_costs_no_more_than_never(quality: int) -> None:
    """Bits and error together: what a classic payload is chosen by."""
    codec = Codec.load("default")
    off = codec.encode(images(), quality=quality, classic="never")
    auto = codec.encode(images(), quality=quality, classic="auto")
    assert all(packet.kind is Kind.LEARNED for packet in off)
    assert any(packet.kind is not Kind.LEARNED for packet in auto)  # drawings are AVIF's home
    for image, one, other in zip(images(), auto, off, strict=True):
        costs = [
            8 * len(p.payload) + lam(quality) * squared_error(image, codec.decode([p])[0])
            for p in (one, other)
        ]
        assert costs[0] <= costs[1] + 1e-6


def test_auto_tries_where_the_rule_says(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = Codec.load("default")
    tried: list[tuple[int, ...]] = []

    def spy(image: Image, **options: Any) -> list[Candidate]:
        tried.append(image.shape)
        return candidates(image, **options)

    monkeypatch.setattr(classic_trials, "candidates", spy)
    never, everywhere = (ClassicRule((0.0,) * FEATURES, threshold) for threshold in (1e9, -1e9))
    smooth = sum(is_smooth(image) for image in images())
    assert 0 < smooth < 6
    for rule, count in ((never, smooth), (everywhere, 6), (None, 6)):
        encoder = Encoder(payloads_of(codec), Prediction(rule))
        encoder.at_quality(images(), [50] * 6, Target(threads=1))
        assert len(tried) == count
        tried.clear()


def test_smooth_are_surfaces_and_not_noise() -> None:
    rows = np.arange(64)[:, None, None]
    surface = np.broadcast_to(2 * rows, (64, 48, 1)).astype(np.uint8)
    lined = surface.copy()
    lined[::20] = 255  # a fine line across, now and then
    noise = np.random.default_rng(0).integers(0, 256, (64, 48, 3)).astype(np.uint8)
    one = np.zeros((1, 1, 3), np.uint8)
    assert [is_smooth(image) for image in (surface, lined, noise, one)] == [True, True, False, True]


@pytest.mark.slow
@pytest.mark.parametrize("quality", [36, 60])
def test_smooth_greys_cost_no_more_than_avif_alone(quality: int) -> None:
    """The learned payload is worst at them: what is kept is within a tenth of the best effort."""
    codec = Codec.load("default")
    rng = np.random.default_rng(0)
    many = []
    place = np.linspace(0, 1, 64)
    for _ in range(6):
        level, down, across = rng.uniform((40, -90, -90), (200, 90, 90))
        field = level + down * place[:, None, None] + across * place[None, :, None]
        many.append((field + rng.normal(0, 1, (64, 64, 1))).clip(0, 255).astype(np.uint8))
    costs = {}
    for effort in ("default", "best"):
        packets = codec.encode(many, quality=quality, effort=effort, threads=1)
        costs[effort] = sum(
            8 * len(p.payload) + lam(quality) * squared_error(image, picture)
            for image, p, picture in zip(many, packets, codec.decode(packets), strict=True)
        )
        assert {packet.kind for packet in packets} == {Kind.AVIF}
    assert costs["default"] <= 1.1 * costs["best"]


@pytest.mark.parametrize("quality", [30, 45])
def test_a_quick_trial_spares_slow_ones(monkeypatch: pytest.MonkeyPatch, quality: int) -> None:
    codec = Codec.load("default")
    many = [waves(32, 32, 3, seed=seed) for seed in range(14)]
    many = [image for image in many if not is_smooth(image)]
    assert len(many) > 8
    learned = LearnedImages(codec.learned_coder(), codec.parts.side_code()).encode(
        many, [quality] * len(many)
    )
    speeds: list[int] = []

    def noted(image: Image, **options: Any) -> list[Candidate]:
        speeds.append(options.get("speed", DEFAULT_SPEED))
        return candidates(image, **options)

    monkeypatch.setattr(classic_trials, "candidates", noted)
    doubtful = ClassicRule((-0.5, *(0.0,) * (FEATURES - 1)), -1.0)
    encoder = Encoder(payloads_of(codec), Prediction(doubtful))
    qualities = [quality] * len(many)
    made = encoder.at_quality(many, qualities, Target(threads=1))
    slow, quick = speeds.count(DEFAULT_SPEED), speeds.count(classic_trials.QUICK_SPEED)
    assert 0 < quick <= len(many)
    assert slow < len(many)
    for image, mine, choice in zip(many, learned, made, strict=True):
        cost = choice.candidate.cost(quality)
        (hasty,) = candidates(image, quality=quality, speed=8, kinds=[Kind.AVIF])
        most = classic_trials.QUICK_FACTOR * mine.cost(quality) + classic_trials.QUICK_BITS
        rivals = [mine]
        if hasty.cost(quality) < most or may_be_lossless(image, quality):
            rivals += candidates(image, quality=quality)
        assert cost == pytest.approx(min(one.cost(quality) for one in rivals))
    # Where the rule is sure of itself there is no quick one.
    speeds.clear()
    sure = ClassicRule((0.5, *(0.0,) * (FEATURES - 1)), -1.0)
    encoder = Encoder(payloads_of(codec), Prediction(sure))
    encoder.at_quality(many, qualities, Target(threads=1))
    assert speeds == [DEFAULT_SPEED] * len(many)


def looking(bias: float, *, spread: float = 1.0, pixels: int = 256 * 256) -> FirstLook:
    """A prediction that is the same of all images."""
    return FirstLook((bias, *(0.0,) * (SIGHTS - 1)), spread, pixels)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("effort", "score", "tried"),
    [
        ("fast", 0.2, {"classic"}),
        ("fast", -0.2, {"own"}),
        ("default", 0.9, {"classic"}),
        ("default", -0.9, {"own"}),
        ("default", 0.2, {"classic", "own"}),
        ("default", -0.2, {"classic", "own"}),
        ("best", 9.0, {"classic", "own"}),
        ("best", -9.0, {"classic", "own"}),
    ],
)
def test_larger_images_are_coded_in_the_way_that_is_clear(
    monkeypatch: pytest.MonkeyPatch, effort: Effort, score: float, tried: set[str]
) -> None:
    codec = Codec.load("default")
    large = waves(96, 80, 3, seed=1)
    ways: set[str] = set()

    class Noting(LearnedImages):
        def encode(self, *arguments: Any, **options: Any) -> list[Candidate]:
            ways.add("own")
            return super().encode(*arguments, **options)

    def noted(image: Image, **options: Any) -> list[Candidate]:
        ways.add("classic")
        return candidates(image, **options)

    monkeypatch.setattr(classic_trials, "candidates", noted)
    makers: dict[tuple[Kind, ...], Callable[[], Payload | None]] = {
        LearnedImages.kinds: lambda: Noting(codec.learned_coder(), codec.parts.side_code()),
        ClassicImages.kinds: ClassicImages,
    }
    payloads = Payloads(codec.name, makers, own=[LearnedImages.kinds])
    encoder = Encoder(payloads, Prediction(None, looking(score)))
    (choice,) = encoder.at_quality([large], [50], Target(effort=effort, threads=1))
    assert ways == tried
    if len(tried) == 1:
        assert (choice.candidate.kind is Kind.LEARNED) == (tried == {"own"})
    # Beyond what it was calibrated with, nothing is said, and the learned payload is made.
    ways.clear()
    beyond = Prediction(None, looking(score, pixels=large.shape[0] * large.shape[1] // 5))
    encoder = Encoder(payloads, beyond)
    encoder.at_quality([large], [50], Target(effort=effort, threads=1))
    assert ways == {"classic", "own"}


@pytest.mark.slow
@pytest.mark.parametrize("quality", [30, 60, 80])
def test_more_effort_costs_no_more(quality: int) -> None:
    """Bits and error together; the best is no worse than any that the others choose from."""
    codec = Codec.load("default")
    many = [waves(96, 80, 3, seed=1), waves(70, 64, 1, seed=2), *images()[:3]]
    costs = {}
    for effort in EFFORTS:
        packets = codec.encode(many, quality=quality, effort=effort, threads=1)
        costs[effort] = [
            8 * len(p.payload) + lam(quality) * squared_error(image, picture)
            for image, p, picture in zip(many, packets, codec.decode(packets), strict=True)
        ]
        assert all(quality - 4 <= packet.quality <= quality for packet in packets)
    assert sum(costs["best"]) <= sum(costs["default"])
    assert sum(costs["default"]) <= 1.05 * sum(costs["fast"])


def test_the_best_effort_draws_what_it_counted() -> None:
    codec = Codec.load("default")
    many = [waves(32, 32, 3, seed=seed) for seed in range(4)]
    packets, psnr = codec.encode_measured(many, quality=60, effort="best", classic="never")
    assert {packet.kind for packet in packets} == {Kind.LEARNED}
    assert any(packet.quality < 60 for packet in packets)
    rates = codec.rates(many, [60], effort="best", classic="never")
    assert rates.psnr[:, 0] == pytest.approx(psnr)


def test_drawings_keep_all_shapes_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    photograph = waves(96, 80, 3, seed=1)
    photograph += np.random.default_rng(0).integers(0, 9, photograph.shape).astype(np.uint8)
    drawing = np.full((96, 80, 3), 240, np.uint8)
    drawing[20:60, 10:70] = (250, 10, 10)
    asked: list[bool] = []

    def noted(image: Image, **options: Any) -> list[Candidate]:
        asked.append(options["squares"])
        return candidates(image, **options)

    monkeypatch.setattr(classic_trials, "candidates", noted)
    classic = Codec.load("classic")
    for effort, squares in (
        ("fast", [False, False]),
        ("default", [True, False]),
    ):
        classic.encode([photograph, drawing], target=Target(effort=effort, threads=1))  # type: ignore[arg-type]
        assert asked == squares
        asked.clear()


def test_sights_of_one_pixel_and_of_alpha() -> None:
    pixel, alpha = np.zeros((1, 1, 3), np.uint8), np.full((5, 1, 4), 255, np.uint8)
    assert np.isfinite(sights([pixel, alpha], [1, 99])).all()
    assert sights([], []).shape == (0, SIGHTS)


def test_a_first_look_finds_what_it_was_fitted_to() -> None:
    rng = np.random.default_rng(0)
    seen = np.column_stack([np.ones(200), rng.normal(size=(200, SIGHTS - 1))])
    truth = rng.normal(size=SIGHTS) / 30
    ratios = seen @ truth + rng.normal(0, 0.02, 200)
    look = FirstLook.fitted(seen, ratios, np.arange(200) // 4, pixels=10_000)
    assert np.array(look.weights) == pytest.approx(truth, abs=0.02)
    assert look.spread == pytest.approx(0.02, abs=0.01)
    assert FirstLook.from_dict(look.to_dict()) == look


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"weights": [1.0], "spread": 1, "pixels": 1},
        {"weights": [0.0] * SIGHTS, "spread": 0, "pixels": 1},
        {"weights": [0.0] * SIGHTS, "spread": 1, "pixels": 0},
        {"weights": [float("nan")] * SIGHTS, "spread": 1, "pixels": 1},
    ],
)
def test_a_first_look_of_nonsense_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(CodecError, match="first look"):
        FirstLook.from_dict(values)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        ((1024, 1024), [(1024, 1024)]),
        ((2, 4096), [(2, 4096)]),
        ((1025, 1024), [(512, 1024)] * 2),
        ((300, 4001), [(300, 512)] * 2),
        ((2048, 3001), [(512, 512)] * 4),
    ],
)
def test_large_images_are_tried_in_windows(
    size: tuple[int, int], shapes: list[tuple[int, int]]
) -> None:
    image = np.arange(size[0] * size[1], dtype=np.uint32).view(np.uint8).reshape(*size, 4)
    windows = classic_trials.windows_of(image)
    assert [window.shape[:2] for window in windows] == shapes
    # No two share a pixel, and they lie the same way from both ends.
    seen = np.concatenate([window.view(np.uint32).ravel() for window in windows])
    assert len(np.unique(seen)) == len(seen)
    assert set(image.size // 4 - 1 - seen.astype(np.int64)) == set(seen.tolist())


def test_a_large_image_is_tried_in_windows_and_encoded_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(classic_trials, "WINDOW", 64)
    monkeypatch.setattr(classic_trials, "WHOLE_PIXELS", 128 * 128)
    codec = Codec.load("default")
    large = waves(260, 72, 3, seed=3)
    large[::7] = 200  # edges, which AVIF draws for less
    asked: list[tuple[tuple[int, ...], int]] = []

    def noted(image: Image, **options: Any) -> list[Candidate]:
        asked.append((image.shape[:2], options.get("speed", DEFAULT_SPEED)))
        return candidates(image, **options)

    monkeypatch.setattr(classic_trials, "candidates", noted)
    encoder = Encoder(payloads_of(codec), Prediction())
    encoder.at_quality([large], [50], Target(threads=1))
    *quick, last = asked
    assert quick == [((64, 72), classic_trials.QUICK_SPEED)] * 2
    assert last == ((260, 72), DEFAULT_SPEED)


def test_features_of_nothing_and_of_one_pixel() -> None:
    assert features([], [], quality=50).shape == (0, FEATURES)
    pixel = np.zeros((1, 1, 3), np.uint8)
    (row,) = features([pixel], [candidates(pixel, quality=50)[0]], quality=50)
    assert np.isfinite(row).all()


def test_rules_come_back_and_nonsense_is_refused() -> None:
    rule = ClassicRule(tuple(float(i) for i in range(FEATURES)), -0.5)
    assert ClassicRule.from_dict(rule.to_dict()) == rule
    for values in ({}, {"weights": [1.0], "threshold": 0}, {"weights": None, "threshold": 0}):
        with pytest.raises(CodecError, match="rule for classic payloads"):
            ClassicRule.from_dict(values)


def drawing(number: int) -> Image:
    """Two flat colours, which AVIF draws for less."""
    made = np.full((48, 56, 3), 20 * number, np.uint8)
    made[5 + number : 30, 10 : 20 + number] = (250, 10, 10 * number)
    return made


def texture(seed: int) -> Image:
    """Noise whose spectrum falls as that of photographs, which a learned payload draws for less."""
    rng = np.random.default_rng(seed)
    far = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32)) + 1 / 64
    smooth = np.fft.ifft2(np.fft.fft2(rng.normal(0, 1, (32, 32))) / far**1.5).real
    levels = 128 + (35 / smooth.std()) * smooth[:, :, None] * np.array([1, 0.95, 0.9])
    made: Image = (levels + rng.normal(0, 2, (32, 32, 3))).clip(0, 255).astype(np.uint8)
    return made


@pytest.mark.slow
def test_classic_suits_where_the_default_would_do_nothing() -> None:
    drawings, natural = [drawing(i) for i in range(8)], [texture(i) for i in range(8)]
    assert Codec.suiting(drawings).name == "classic"
    assert Codec.suiting(natural).name == "default"
    assert Codec.suiting([*drawings[:7], natural[0]]).name == "default"
    assert Codec.suiting(natural, Target(quality=100)).name == "classic"
    assert Codec.suiting(natural, Target(min_psnr=34)).name == "default"
    # Few images tell nothing of those that will come; and who refuses classic payloads has none.
    assert Codec.suiting(drawings[:7]).name == "default"
    assert Codec.suiting([]).name == "default"
    assert Codec.suiting(drawings, Target(classic="never")).name == "default"


def test_packing_chooses_the_codec_and_adding_keeps_it(tmp_path: Path) -> None:
    for name, made in (("drawn", drawing), ("natural", texture)):
        (tmp_path / name).mkdir()
        for i in range(8):
            PILImage.fromarray(made(i)).save(tmp_path / name / f"{i}.png")
    (tmp_path / "drawn" / "broken.png").write_text("no picture")
    for name, codec in (("drawn", "classic"), ("natural", "default")):
        archive = tmp_path / f"{name}.kin"
        run("pack", tmp_path / name, "-o", archive, "--skip-broken")
        (file,) = (archive / "codecs").iterdir()
        assert file.stem == Codec.load(codec).codec_id
    # What comes later is sound, whatever it is.
    drawn = tmp_path / "drawn.kin"
    (tmp_path / "natural").rename(tmp_path / "later")
    run("add", drawn, tmp_path / "later", "--on-duplicate", "replace")
    with Archive.open(drawn) as opened:
        assert opened.verify(deep=True).ok
        assert opened.manifest.metadata["codec"] == "classic"
        assert len(opened) == 8
