"""Searching by words: the classifier's belief through codes, the vocabulary, files that lie."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import kinpack
from fakes.tiny_describer import (
    COLOURS,
    colour_describer,
    colour_parts,
    soft_picture,
    tiny_describer,
    wordy_describer,
    wordy_parts,
)
from kinpack.describers import words as limits
from kinpack.describers.describer import Describer
from kinpack.describers.product_code import ProductQuantiser
from kinpack.describers.word_scan import WordScan
from kinpack.describers.words import UnknownWordError, Vocabulary, Word
from kinpack.errors import CodecError, KinpackError
from kinpack.networks.container import DESCRIBER_FILE, Container
from kinpack.search.distances.distance import SearchError
from kinpack.sources.items import Item
from tests.cli_runs import run

PAINTS = {
    "red": (220, 20, 20),
    "green": (20, 200, 30),
    "blue": (10, 30, 230),
    "yellow": (230, 220, 20),
    "black": (5, 5, 5),
    "pink": (230, 120, 130),
}


def painted(colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.full((12, 9, 3), colour, np.uint8)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "paints.kin"
    both = {"plain": colour_describer(), "named": wordy_describer()}
    with kinpack.Archive.create(path, "classic", describer=both) as made:
        made.add(
            Item(name, None, lambda colour=colour: painted(colour))  # type: ignore[misc]
            for name, colour in PAINTS.items()
        )
    return path


def plainly(
    quantiser: ProductQuantiser,
    code: NDArray[np.uint8],
    vocabulary: Vocabulary,
    kept: tuple[NDArray[np.float32], NDArray[np.float32]] | None,
    word: Word,
) -> float:
    """Minus the logarithm of the belief in a word, class by class and number by number."""
    coded = [
        float(number)
        for m, k in enumerate(code.tolist())
        for number in quantiser.codebooks[m, k].tolist()
    ]
    latents = coded
    if kept is not None:
        mean, directions = kept  # orthonormal here: their transpose is their inverse
        latents = [
            float(mean[e]) + sum(float(directions[e, d]) * coded[d] for d in range(len(coded)))
            for e in range(len(mean))
        ]
    scores = [
        float(bias) + sum(float(w) * z for w, z in zip(row, latents, strict=True))
        for row, bias in zip(vocabulary.vectors, vocabulary.biases, strict=True)
    ]
    total = math.fsum(math.exp(score) for score in scores)
    return -math.log(math.fsum(math.exp(scores[c]) for c in word.classes.tolist()) / total)


@settings(max_examples=40, deadline=None)
@given(
    M=st.integers(1, 4),
    K=st.sampled_from([1, 5, 16, 40]),
    d=st.integers(1, 3),
    classes=st.integers(1, 9),
    projected=st.booleans(),
    n=st.integers(0, 30),
    seed=st.integers(0, 999),
    data=st.data(),
)
def test_the_belief_is_that_of_the_plain_sum(
    M: int, K: int, d: int, classes: int, projected: bool, n: int, seed: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    D = M * d
    E = D + 2 if projected else D
    kept = None
    if projected:
        directions = np.linalg.qr(rng.normal(size=(E, D)))[0].astype(np.float32)
        kept = rng.normal(size=E).astype(np.float32), directions
    among = data.draw(st.sets(st.integers(0, classes - 1), min_size=1))
    word = Word(("x",), np.array(sorted(among)))
    vocabulary = Vocabulary(
        (word,),
        rng.normal(size=(classes, E)).astype(np.float32),
        rng.normal(size=classes).astype(np.float32),
    )
    quantiser = ProductQuantiser(rng.normal(size=(M, K, d)).astype(np.float32))
    codes = rng.integers(0, K, (n, M)).astype(np.uint8)
    scan = WordScan(vocabulary, quantiser, kept)
    expected = [plainly(quantiser, code, vocabulary, kept, word) for code in codes]
    distances = scan.distances(codes, word)
    np.testing.assert_allclose(distances, expected, atol=2e-5, rtol=2e-5)
    assert (distances >= 0).all()
    k = data.draw(st.integers(1, 40))
    rows, found = scan.nearest(quantiser.pack(codes), word, k)
    assert rows.tolist() == np.argsort(distances, kind="stable")[:k].tolist()
    np.testing.assert_array_equal(found, distances[rows])


def test_of_many_codes_those_are_scored_that_a_sum_puts_first() -> None:
    rng = np.random.default_rng(4)
    vocabulary = Vocabulary(
        (Word(("x",), np.array([1])),),
        rng.normal(size=(6, 8)).astype(np.float32),
        np.zeros(6, np.float32),
    )
    quantiser = ProductQuantiser(rng.normal(size=(4, 16, 2)).astype(np.float32))
    codes = rng.integers(0, 16, (3000, 4)).astype(np.uint8)
    scan = WordScan(vocabulary, quantiser, None)
    all_rows, _ = scan.nearest(quantiser.pack(codes), vocabulary.words[0], 20)
    rows, distances = scan.nearest(quantiser.pack(codes), vocabulary.words[0], 20, scored=500)
    assert len(set(rows.tolist()) & set(all_rows.tolist())) >= 16
    assert (np.diff(distances) >= 0).all()


def test_words_find_what_they_stand_for(archive: Path) -> None:
    with kinpack.Archive.open(archive) as opened:
        assert opened.search(words="red", k=1)[0].id == "red"
        assert opened.search(words="Scarlet", k=1)[0].id == "red"
        assert opened.search(words="  light\tYELLOW ", k=1)[0].id == "yellow"
        assert opened.search(words="black", k=2, codes="named")[0].id == "black"
        warm = opened.search(words="warm colours", k=6)
        assert {hit.id for hit in warm[:3]} == {"red", "yellow", "pink"}
        assert [hit.distance for hit in warm] == sorted(hit.distance for hit in warm)
        assert all(hit.distance >= 0 and not hit.compared for hit in warm)
        assert all(abs(hit.similarity - np.exp(-hit.distance)) < 1e-4 for hit in warm)
        assert len(opened.search(words="blue", k=100)) == len(PAINTS)
        assert opened.search(words="blue", k=1)[0].position == 2


def test_a_search_by_words_is_refused_in_one_line(archive: Path, tmp_path: Path) -> None:
    with kinpack.Archive.open(archive) as opened:
        with pytest.raises(UnknownWordError, match="did you mean yellow"):
            opened.search(words="yelow")
        with pytest.raises(UnknownWordError, match="did you mean black"):
            opened.search(words="the black one")
        with pytest.raises(UnknownWordError, match="describer words") as caught:
            opened.search(words="zzz\n" * 99)
        assert "\n" not in str(caught.value)
        with pytest.raises(CodecError, match="'colour' knows no words"):
            opened.search(words="red", codes="plain")
        for arguments in ({}, {"query": "red", "words": "red"}, {"vector": [1.0], "words": "red"}):
            with pytest.raises(SearchError, match="give one of them"):
                opened.search(**arguments)
        with pytest.raises(SearchError, match="leave `compare`"):
            opened.search(words="red", compare=3)
        with pytest.raises(SearchError, match="are a text, not list"):
            opened.search(words=["red"])
        opened.remove_codes("named")
        with pytest.raises(SearchError, match="know words; make a describer"):
            opened.search(words="red")


def test_longer_codes_order_anew_what_words_find(tmp_path: Path) -> None:
    """Books of two words tell light from dark; longer codes have sixteen."""
    header, arrays = colour_parts()
    blobs, classes = wordy_parts()
    coarse = np.broadcast_to(np.array([60, 200], np.float32)[:, None], (3, 2, 1)).copy()
    arrays |= {"codebooks": coarse, "fine_codebooks": arrays["codebooks"]}
    describer = Describer.from_container(
        Container(header, blobs, arrays | classes, kind=DESCRIBER_FILE)
    )
    assert len(describer.finer().words.words) == len(COLOURS)
    path = tmp_path / "reds.kin"
    reds = {f"{level}": painted((level, 20, 20)) for level in (150, 250, 190, 220, 140)}
    with kinpack.Archive.create(path, "classic", describer=describer) as made:
        made.add(Item(name, None, lambda one=one: one) for name, one in reds.items())  # type: ignore[misc]
        assert [hit.id for hit in made.search(words="red")] == list(reds)
        made.embed(describer, name="colour", fine=True)
        hits = made.search(words="red")
        assert [hit.id for hit in hits][:2] == ["250", "220"]
        assert [hit.distance for hit in hits] == sorted(hit.distance for hit in hits)
        assert len(made.search(words="red", k=2)) == 2
        assert made.search(words="red", k=1)[0].id == "250"


def test_a_file_keeps_its_words() -> None:
    read = Describer.from_bytes(wordy_describer().to_bytes(), where="x")
    assert [(list(word.names), word.classes.tolist()) for word in read.words.words] == COLOURS
    assert read.info()["words"] == len(COLOURS)
    assert colour_describer().vocabulary is None
    assert "words" not in colour_describer().info()


def spoilt(**parts: Any) -> Container:
    """A wordy describer with other parts; ``None`` leaves one out."""
    header, arrays = colour_parts()
    blobs, classes = wordy_parts()
    for name, part in parts.items():
        into: dict[str, Any] = blobs if name == "words" else classes
        if part is None:
            del into[name]
        else:
            into[name] = part
    return Container(header, blobs, arrays | classes, kind=DESCRIBER_FILE)


LISTS: dict[str, Any] = {
    "no list": {"red": [0]},
    "nothing": [],
    "no pair": [[["red"], [0], 1]],
    "texts for words": ["ab"],
    "no names": [[[], [0]]],
    "a number for a name": [[[1], [0]]],
    "an empty name": [[[" "], [0]]],
    "two lines": [[["a\nb"], [0]]],
    "a long name": [[["a" * 101], [0]]],
    "many names": [[["a"] * 65, [0]]],
    "no classes": [[["red"], []]],
    "a class that is not there": [[["red"], [5]]],
    "a class below 0": [[["red"], [-1]]],
    "a class twice": [[["red"], [1, 1]]],
    "classes in disorder": [[["red"], [2, 1]]],
    "a text for a class": [[["red"], ["1"]]],
    "true for a class": [[["red"], [True]]],
    "many words": [[["red"], [0]]] * (limits.MOST_WORDS + 1),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_makes_no_sense_is_refused(name: str) -> None:
    content = spoilt(words=json.dumps(LISTS[name]).encode())
    with pytest.raises(CodecError, match=r"x: the words of describer 'colour' make no") as caught:
        Describer.from_bytes(content.to_bytes(), where="x")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("raw", [b"", b"[", b"\xff", b"[" * 10_000, b"0" * ((1 << 22) + 1)])
def test_bytes_that_are_no_list_are_refused(raw: bytes) -> None:
    with pytest.raises(CodecError, match="make no sense"):
        Describer.from_bytes(spoilt(words=raw).to_bytes(), where="x")


ARRAYS: dict[str, dict[str, Any]] = {
    "no list": {"words": None},
    "no vectors": {"class_vectors": None},
    "no biases": {"class_biases": None},
    "other latents": {"class_vectors": np.zeros((5, 4), np.float32)},
    "other classes": {"class_vectors": np.zeros((6, 3), np.float32)},
    "one side": {"class_vectors": np.zeros(15, np.float32)},
    "float64": {"class_vectors": np.zeros((5, 3))},
    "biases of two sides": {"class_biases": np.zeros((5, 1), np.float32)},
    "integers": {"class_biases": np.zeros(5, np.int32)},
    "not finite": {"class_vectors": np.full((5, 3), np.inf, np.float16)},
    "no number": {"class_biases": np.full(5, np.nan, np.float32)},
    "none": {
        "class_vectors": np.zeros((0, 3), np.float32),
        "class_biases": np.zeros(0, np.float32),
    },
    "too many": {
        "class_vectors": np.zeros((limits.MOST_CLASSES + 1, 3), np.float32),
        "class_biases": np.zeros(limits.MOST_CLASSES + 1, np.float32),
    },
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    content = spoilt(**ARRAYS[name])
    with pytest.raises(CodecError, match="classes of the words of describer 'colour' do not fit"):
        Describer.from_bytes(content.to_bytes(), where="x")


def test_huge_scores_stay_numbers() -> None:
    content = spoilt(
        class_vectors=np.full((5, 3), 3e38, np.float32), class_biases=np.zeros(5, np.float32)
    )
    describer = Describer.from_container(content)
    code = np.full((1, 3), 15, np.uint8)
    with pytest.raises(CodecError, match="too large"):
        describer.word_scan.distances(code, describer.words.word("red"))


NO_ENGINE = """
import sys
sys.modules["onnxruntime"] = sys.modules["torch"] = None
import kinpack
with kinpack.Archive.open(sys.argv[1]) as archive:
    network = archive.describer._network
    network.__class__.__call__ = None
    print([hit.id for hit in archive.search(words="second", k=2)])
"""


def test_words_need_no_network_and_nothing_to_run_one(tmp_path: Path) -> None:
    tiny = tiny_describer()
    size = tiny.quantiser.D
    classes = {
        "class_vectors": np.eye(2, size, dtype=np.float32),
        "class_biases": np.zeros(2, np.float32),
    }
    content = Container(
        tiny.header,
        {
            **tiny.container.blobs,
            "words": json.dumps([[["first"], [0]], [["second"], [1]]]).encode(),
        },
        {**tiny.container.arrays, **classes},
        kind=DESCRIBER_FILE,
    )
    path = tmp_path / "a.kin"
    with kinpack.Archive.create(
        path, "classic", describer=Describer.from_container(content)
    ) as made:
        made.add(Item(f"{n}", None, lambda n=n: soft_picture(n)) for n in range(8))  # type: ignore[misc]
        expected = [hit.id for hit in made.search(words="second", k=2)]
    done = subprocess.run(
        [sys.executable, "-c", NO_ENGINE, path], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == str(expected), done.stderr


def test_the_command_searches_by_words(archive: Path) -> None:
    done = run("search", archive, "--words", "warm colour", "-k", "2", "--json")
    hits = json.loads(done.stdout)
    assert {hit["id"] for hit in hits} <= {"red", "yellow", "pink"}
    assert (
        run("search", archive, "--words", "red", "--codes", "named", "-k", "1").stdout.split()[3]
        == "red"
    )
    for arguments in ([], ["id:red", "--words", "red"]):
        refused = run("search", archive, *arguments, code=2)
        assert "give a QUERY" in refused.stderr
    refused = run("search", archive, "--words", "gren", code=1)
    assert "did you mean green" in refused.stderr


def test_the_command_lists_words(archive: Path, tmp_path: Path) -> None:
    file = tmp_path / "wordy.kine"
    file.write_bytes(wordy_describer().to_bytes())
    for target in (file, archive):
        lines = run("describer", "words", target).stdout.splitlines()
        assert lines[0] == "red, scarlet  1"
        assert lines[-1] == "colour  4"
        assert len(lines) == len(COLOURS)
    assert json.loads(run("describer", "words", file, "--json").stdout)[5] == {
        "names": ["warm colour"],
        "classes": 2,
    }
    assert "knows no words" in run("describer", "words", "classic", code=1).stderr
    with kinpack.Archive.open(archive) as opened:
        opened.remove_codes("named")
    assert "no codes of it know words" in run("describer", "words", archive, code=1).stderr


def test_every_error_is_the_packages_own() -> None:
    assert issubclass(UnknownWordError, KinpackError)
