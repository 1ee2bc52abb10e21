"""The reader in JavaScript finds by words what the package finds, and knows the same columns."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import FakeSource, pictures
from fakes.manifest_files import sealed
from fakes.tiny_describer import colour_parts, wordy_describer, wordy_parts
from kinpack.archive.archive import Archive
from kinpack.describers.describer import Describer
from kinpack.describers.words import UnknownWordError
from kinpack.networks.container import DESCRIBER_FILE, Container
from tests.javascript_runs import needs_node, run_jobs, value_of

pytestmark = needs_node


def painted(path: Path, describers: dict[str, Describer], count: int = 120) -> Path:
    """An archive of plain pictures of chance colours."""
    colours = np.random.default_rng(5).integers(0, 256, (count, 3)).astype(np.uint8)
    items: list[Any] = [
        (f"{n:04}", f"label {n % 3}", np.broadcast_to(colour, (9, 12, 3)).copy())
        for n, colour in enumerate(colours)
    ]
    with Archive.create(path, "classic", describer=describers) as made:
        made.add(FakeSource(items))
    return path


def same_order(found: list[dict[str, Any]], wanted: list[Any]) -> None:
    """See that hits are the same; where Python tells two apart by a rounding, either goes first."""
    assert len(found) == len(wanted)
    distances = {hit.id: hit.distance for hit in wanted}
    for one, hit in zip(found, wanted, strict=True):
        assert one["id"] in distances or abs(one["distance"] - hit.distance) < 1e-5
        assert one["distance"] == pytest.approx(hit.distance, rel=1e-5, abs=1e-5)
        assert one["similarity"] == pytest.approx(hit.similarity, abs=1e-4)


@pytest.mark.parametrize("shipped", ["wordy", "photo"])
def test_words_find_what_they_find_in_python(tmp_path: Path, shipped: str) -> None:
    """``photo`` has a projection, and longer codes, which know the words too."""
    wordy = wordy_describer() if shipped == "wordy" else Describer.load("photo")
    describers = {"plain": Describer.load("classic"), shipped: wordy}
    if shipped == "photo":
        describers["photo-fine"] = wordy.finer()
    path = painted(tmp_path / "a.kin", describers)
    words = ["red", "Light-Yellow", "colours", "dark"]
    if shipped == "photo":
        words = ["sky", "tench", "Dogs", "sailing ship", "red wine"]
    with Archive.open(path) as archive:
        known = [w for w in words if _knows(archive, w)]
        assert len(known) >= 2
        mask = [int(label == "label 1") for label in archive.labels]
        jobs: list[dict[str, Any]] = []
        wanted = []
        for word in known:
            job = {"way": "searchWords", "where": path, "words": word}
            jobs += [{**job, "k": 15}, {**job, "k": 300, "codes": shipped}]
            jobs.append({**job, "k": 9, "among": mask})
            wanted.append(archive.search(words=word, k=15))
            wanted.append(archive.search(words=word, k=300, codes=shipped))
            wanted.append(archive.search(words=word, k=9, labels="label 1"))
        listed = [list(word.names) for word in wordy.words.words]
    for result, hits in zip(run_jobs(jobs), wanted, strict=True):
        same_order(value_of(result), hits)
    (told,) = run_jobs([{"way": "words", "where": path}])
    assert value_of(told) == {"known": listed, "told": shipped}


def _knows(archive: Archive, word: str) -> bool:
    try:
        archive.search(words=word)
    except UnknownWordError:
        return False
    return True


def test_unknown_words_get_the_suggestions_of_python(tmp_path: Path) -> None:
    photo = Describer.load("photo")
    path = painted(tmp_path / "a.kin", {"photo": photo}, 3)
    asked = ["sailling ship", "kat", "qqqqqqqqq", "big brown dog on a lawn", "tigre", "", "  ", "ß"]
    asked += ["x" * 300, "strawbery", "hot dog stand", "penguins!", "the-cat", "lion tamer"]
    jobs = [{"way": "searchWords", "where": path, "words": one, "k": 3} for one in asked]
    for result, word in zip(run_jobs(jobs), asked, strict=True):
        with pytest.raises(UnknownWordError) as refused:
            photo.words.word(word)
        hint = re.search(r"did you mean (.*)\?", str(refused.value))
        wanted = hint[1].split(", ") if hint else []
        assert result["error"] == "UnknownWordError", word
        assert result["suggestions"] == wanted, word


def test_archives_without_words_say_so(tmp_path: Path) -> None:
    path = painted(tmp_path / "a.kin", {"plain": Describer.load("classic")}, 3)
    found, told = run_jobs(
        [
            {"way": "searchWords", "where": path, "words": "dog", "k": 3},
            {"way": "words", "where": path},
        ]
    )
    assert found["error"] == told["error"] == "NotFoundError"
    assert "know words" in found["message"]


LIES: dict[str, Any] = {
    "no JSON": b"[[",
    "no list": b"{}",
    "none": b"[]",
    "no names": b"[[[], [0]]]",
    "no class": b'[[["x"], [5]]]',
    "order": b'[[["x"], [1, 0]]]',
    "no classes": b'[[["x"], []]]',
    "control": b'[[["x\\u0007"], [0]]]',
    "long": json.dumps([[["x" * 101], [0]]]).encode(),
    "deep": b"[" * 5000,
    "vectors": np.zeros((5, 2), np.float32),
    "infinite": np.full((5, 3), np.inf, np.float32),
}


def test_words_of_strangers_are_refused(tmp_path: Path) -> None:
    header, arrays = colour_parts()
    blobs, classes = wordy_parts()
    path = painted(tmp_path / "a.kin", {"wordy": wordy_describer()}, 3)
    jobs = []
    for name, lie in LIES.items():
        some, parts = dict(blobs), dict(classes)
        if isinstance(lie, bytes):
            some["words"] = lie
        else:
            parts["class_vectors"] = lie
        content = Container({**header, "name": "wordy"}, some, arrays | parts, DESCRIBER_FILE)
        where = with_describer(path, tmp_path / name, content.to_bytes())
        jobs.append({"way": "searchWords", "where": where, "words": "red", "k": 3})
    for result, name in zip(run_jobs(jobs), LIES, strict=True):
        assert result.get("error") == "ArchiveError", (name, result)


def with_describer(source: Path, path: Path, data: bytes) -> Path:
    """A copy of an archive under another describer file, its sums right."""
    shutil.copytree(source, path)
    newest = sorted((path / "manifests").iterdir())[-1]
    for manifest in (path / "manifests").iterdir():
        body = json.loads(manifest.read_bytes())
        if "describers" not in body:
            continue
        del body["checksum"]
        sum_ = hashlib.sha256(data).hexdigest()
        body["describers"][0].update(sha256=sum_, bytes=len(data))
        (path / "describers" / f"{sum_}.kine").write_bytes(data)
        manifest.write_bytes(sealed(body))
    assert newest.exists()
    return path


def test_values_of_columns_are_those_of_python(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = {
        "year": [2019, None, 1 << 60, -5],
        "share": [0.5, None, -1e300, 0.0],
        "note": ["a", "", None, "<b>"],
        "taken": [date(2024, 5, 1), None, date(1, 1, 1), date(9999, 12, 31)],
        "at": [datetime(2024, 5, 1, 12, 0, 0, 5), None, datetime(1969, 1, 1), None],
        "zone": [datetime(2024, 5, 1, 12, tzinfo=UTC), None, None, None],
        "good": [True, False, None, True],
    }
    items = [
        replace(item, columns={name: values[n] for name, values in columns.items()})
        for n, item in enumerate(pictures(4))
    ]
    with Archive.create(tmp_path / "a.kin", "classic") as made:
        made.add(items[:3])
        made.add(items[3:])
        made.remove([items[1].id])
    with Archive.open(tmp_path / "a.kin") as archive:
        table = archive.table().to_pydict()
    names = ["id", "label", "width", "height", "channels", "kind", "quality", "length", *columns]
    found, none = run_jobs(
        [
            {"way": "values", "where": tmp_path / "a.kin", "columns": names},
            {"way": "values", "where": tmp_path / "a.kin", "columns": ["other"]},
        ]
    )
    for name, values in zip(names, value_of(found), strict=True):
        assert values == [_as_json(one) for one in table[name]], name
    assert none["error"] == "NotFoundError"


def _as_json(value: Any) -> Any:
    if isinstance(value, (date, datetime)):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 1 << 53:
        return str(value)  # a bigint, which JSON has not
    return value
