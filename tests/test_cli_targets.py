"""The command on targets: --min-psnr and --max-bytes, what they refuse, and what info tells."""

from __future__ import annotations

import os
import re
import signal
import time
from pathlib import Path

import pytest
import typer
from PIL import Image

from kinpack.cli.options import byte_count
from kinpack.cli.reporting import Report
from kinpack.metrics import psnr
from kinpack.sources.opening import open_source
from tests.cli_runs import User, ask, one_error, pictures, run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    pictures(folder / "photos", 3, label="beach")
    pictures(folder / "photos", 3, label="forest", seed=50)
    pictures(folder / "more", 2, label="city", seed=80)
    return folder


def test_pack_and_add_to_a_psnr(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.kin"
    packing = ("pack", photos / "photos", "-o", path, "--codec", "classic", "--threads", "1")
    told = run(*packing, "--min-psnr", "36").stdout
    assert re.search(r"6 images added, PSNR at least 3[67]\.\d\d dB, 3\d\.\d\d dB on average", told)
    run("unpack", path, "-o", tmp_path / "again")
    for item in open_source(photos / "photos"):
        image = item.load()
        if image.shape[2] == 3:
            drawn = Image.open(tmp_path / "again" / Path(item.id).with_suffix(".png"))
            (other,) = (one.load() for one in open_source([drawn]))
            assert psnr(image, other) >= 36
    added = ask("add", path, photos / "more", "--threads", "1")
    assert added["lowest_psnr"] >= 36
    assert added["added"] == 2
    again = pictures(tmp_path / "rest", 1, label="new", seed=7)
    added = ask("add", path, *again, "--min-psnr", "25")
    assert 25 <= added["lowest_psnr"] < 36
    facts = ask("info", path)
    assert facts["asked"] == {"min_psnr": 36.0}
    assert facts["reached"]["images"] == 6
    assert facts["reached"]["lowest_psnr"] >= 36
    assert facts["reached"]["mean_psnr"] >= facts["reached"]["lowest_psnr"]
    assert "quality" not in facts["metadata"]
    text = run("info", path).stdout
    assert re.search(r"^asked +min_psnr 36\.000$", text, flags=re.MULTILINE)
    assert re.search(r"^reached +bytes .*, images 6, lowest_psnr 3", text, flags=re.MULTILINE)
    changes = [revision["change"] for revision in ask("history", path)]
    assert [change["min_psnr"] for change in changes] == [36.0, 36.0, 25.0]
    assert "lowest_psnr" in run("history", path).stdout
    run("add", path, photos / "more", "--on-duplicate", "replace", "--quality", "50")
    assert ask("history", path)[-1]["change"]["quality"] == 50


@pytest.mark.slow
def test_pack_into_a_number_of_bytes(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "b.kin"
    packing = ("pack", photos / "photos", "-o", path, "--codec", "classic", "--threads", "1")
    told = run(*packing, "--max-bytes", "7.5k").stdout
    assert "of 7,500 allowed, beside the codec's 227" in told
    apart = {".kinc", ".kine"}
    files = (file for file in path.rglob("*") if file.is_file() and file.suffix not in apart)
    size = sum(file.stat().st_size for file in files)
    facts = ask("info", path)
    assert size == facts["bytes_on_disk"] == facts["reached"]["bytes"] <= 7500
    assert facts["asked"] == {"max_bytes": 7500}
    assert facts["reached"]["mean_psnr"] > 30
    refused = one_error(run("add", path, photos / "more", code=1).stderr)
    assert "--quality or --min-psnr" in refused
    run("add", path, photos / "more", "--min-psnr", "30", "--threads", "1")
    assert ask("info", path)["images"] == 8


def test_what_cannot_fit_leaves_nothing(photos: Path, tmp_path: Path) -> None:
    words = ("pack", photos / "photos", "-o", tmp_path / "c.kin", "--codec", "classic")
    refused = one_error(run(*words, "--max-bytes", "1k", code=1).stderr)
    assert re.search(
        r"6 images do not fit 1,000 bytes; the least that they take is \d,\d{3}:", refused
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        ("--quality", "50", "--min-psnr", "30"),
        ("--quality", "50", "--max-bytes", "1M"),
        ("--min-psnr", "30", "--max-bytes", "1M"),
        ("--min-psnr", "0"),
        ("--min-psnr", "101"),
        ("--min-psnr", "high"),
        ("--max-bytes", "0"),
        ("--max-bytes", "-5k"),
        ("--max-bytes", "5x"),
        ("--max-bytes", "1.5.2M"),
    ],
)
def test_misunderstandings_exit_with_2(words: tuple[str, ...], tmp_path: Path) -> None:
    one_error(run("pack", tmp_path, "-o", tmp_path / "x.kin", *words, code=2).stderr)
    assert list(tmp_path.iterdir()) == []
    both = run("add", tmp_path, tmp_path, "--quality", "50", "--min-psnr", "30", code=2)
    assert "exclude each other" in one_error(both.stderr)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("1", 1), ("20000", 20000), ("500k", 500_000), ("500K", 500_000), ("20M", 20_000_000),
        ("1.5G", 1_500_000_000), ("0.1234567M", 123_456), (" 3 ".strip(), 3), ("2T", 2 * 10**12),
        ("7kB", 7000), ("1.1k", 1100),
    ],
)  # fmt: skip
def test_bytes_are_read_with_decimal_units(text: str, count: int) -> None:
    assert byte_count(text) == count


@pytest.mark.parametrize("text", ["", "k", "1e6", "nan", "-1", "1 k", "0.0001k", "1KiB", "¼k"])
def test_other_words_are_no_bytes(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="500k"):
        byte_count(text)


def test_meters_follow_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with Report().meters("measuring", "packing", total=5) as (measuring, packing):
        measuring(3)
        packing(2)
        packing(3)
    with Report(quiet=True).meters("measuring", "packing", total=5) as (_, packing):
        packing(5)
    assert capsys.readouterr().out == ""


@pytest.mark.slow
@pytest.mark.parametrize("words", [("--min-psnr", "45"), ("--max-bytes", "10M")])
def test_ctrl_c_leaves_nothing(words: tuple[str, str], tmp_path: Path) -> None:
    first = pictures(tmp_path / "work" / "photos", 1)[0]
    for index in range(600):  # so many that the signal comes in time, however busy the machine
        os.link(first, first.with_name(f"more-{index}.png"))
    user = User(tmp_path / "work")
    packing = user.start(
        "pack", "photos", "-o", "x.kin", "--codec", "classic", "--threads", "1", *words
    )
    try:
        while packing.poll() is None and not (user.folder / "x.kin" / "codecs").exists():
            time.sleep(0.01)
        time.sleep(0.3)
        packing.send_signal(signal.SIGINT)
        _, errors = packing.communicate()
    finally:
        packing.kill()
    assert packing.returncode == 130, errors
    assert [file.name for file in user.folder.iterdir()] == ["photos"]
