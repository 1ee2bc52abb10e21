"""The command with a describer: packed once, searched anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes.tiny_describer import GOLDEN, tiny_describer
from kinpack.archive.archive import Archive
from kinpack.describers.describing import packed_codes
from kinpack.pictures.images import load_image
from tests.cli_runs import ask, one_error, pictures, run


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    pictures(tmp_path / "photos", 5)
    path = tmp_path / "photos.kin"
    run(
        "pack", tmp_path / "photos", "-o", path, "--codec", "classic", "--describer", GOLDEN,
        "--quiet",
    )  # fmt: skip
    return path


@pytest.mark.slow
def test_a_life_with_a_describer(archive: Path, tmp_path: Path) -> None:
    facts = ask("info", archive)
    assert facts["describers"]["tiny"]["describer_id"] == tiny_describer().describer_id
    assert facts["describers"]["tiny"]["code_bytes"] == 2
    assert "describers" in run("info", archive).stdout

    pictures(tmp_path / "more", 2, label="city", seed=70)
    run("add", archive, tmp_path / "more", "--quiet")
    with Archive.open(archive) as opened:
        originals = [tmp_path / ("more" if "city" in i else "photos") / i for i in opened.ids]
        codes = packed_codes(tiny_describer(), [load_image(path) for path in originals])
        assert [code.tobytes() for code in opened.codes_of("tiny")[0]] == codes

    query = tmp_path / "photos" / "beach" / "00.png"
    hits = ask("search", archive, query, "-k", "3")
    assert hits == ask("search", archive, query, "-k", "3", "--codes", "tiny")
    with Archive.open(archive) as opened:
        assert [hit["id"] for hit in hits] == [h.id for h in opened.search(load_image(query), 3)]

    run("rm", archive, "beach/01.jpg", "--quiet")
    run("compact", archive, "--quiet")
    run("gc", archive, "--min-age", "0", "--quiet")
    run("copy", archive, "-o", tmp_path / "copy.kin", "--quiet")
    run("merge", archive, tmp_path / "copy.kin", "-o", tmp_path / "m.kin", "--on-duplicate", "skip")
    run("seal", archive, "-o", tmp_path / "a.kin.zip", "--quiet")
    run("unseal", tmp_path / "a.kin.zip", "-o", tmp_path / "again.kin", "--quiet")
    wanted = ask("search", archive, query)
    for other in ("copy.kin", "m.kin", "a.kin.zip", "again.kin"):
        assert ask("search", tmp_path / other, query) == wanted
        assert ask("verify", tmp_path / other, "--deep")["ok"]
    (file,) = archive.glob("describers/*")
    file.write_bytes(bytes(file.stat().st_size))
    assert "--codes" in one_error(run("search", archive, query, code=1).stderr)
    run("verify", archive, "--quiet", code=1)
    run("repair", archive, "-o", tmp_path / "saved.kin", "--describer", GOLDEN)
    assert ask("search", tmp_path / "saved.kin", query) == wanted


def test_a_describer_is_described() -> None:
    facts = ask("info", GOLDEN)
    assert list(facts)[:3] == ["name", "describer_id", "describer_bytes"]
    assert (facts["name"], facts["M"], facts["K"]) == ("tiny", 4, 16)
    assert facts["describer_bytes"] == GOLDEN.stat().st_size
    assert "random weights" in run("info", GOLDEN).stdout


def test_what_is_no_describer_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    pictures(tmp_path / "photos", 1)
    (tmp_path / "bad.kine").write_bytes(GOLDEN.read_bytes()[:-1])
    for name, said in (
        (str(tmp_path / "none.kine"), "cannot read the describer"),
        (str(tmp_path / "bad.kine"), "damaged or truncated"),
        ("default", "name a .kine file, `look`, `classic` or `photo`"),
    ):
        words = ("pack", tmp_path / "photos", "-o", tmp_path / "a.kin", "--describer", name)
        assert said in one_error(run(*words, code=1).stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.kine", "photos"]
    run("pack", tmp_path / "photos", "-o", tmp_path / "b.kin", "--codec", "classic", "--quiet")
    missing = run("search", tmp_path / "b.kin", "id:beach/00.png", "--codes", "tiny", code=1)
    assert "it has no codes 'tiny', of others look" in one_error(missing.stderr)
