"""Learning from the command line and from Python: the codec, its header, and taking up a run."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from kinpack.errors import CodecError, ImageError, SourceError
from kinpack.learn.models.config import TrainingConfig
from kinpack.sources.opening import open_source
from tests.cli_runs import User, one_error, pictures, texture
from tests.small_lattice import SMALL

pytest.importorskip("torch")

pytestmark = pytest.mark.learn

if TYPE_CHECKING:
    from kinpack.codec.codec import Codec
    from kinpack.learn.collection import Collection


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twenty pictures of two labels."""
    pictures(tmp_path / "photos", 10, label="beach")
    pictures(tmp_path / "photos", 10, label="forest", seed=60)
    return tmp_path / "photos"


def learn_small(photos: Path, work: Path, *, steps: int = 4, **options: Any) -> Codec:
    from kinpack.learn.learning import learn_codec

    training = TrainingConfig(steps=steps, batch=8, checkpoint_every=2, seed=options.pop("seed", 0))
    return learn_codec(
        options.pop("sources", None) or [open_source(photos)],
        network=SMALL,
        training=training,
        work=work,
        name="small",
        threads=1,
        calibration=64,
        log_every=1,
        **options,
    ).codec


def content(codec: Codec) -> dict[str, Any]:
    """Everything a codec does, without the header that tells how and when it was made."""
    from kinpack.networks.container import read_container

    container = read_container(codec.to_bytes(), where="a codec")
    return {**container.blobs, **{key: a.tobytes() for key, a in container.arrays.items()}}


@pytest.mark.slow
def test_the_command_learns_packs_and_tells(tmp_path: Path, photos: Path) -> None:
    user = User(tmp_path)
    facts = user.asks("learn", "photos", "-o", "my.kinc", "--steps", "3", "--threads", "1")
    assert facts["name"] == "my"
    assert (facts["steps"], facts["seed"], facts["images"]) == (3, 0, 19)
    assert facts["data"] == [{"name": "photos", "images": 20}]
    assert facts["command"] == "kinpack learn photos -o my.kinc --steps 3 --threads 1 --json"
    assert {"created", "kinpack", "torch", "machine", "minutes"} <= set(facts)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.kinc", "photos"]
    gains = facts.pop("gains")
    assert (gains["images"], gains["codec_bytes"]) == (1, facts["codec_bytes"])
    assert user.asks("info", "my.kinc") == facts
    assert "kinpack learn photos" in user.works("info", "my.kinc")

    packed = ("--codec", "my.kinc", "--classic", "never")
    assert user.asks("pack", "photos", "-o", "x.kin", *packed)["kinds"] == {"learned": 20}
    user.works("verify", "x.kin", "--deep")
    assert user.asks("search", "x.kin", "photos/beach/00.png", "-k", "1")
    assert "my.kinc: this file exists" in user.fails("learn", "photos", "-o", "my.kinc")


@pytest.mark.slow
def test_an_interrupted_run_is_taken_up(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = learn_small(photos, tmp_path / "whole", steps=6)

    def stop(line: dict[str, float]) -> None:
        if line["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        learn_small(photos, tmp_path / "cut", steps=6, log_line=stop)
    seen: list[float] = []
    again = learn_small(
        photos, tmp_path / "cut", steps=6, log_line=lambda line: seen.append(line["step"])
    )
    assert seen == [5, 6]
    assert again.header["steps"] == 6
    assert content(again) == content(whole)


@pytest.mark.slow
def test_a_seed_repeats_and_another_does_not(tmp_path: Path, photos: Path) -> None:
    one = learn_small(photos, tmp_path / "1", steps=2)
    two = learn_small(photos, tmp_path / "2", steps=2)
    other = learn_small(photos, tmp_path / "3", steps=2, seed=1)
    assert content(one) == content(two)
    assert content(one) != content(other)


@pytest.mark.slow
def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path, photos: Path) -> None:
    learn_small(photos, tmp_path / "work", steps=1)
    with pytest.raises(CodecError, match=r"other training\.seed"):
        learn_small(photos, tmp_path / "work", steps=1, seed=1)
    (tmp_path / "work" / "last.ckpt").write_bytes(b"nonsense")
    with pytest.raises(CodecError, match=r"last\.ckpt: the checkpoint"):
        learn_small(photos, tmp_path / "work", steps=1)
    (tmp_path / "file").write_text("x")
    with pytest.raises(CodecError, match=r"file: .*checkpoints"):
        learn_small(photos, tmp_path / "file", steps=1)


def test_checkpoints_are_written_through_no_link(tmp_path: Path, photos: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "last.ckpt").write_text("mine")
    (tmp_path / "linked").symlink_to(victim)
    (tmp_path / "work").mkdir()
    for planted in ("linked", "work/run.part", "work/last.ckpt"):
        if planted != "linked":
            (tmp_path / planted).symlink_to(victim / "last.ckpt")
        with pytest.raises(CodecError, match="is a link"):
            learn_small(photos, tmp_path / planted.partition("/")[0], steps=1)
        assert [file.read_text() for file in victim.iterdir()] == ["mine"]
        (tmp_path / planted).unlink()


@pytest.mark.slow
def test_ctrl_c_is_one_line_and_keeps_the_checkpoints(tmp_path: Path, photos: Path) -> None:
    process = User(tmp_path).start("learn", "photos", "-o", "x.kinc", "--threads", "1")
    while not (tmp_path / "x.kinc.work" / "run.json").exists():
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert one_error(errors).startswith("interrupted")
    assert not (tmp_path / "x.kinc").exists()


def images(found: Collection) -> list[NDArray[np.uint8]]:
    return [one.image for one in found.pictures]


def squares(count: int, side: int = 8) -> NDArray[np.uint8]:
    return np.stack([np.full((side, side, 3), number, np.uint8) for number in range(count)])


def test_a_large_collection_is_sampled_without_a_bias() -> None:
    from kinpack.learn.collection import read_collection

    source = open_source(squares(200))
    counts = np.zeros(200)
    for seed in range(40):
        found = read_collection([source], seed=seed, most_images=50, threads=1)
        numbers = [int(image[0, 0, 0]) for image in images(found)]
        assert len(numbers) == 50
        assert numbers == sorted(set(numbers))
        counts[numbers] += 1
    # Each picture is in a quarter of the samples: 10 of 40, with a deviation of 2.7.
    assert counts.max() <= 20
    assert abs(counts[:100].mean() - 10) < 0.5
    by_bytes = read_collection([source], most_bytes=20 * 8 * 8 * 3, threads=1)
    assert len(by_bytes.pictures) == 20
    repeated = read_collection([source], most_bytes=20 * 8 * 8 * 3, threads=3)
    for one, other in zip(images(repeated), images(by_bytes), strict=True):
        assert np.array_equal(one, other)


def test_pictures_become_rgb_on_white_of_a_bounded_size(tmp_path: Path) -> None:
    from kinpack.learn.collection import read_collection

    clear = np.zeros((4, 4, 4), np.uint8)
    grey = np.full((4, 4, 1), 7, np.uint8)
    large = texture(1, 700, 1400)
    found = read_collection([open_source([clear, grey, large])])
    assert [image.shape for image in images(found)] == [(4, 4, 3), (4, 4, 3), (256, 512, 3)]
    assert (images(found)[0] == 255).all()
    assert (images(found)[1] == 7).all()


def test_broken_pictures_stop_or_are_left_out(
    tmp_path: Path, photos: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from kinpack.learn.collection import read_collection

    (photos / "broken.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        read_collection([open_source(photos)])
    found = read_collection([open_source(photos)], skip_broken=True)
    assert found.broken == ["broken.jpg"]
    assert len(found.pictures) == 20
    assert "broken.jpg" in caplog.text
    (tmp_path / "only").mkdir()
    shutil.copy(photos / "broken.jpg", tmp_path / "only")
    with pytest.raises(SourceError, match="no picture to learn from"):
        read_collection([open_source(tmp_path / "only")], skip_broken=True)


@pytest.mark.parametrize(
    ("sides", "wanted"), [((40, 48), [(96, 3, 32, 32)]), ((80, 96), [(24, 3, 64, 64)])]
)
def test_calibration_patches_are_of_the_sides_that_are_learned(
    sides: tuple[int, int], wanted: list[tuple[int, ...]]
) -> None:
    from kinpack.learn.forms import calibration_patches
    from kinpack.learn.training.patches import PatchSampler

    images = [texture(seed, *sides) for seed in range(3)]
    batches = calibration_patches(PatchSampler(images), n=96)
    assert [batch.shape for batch in batches] == wanted
    assert all(batch.dtype == np.uint8 for batch in batches)


@pytest.mark.slow
def test_a_note_of_the_run_is_plain_json(tmp_path: Path, photos: Path) -> None:
    learn_small(photos, tmp_path / "work", steps=1)
    note = json.loads((tmp_path / "work" / "run.json").read_text())
    assert note["data"] == [{"name": "photos", "images": 20}]
    assert str(tmp_path) not in (tmp_path / "work" / "run.json").read_text()


@pytest.mark.slow
def test_a_picture_without_labels_is_enough(tmp_path: Path) -> None:
    Image.fromarray(texture(1, 20, 24)).save(tmp_path / "one.png")
    codec = learn_small(tmp_path, tmp_path / "work", steps=1)
    image = texture(2, 13, 7)
    assert codec.decode(codec.encode([image], classic="never"))[0].shape == image.shape
