"""Estimates and paces: exact where all pictures are tried, and told in words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from kinpack.archive.adding.estimation import QUALITIES, estimate
from kinpack.cli.reporting import duration, told_pace
from kinpack.codec.codec import Codec
from kinpack.codec.packets.target import Target
from kinpack.errors import SourceError
from kinpack.metrics import psnr
from kinpack.pictures.file_sizes import FILE_FORMS
from kinpack.pictures.images import composite_on_white
from kinpack.sources.opening import open_source
from tests.cli_runs import ask, pictures, run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("estimate") / "photos"
    pictures(folder, 5)
    (folder / "broken.png").write_bytes(b"none")
    return folder


@pytest.mark.slow
def test_where_all_are_tried_the_estimate_is_what_comes_out(photos: Path) -> None:
    codec, source = Codec.load("classic"), open_source(photos)
    found = estimate(source, codec, Target(), seconds=60)  # so much that all are tried
    assert (found.pictures, found.tried, found.broken) == (6, 5, 1)
    images = [item.load() for item in source if "broken" not in item.id]
    assert found.megapixels == pytest.approx(
        np.mean([i.shape[0] * i.shape[1] for i in images]) / 1e6
    )
    for one, quality in zip(found.settings, QUALITIES, strict=True):
        packets = codec.encode(images, quality=quality)
        assert (one.quality, one.bytes) == (quality, sum(len(p.payload) for p in packets))
        drawn = zip(images, codec.decode(packets), strict=True)
        reached = [psnr(*map(composite_on_white, pair)) for pair in drawn]
        assert one.psnr == pytest.approx(np.mean(reached))
        assert one.seconds > 0
        assert set(one.rivals) == set(FILE_FORMS)


def test_large_pictures_count_for_their_pixels(tmp_path: Path) -> None:
    PIL.Image.effect_noise((1200, 800), 50).save(tmp_path / "large.png")
    found = estimate(open_source(tmp_path), Codec.load("classic"), Target(), seconds=1)
    assert found.megapixels == pytest.approx(0.96)
    [packet] = Codec.load("classic").encode([next(iter(open_source(tmp_path))).load()], quality=60)
    assert found.settings[1].bytes == pytest.approx(len(packet.payload), rel=0.1)


def test_nothing_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"none")
    with pytest.raises(SourceError, match="none of the 1"):
        estimate(open_source(tmp_path), Codec.load("classic"), Target())


@pytest.mark.slow
def test_the_command(photos: Path) -> None:
    words = ("estimate", photos, "--codec", "classic", "--seconds", "1")
    lines = run(*words).stdout.splitlines()
    assert lines[0].startswith("6 pictures of ")
    assert len(lines) == 2 + len(QUALITIES)
    assert len({len(line) for line in lines[1:]}) == 1
    assert ask(*words)["tried"] == 5


def test_originals_of_a_camera_are_told(tmp_path: Path) -> None:
    PIL.Image.new("L", (2400, 1800), 90).save(tmp_path / "big.png")
    packing = ("pack", tmp_path / "big.png", "--codec", "classic", "--describer", "none")
    assert "4.3 megapixels" in run(*packing, "-o", tmp_path / "a.kin").stderr
    small = run(*packing, "-o", tmp_path / "b.kin", "--size", "short:30")
    assert small.stderr == ""
    assert ask("ls", tmp_path / "b.kin")[0]["width"] == 40
    run("add", tmp_path / "b.kin", tmp_path / "big.png", "--on-duplicate", "replace")
    assert ask("ls", tmp_path / "b.kin")[0]["width"] == 40
    run(*packing, "-o", tmp_path / "c.kin", "--size", "100x30")
    assert ask("ls", tmp_path / "c.kin")[0]["width"] == 40
    for wrong in ("short:0", "3x", "0x4", "-3", "x"):
        run(*packing, "-o", tmp_path / "d.kin", f"--size={wrong}", code=2)


def test_paces_in_words() -> None:
    assert told_pace(0, 20, 12) == "0 of 20 images"
    assert told_pace(50, 1250, 10) == "50 of 1,250 images, 5.0 a second, 4 min left"
    assert told_pace(2, None, 10) == "2 images, 5.0 s each"
    assert [duration(s) for s in (0, 99, 130, 11_000)] == ["0 s", "99 s", "2 min", "3 h 03 min"]
