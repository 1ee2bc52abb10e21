"""The command search: every form of question, and one clear line for those that make no sense."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import kinpack
from kinpack import Hit, Query, load_image
from tests.cli_runs import ask, one_error, pack_six, pictures, run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive ``photos.kin`` of codes ``look`` and ``classic``, and what it is asked by."""
    folder = tmp_path_factory.mktemp("asking")
    pack_six(folder)
    run("embed", folder / "photos.kin", "--describer", "classic", "-q")
    pictures(folder / "queries", 3, label="more", seed=1)
    np.save(folder / "vector.npy", np.linspace(-1, 1, 32, dtype=np.float32))
    np.save(folder / "two.npy", np.zeros((2, 32)))
    np.save(folder / "row.npy", np.linspace(-1, 1, 32, dtype=np.float32)[None])
    np.save(folder / "short.npy", np.zeros(31))
    np.save(folder / "nan.npy", np.full(32, np.nan))
    np.save(folder / "object.npy", np.array([{}], object), allow_pickle=True)
    return folder


def as_told(hits: list[Hit], first: int = 1) -> list[dict[str, object]]:
    return [
        {
            "rank": rank,
            "distance": hit.distance,
            "similarity": hit.similarity,
            "compared": hit.compared,
            "id": hit.id,
            "label": hit.label,
        }
        for rank, hit in enumerate(hits, first)
    ]


def test_every_option_is_a_field_of_the_query(folder: Path) -> None:
    picture = folder / "queries" / "more" / "01.jpg"
    image = load_image(picture)
    both = ["id:beach/00.png", picture]
    for words, query in (
        ([picture, "-k", "3"], Query(like=image, k=3)),
        ([picture, "--compare", "0"], Query(like=image, compare=0)),
        (["id:beach/01.jpg", "-k", "2"], Query(like="beach/01.jpg", k=2)),
        ([*both, "--unlike", "id:forest/02.webp", "--unlike", picture],
         Query(like=["beach/00.png", image], unlike=["forest/02.webp", image])),
        ([picture, "--label", "beach"], Query(like=image, labels="beach")),
        ([picture, "--label", "beach", "--label", "forest", "--id-prefix", "forest/0"],
         Query(like=image, labels=["beach", "forest"], id_prefix="forest/0")),
        ([picture, "--min-width", "48", "--max-width", "48", "--min-height", "41",
          "--max-height", "42"],
         Query(like=image, min_width=48, max_width=48, min_height=41, max_height=42)),
        ([picture, "--within", "9", "--codes", "look"], Query(like=image, within=9, codes="look")),
        ([picture, "--offset", "2", "-k", "2", "--distinct"],
         Query(like=image, offset=2, k=2, distinct=True)),
        ([picture, "--codes", "look:1,classic:0.5"],
         Query(like=image, codes={"look": 1, "classic": 0.5})),
        (["--vector", folder / "vector.npy", "--codes", "classic"],
         Query(vector=np.linspace(-1, 1, 32), codes="classic")),
        (["--vector", folder / "row.npy", "--codes", "classic"],
         Query(vector=np.linspace(-1, 1, 32), codes="classic")),
    ):  # fmt: skip
        with kinpack.Archive.open(folder / "photos.kin") as opened:
            hits = opened.search(query)
        assert hits
        wanted = as_told(hits, int(query.offset) + 1)
        assert ask("search", folder / "photos.kin", *words) == wanted
        lines = run("search", folder / "photos.kin", *words).stdout.splitlines()
        assert [line.split()[0] for line in lines] == [str(one["rank"]) for one in wanted]
        for line, hit in zip(lines, hits, strict=True):
            assert hit.id in line
            assert ("~" in line) is not hit.compared


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        ([], "give a QUERY", 2),
        (["id:beach/00.png", "--words", "ship"], "give a QUERY", 2),
        (["--unlike", "id:beach/00.png"], "give a QUERY", 2),
        (["id:beach/00.png", "-k", "0"], "greater than or equal to 1", 2),
        (["id:beach/00.png", "--offset", "-1"], "greater than or equal to 0", 2),
        (["id:beach/00.png", "--min-width", "0"], "greater than or equal to 1", 2),
        (["id:beach/00.png", "--within", "nan"], "within is nan", 1),
        (["id:beach/00.png", "--within", "near"], "--within", 2),
        (["id:beach/00.png", "--label", "sea"], "no image has the label 'sea'; there are", 1),
        (["id:beach/00.png", "--min-width", "5000"], "no image passes min_width=5000", 1),
        (["id:beach/00.png", "--id-prefix", "x"], "no image passes id_prefix='x'", 1),
        (["id:beach/00.png", "--min-width", "9", "--max-width", "8"], "above max_width", 1),
        (["id:beach/00.png", "--codes", "best"], "no codes 'best', of others look, classic", 1),
        (["id:beach/00.png", "--codes", "look:1,best:1"], "no codes 'best'", 1),
        (["id:beach/00.png", "--codes", "look:nan"], "a number above 0", 1),
        (["id:beach/00.png", "--codes", "look:much"], "NAME:WEIGHT", 1),
        (["id:nobody"], "no image 'nobody'", 1),
        (["id:beach/00.png", "--unlike", "id:nobody"], "no image 'nobody'", 1),
        (["id:beach/00.png", "--unlike", "nothing.png"], "no such file", 1),
        (["id:beach/00.png", "id:beach/01.jpg", "--compare", "3"], "not one picture", 1),
        (["--vector", "short.npy", "--codes", "classic"], "31", 1),
        (["--vector", "nan.npy", "--codes", "classic"], "finite", 1),
        (["--vector", "two.npy", "--codes", "classic"], "no single vector", 1),
        (["--vector", "object.npy", "--codes", "classic"], "no vector can be read", 1),
        (["--vector", "nothing.npy"], "no vector can be read", 1),
        (["--vector", "queries/more/00.png"], "no vector can be read", 1),
        (["--vector", "vector.npy", "--codes", "look:1,classic:1"], "name one", 1),
        (["--batch", "nowhere"], "check the path", 1),
        (["--batch", "queries", "--label", "sea"], "no image has the label 'sea'", 1),
        (["--batch", "queries", "--codes", "best"], "no codes 'best'", 1),
    ],
)
def test_wrong_questions_get_one_clear_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str, code: int
) -> None:
    monkeypatch.chdir(folder)
    result = run("search", "photos.kin", *words, code=code)
    assert said in one_error(result.stderr)
    assert result.stdout == ""


def test_a_batch_is_a_search_for_each_picture(folder: Path) -> None:
    options = ["-k", "2", "--label", "beach", "--unlike", "id:forest/00.png"]
    told = run("search", folder / "photos.kin", "--batch", folder / "queries", "--json", *options)
    lines = [json.loads(line) for line in told.stdout.splitlines()]
    assert [line["query"] for line in lines] == ["more/00.png", "more/01.jpg", "more/02.webp"]
    for line in lines:
        picture = folder / "queries" / line["query"]
        assert line["hits"] == ask("search", folder / "photos.kin", picture, *options)
    plain = run("search", folder / "photos.kin", "--batch", folder / "queries", *options)
    assert [line for line in plain.stdout.splitlines() if line.startswith("more")] == [
        line["query"] for line in lines
    ]


def test_a_batch_goes_on_past_a_broken_picture(folder: Path, tmp_path: Path) -> None:
    queries = tmp_path / "queries"
    shutil.copytree(folder / "queries", queries)
    (queries / "more" / "00.png").write_bytes(b"nothing")
    result = run("search", folder / "photos.kin", "--batch", queries, "--json", code=1)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["hits" in line for line in lines] == [False, True, True]
    assert "00.png" in lines[0]["error"]
    assert "1 of 3 pictures" in json.loads(result.stderr)["error"]
    spoken = run("search", folder / "photos.kin", "--batch", queries, code=1)
    assert spoken.stdout.count("more/") == 2
    assert "00.png" in spoken.stderr


def test_hits_are_written_to_be_looked_at(folder: Path, tmp_path: Path) -> None:
    html, sheet = tmp_path / "hits.html", tmp_path / "hits.png"
    picture = folder / "queries" / "more" / "01.jpg"
    hits = ask("search", folder / "photos.kin", picture, "--html", html, "--sheet", sheet)
    text = html.read_text()
    assert all(f"<span>{hit['id']}</span>" in text for hit in hits)
    assert text.count("<figure>") == len(hits) + 1
    assert load_image(sheet).shape[2] == 3
    for option, place in (("--html", html), ("--sheet", sheet)):
        again = run("search", folder / "photos.kin", picture, option, place, code=1)
        assert "--force" in one_error(again.stderr)
    wrong = run("search", folder / "photos.kin", picture, "--html", tmp_path / "a.png", code=2)
    assert ".html" in one_error(wrong.stderr)
    options = ("--batch", folder / "queries", "-k", "2", "--html", html, "--force")
    run("search", folder / "photos.kin", *options)
    assert html.read_text().count("<h2>") == 3
    assert html.read_text().count("<figure>") == 9
