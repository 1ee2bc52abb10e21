"""The words of ImageNet's classes, made of files in WordNet's form."""

from __future__ import annotations

from pathlib import Path

from benchmarks.ship.imagenet_words import read_senses, read_synsets, words_of

LICENCE = "  1 This software and database is being provided to you\n"
DATA = (
    "00000001 03 n 01 animal 0 000 | a living thing\n"
    "00000002 05 n 02 big_cat 0 cat 0 001 @ 00000001 n 0000 | of the genus Panthera\n"
    "00000003 05 n 02 cat 0 true_cat 0 002 @ 00000001 n 0000 ~ 00000005 n 0000 | a pet\n"
    "00000004 05 n 02 lion 0 king_of_beasts 0 001 @ 00000002 n 0000 | of Africa\n"
    "00000005 05 n 02 tabby 0 Tabby 0 002 @i 00000003 n 0000 + 00000009 a 0101 | striped\n"
    "00000006 06 n 01 antelope 0 001 @ 00000001 n 0000 | it leaps\n"
)
INDEX = (
    "antelope n 1 1 @ 1 0 00000006  \n"
    "cat n 2 1 @ 2 1 00000003 00000002  \n"
    "big_cat n 1 1 @ 1 0 00000002  \n"
)


def test_words_are_names_of_classes_and_of_what_they_are_counted_among(tmp_path: Path) -> None:
    (tmp_path / "data.noun").write_text(LICENCE + DATA)
    (tmp_path / "index.noun").write_text(LICENCE + INDEX)
    synsets = read_synsets(tmp_path / "data.noun")
    senses = read_senses(tmp_path / "index.noun")
    assert synsets["00000005"].parents == ["00000003"]
    assert senses["big cat"] == ["00000002"]
    words = words_of(
        synsets,
        senses,
        ["00000004", "00000005", "00000006"],
        ["lion", "tabby cat", "antelope (any)"],
    )
    assert words == [
        (["lion", "king of beasts"], [0]),
        (["tabby cat", "tabby"], [1]),
        (["antelope"], [2]),
        (["animal"], [0, 1, 2]),
        (["big cat"], [0]),  # "cat" is more often the pet
        (["cat", "true cat"], [1]),
        (["deer"], [2]),  # looks like an antelope
        (["kitten"], [1]),
    ]
