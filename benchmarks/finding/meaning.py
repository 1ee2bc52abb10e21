"""What describers of meaning find: by words, of one kind, changed photographs, other drawings.

    python -m benchmarks.finding.meaning --describer photo --cifar DIR --val DIR --train DIR \
        --emoji DIR --emojione DIR -o benchmarks/results/photo.json

- Words: ten everyday ones, CIFAR-10's classes, in the toy database (200 pictures a class), through
  an archive, too, and in 4,000 of the last 10,000 train pictures: how many of the first 100 are of
  the class. Beside the belief, which archives are searched by, stand inner products and Euclidean
  distances through the same codes, and the belief of latents that are not coded.
- Kin: mAP@1000 of those 4,000, asked by 500 test pictures, of the same class.
- Photographs: 300, of which 50 of BSDS500 val are looked for after nine changes, and after the 26
  of `benchmarks.finding`. Beside them lie the others of val, and 200 of train.
- Drawings: 200 of EmojiOne 3.3 (Debian: ruby-gemojione, its folder with `config` and `assets`)
  are looked for among Noto's of the names that both have.
- Milliseconds of processor time, one thread: of describing a photograph, and of a search by words.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageEnhance

from benchmarks.finding.changes import CHANGES, changed
from benchmarks.finding.methods import CodeFinder
from benchmarks.measuring.data import toy_database
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from benchmarks.measuring.retrieval import mean_average_precision
from kinpack import Archive
from kinpack.archive.searching.finer import ORDERED_ANEW
from kinpack.describers.describer import Describer
from kinpack.describers.words import Word, log_shares
from kinpack.pictures.images import Image, composite_on_white, load_image
from kinpack.sources.items import Item
from kinpack.sources.opening import open_source

Floats = NDArray[np.float32]
Labelled = tuple[list[Image], NDArray[Any]]

FIRST = 100
"""Hits of a word that are counted."""
DATABASE, ASKED, FROM = 4000, 500, 40_000
PHOTOGRAPHS, DRAWINGS = 50, 200
MANY = 1_000_000
"""Codes of a search that is timed."""


def _itself(image: Image) -> Image:
    return image


def words_through_archives(pictures: Labelled, describer: Describer) -> list[dict[str, Any]]:
    """Rows of the toy database: precision of each word, through an archive of classic payloads.

    Codes that are given later than pictures are of pictures as the archive draws them.
    """
    images, labels = pictures
    rows = []
    both = {describer.name: describer, f"{describer.name}-fine": describer.finer()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.kin"
        with Archive.create(path, "classic", describer=both) as archive:
            archive.add(
                Item(f"{n:06}", str(label), partial(_itself, image))
                for n, (image, label) in enumerate(zip(images, labels, strict=True))
            )
            ways = [("8 + 32 bytes", None), ("8 bytes", None), ("8 + 32 bytes, later", describer)]
            for how, later in ways:
                if how == "8 bytes":
                    archive.remove_codes(f"{describer.name}-fine")
                if later is not None:
                    archive.embed(later, fine=True)
                right = {
                    word: sum(hit.label == word for hit in archive.search(words=word, k=FIRST))
                    for word in sorted(set(labels.tolist()))
                }
                rows.append(_words_row("toy database", "belief, archive", how, right))
    return rows


def words_by_scores(
    name: str, latents: Floats, labels: NDArray[Any], describer: Describer
) -> list[dict[str, Any]]:
    """Rows of a collection: words by several scores, of codes and of latents themselves."""
    finer = describer.finer()
    longer = finer.quantiser.encode(finer.projected(latents))
    shorter = describer.quantiser.encode(describer.projected(latents))
    known = describer.words
    coded = describer.quantiser.decode(shorter)
    weights = describer.word_scan.weights
    scores = coded @ weights.T + describer.word_scan.biases
    beside = weights - weights.mean(0)
    length = np.sqrt(np.square(coded).sum(1).mean())

    def towards(word: Word) -> Floats:
        """The mean row of a word, beside that of all."""
        row: Floats = beside[word.classes].mean(0)
        return row

    def euclidean(word: Word) -> Floats:
        asked = towards(word) * (length / np.linalg.norm(towards(word)))
        far: Floats = np.square(coded - asked).sum(1)
        return far

    ways: dict[tuple[str, str], Callable[[Word], Floats]] = {
        ("belief", "8 bytes"): partial(describer.word_scan.distances, shorter),
        ("belief", "32 bytes"): partial(finer.word_scan.distances, longer),
        ("belief", "float"): lambda word: (
            -log_shares(latents @ known.vectors.T + known.biases, word)
        ),
        ("inner product, mean row", "8 bytes"): lambda word: -(coded @ towards(word)),
        ("inner product, best row", "8 bytes"): lambda word: (
            -(coded @ beside[word.classes].T).max(1)
        ),
        ("score, best class", "8 bytes"): lambda word: -scores[:, word.classes].max(1),
        ("Euclidean, mean row", "8 bytes"): euclidean,
    }
    rows = []
    for (way, how), far in ways.items():
        right = {}
        for name_of in sorted(set(labels.tolist())):
            first = np.argsort(far(known.word(name_of)), kind="stable")[:FIRST]
            right[name_of] = int((labels[first] == name_of).sum())
        rows.append(_words_row(name, way, how, right))
    return rows


def _words_row(database: str, score: str, code: str, right: dict[str, int]) -> dict[str, Any]:
    mean = round(float(np.mean(list(right.values()))), 1)
    return {"database": database, "score": score, "code": code, "mean": mean, **right}


def kin(
    pictures: Labelled, queries: Labelled, describer: Describer, known: Floats
) -> list[dict[str, Any]]:
    """Rows of a describer: mAP@1000 by its codes, its longer codes, and its latents, `known`."""
    asked = describer.latents(queries[0])
    short = _far(
        describer.weighted(describer.projected(asked)),
        describer.searched.decode(describer.quantiser.encode(describer.projected(known))),
    )
    orders = {"8 bytes": np.argsort(short, axis=1, kind="stable")}
    orders["float"] = np.argsort(_far(asked, known), axis=1, kind="stable")
    if any(name.startswith("fine_") for name in describer.container.arrays):
        finer = describer.finer()
        quantiser = finer.quantiser
        longer = _far(
            finer.projected(asked), quantiser.decode(quantiser.encode(finer.projected(known)))
        )
        both = orders["8 bytes"].copy()
        for order, far in zip(both, longer, strict=True):
            first = order[:ORDERED_ANEW]
            order[:ORDERED_ANEW] = first[np.argsort(far[first], kind="stable")]
        orders["8 + 32 bytes"] = both
    rows = []
    for how, order in orders.items():
        hits = pictures[1][order[:, :1000]] == queries[1][:, None]
        value = round(100 * mean_average_precision(hits), 2)
        rows.append({"describer": describer.name, "code": how, "map_at_1000": value})
    return rows


def _far(asked: Floats, known: Floats) -> Floats:
    """Squared distances (q, n)."""
    far: Floats = (
        np.square(asked).sum(1)[:, None] - 2 * asked @ known.T + np.square(known).sum(1)[None]
    )
    return far


def nine(picture: Pillow.Image) -> Iterator[tuple[str, Pillow.Image]]:
    """A photograph after nine changes, and what they are called."""
    width, height = picture.size
    share = 96 / max(width, height)
    file = io.BytesIO()
    small = picture.resize((round(width * share), round(height * share)), Pillow.Resampling.LANCZOS)
    small.save(file, "JPEG", quality=20)
    yield "JPEG q20, 96 pixels", Pillow.open(file).convert("RGB")
    for kept in (0.8, 0.5):
        left, top = round((1 - kept) / 2 * width), round((1 - kept) / 2 * height)
        yield f"crop to {kept:.0%}", picture.crop((left, top, width - left, height - top))
    yield "mirror", picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
    brighter = ImageEnhance.Brightness(picture).enhance(1.25)
    yield "brighter, paler", ImageEnhance.Color(brighter).enhance(0.6)
    yield "turned 10°", picture.rotate(10, Pillow.Resampling.BICUBIC)
    yield "quarter turn", picture.transpose(Pillow.Transpose.ROTATE_90)
    yield "grey", picture.convert("L").convert("RGB")
    framed = Pillow.new("RGB", (round(1.24 * width), round(1.24 * height)))
    framed.paste(picture, (round(0.12 * width), round(0.12 * height)))
    yield "border", framed


def photographs(val: Path, train: Path, describer: Describer, seed: int) -> list[dict[str, Any]]:
    """Rows of codes: recall at the first place after each change."""
    images = [item.load() for folder in (val, train) for item in open_source(folder)]
    count = len(list(open_source(val)))
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.permutation(count)[:PHOTOGRAPHS].tolist())
    finders = {
        "8 bytes": CodeFinder(images, describer),
        "8 + 32 bytes": CodeFinder(images, describer, fine=True),
    }
    found: dict[tuple[str, str, str], list[bool]] = {}
    for number in chosen:
        queries = [
            ("nine", change, np.asarray(picture))
            for change, picture in nine(Pillow.fromarray(images[number]))
        ]
        queries += [
            ("26", change, changed(change, images[number], np.random.default_rng((seed, number))))
            for change in CHANGES
        ]
        for group, change, query in queries:
            for how, finder in finders.items():
                first = int(np.argmin(finder.distances(query)))
                found.setdefault((how, group, change), []).append(first == number)
    rows = []
    for how in finders:
        for group in ("nine", "26"):
            shares = {
                change: round(100 * float(np.mean(hits)), 1)
                for (one, other, change), hits in found.items()
                if (one, other) == (how, group)
            }
            mean = round(float(np.mean(list(shares.values()))), 1)
            rows.append({"code": how, "changes": group, "recall_1": mean, **shares})
    return rows


def drawings(noto: Path, emojione: Path, describer: Describer, seed: int) -> list[dict[str, Any]]:
    """Rows of codes: recall at the first place of the same thing, drawn by others."""
    index = json.loads((emojione / "config" / "index.json").read_text())
    others: dict[str, Path] = {}
    for key, told in index.items():
        for name in (key, told["shortname"].strip(":"), told["name"] or key):
            plain = name.lower().replace("_", "-").replace(" ", "-")
            others.setdefault(plain, emojione / "assets" / "png" / f"{told['unicode']}.png")
    ours = {
        Path(item.id).stem: item
        for item in open_source(noto)
        if "--" not in item.id and Path(item.id).stem in others
    }
    names = [name for name in sorted(ours) if others[name].exists()]
    images = [composite_on_white(ours[name].load()) for name in names]
    chosen = sorted(np.random.default_rng(seed).permutation(len(names))[:DRAWINGS].tolist())
    rows = []
    for how in ("8 bytes", "8 + 32 bytes"):
        finder = CodeFinder(images, describer, fine=how != "8 bytes")
        right = [
            int(np.argmin(finder.distances(composite_on_white(load_image(others[names[n]])))))
            for n in chosen
        ]
        share = round(100 * float(np.mean(np.array(right) == chosen)), 1)
        rows.append({"code": how, "drawings": len(names), "asked": len(chosen), "recall_1": share})
    return rows


def milliseconds(val: Path, describer: Describer, codes: NDArray[np.uint8]) -> dict[str, float]:
    """Processor time of one thread."""
    images = [item.load() for item in open_source(val, size=256)]
    describer.latents(images[:2], threads=1)
    began = time.process_time()
    describer.latents(images, threads=1)
    describing = (time.process_time() - began) / len(images)
    packed = np.resize(describer.quantiser.pack(codes), (MANY, describer.code_bytes))
    timed = {}
    for name in ("goldfish", "dog"):
        word = describer.words.word(name)
        describer.word_scan.nearest(packed[:1000], word, 10)
        for count in (10_000, MANY):
            began = time.process_time()
            describer.word_scan.nearest(packed[:count], word, 10)
            timed[f"{name!r} among {count:,}"] = round(1000 * (time.process_time() - began), 1)
    return {"describing, 256 pixels": round(1000 * describing, 1), **timed}


def kept_by_the_sum(codes: NDArray[np.uint8], describer: Describer, names: Sequence[str]) -> float:
    """Share, in percent, of the first 100 that is left where a tenth of the codes are scored."""
    packed = describer.quantiser.pack(codes)
    shares = []
    for name in names:
        word = describer.words.word(name)
        all_of, _ = describer.word_scan.nearest(packed, word, FIRST, scored=len(packed))
        some, _ = describer.word_scan.nearest(packed, word, FIRST, scored=len(packed) // 10)
        shares.append(len(set(all_of.tolist()) & set(some.tolist())) / FIRST)
    return round(100 * float(np.mean(shares)), 1)


def main() -> None:
    """Measure, and write the result file."""
    parser = argparse.ArgumentParser(description="What a describer of meaning finds.")
    parser.add_argument("--describer", required=True, metavar="NAME|FILE")
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True, help="photographs to look for")
    parser.add_argument("--train", type=Path, required=True, help="photographs beside them")
    parser.add_argument("--emoji", type=Path, required=True)
    parser.add_argument("--emojione", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=17)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    describer = Describer.load(args.describer)
    rng = np.random.default_rng(args.seed)
    train = list(open_source(args.cifar, split="train"))[FROM:]
    test = list(open_source(args.cifar, split="test"))

    def some(items: list[Item], count: int) -> Labelled:
        numbers = sorted(rng.permutation(len(items))[:count].tolist())
        chosen = [items[number] for number in numbers]
        return [item.load() for item in chosen], np.array([item.label for item in chosen])

    toy_items = toy_database(test)
    toy = [item.load() for item in toy_items], np.array([item.label for item in toy_items])
    database, asked = some(train, DATABASE), some(test, ASKED)
    latents = describer.latents(database[0])
    words = words_through_archives(toy, describer)
    words += words_by_scores("toy database", describer.latents(toy[0]), toy[1], describer)
    words += words_by_scores("4,000 of train", latents, database[1], describer)
    for row in words:
        print(row, flush=True)
    found: dict[str, Any] = {"bytes": describer.n_bytes, "describer_id": describer.describer_id}
    found["words"] = words
    found["kin"] = kin(database, asked, describer, latents)
    for other in map(Describer.load, ("look", "classic")):
        found["kin"] += kin(database, asked, other, other.latents(database[0]))
    print(found["kin"], flush=True)
    found["photographs"] = photographs(args.val, args.train, describer, args.seed)
    print(found["photographs"], flush=True)
    found["drawings"] = drawings(args.emoji, args.emojione, describer, args.seed)
    print(found["drawings"], flush=True)
    codes = describer.quantiser.encode(describer.projected(latents))
    found["kept_by_the_sum"] = kept_by_the_sum(codes, describer, sorted(set(toy[1].tolist())))
    found["processor_ms"] = milliseconds(args.val, describer, codes)
    save_results(args.output, {**run_head(seed=args.seed), **found})
    print(found["kept_by_the_sum"], found["processor_ms"])


if __name__ == "__main__":
    main()
