"""The reader in JavaScript finds the same kin as the package, in the same order."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.fake_codec import pictures
from fakes.manifest_files import sealed
from kinpack.archive.archive import Archive
from kinpack.describers.describer import Describer
from kinpack.networks.container import DESCRIBER_FILE, Container, read_container
from tests.archive_checks import CODEC, make, reopened
from tests.javascript_runs import needs_node, run_jobs, value_of

pytestmark = [needs_node, pytest.mark.slow]

GOLDEN = Path(__file__).parent / "golden" / "format-1"


def test_kin_in_golden_archives() -> None:
    jobs: list[dict[str, Any]] = []
    wanted = []
    for path in sorted(GOLDEN.glob("*.kin*")):
        with Archive.open(path) as archive:
            for codes in archive.describers:
                for name in archive.ids:
                    jobs.append(
                        {"way": "search", "where": path, "id": name, "k": 7, "codes": codes}
                    )
                    hits = archive.search(name, 7, codes=codes, compare=0)
                    wanted.append([[h.id, h.label, h.position, h.distance] for h in hits])
    results = [value_of(result) for result in run_jobs(jobs)]
    names = ("id", "label", "position", "distance")
    assert [[[hit[name] for name in names] for hit in found] for found in results] == wanted
    assert len(wanted) > 60
    for found in results:
        alike = [hit["similarity"] for hit in found]
        assert alike == sorted(alike, reverse=True)
        assert alike[0] == 1
        assert min(alike) > 0


def test_weighted_books_longer_codes(tmp_path: Path) -> None:
    """``look`` weights its books, and its column of longer codes orders the first hits anew."""
    path, look = tmp_path / "a.kin", Describer.load("look")
    with Archive.create(path, CODEC, describer={"look": look, "look-fine": look.finer()}) as made:
        made.add(pictures(150))
    with reopened(path) as archive:
        archive.remove(["set/00007"])
        names = [f"set/{n:05}" for n in (0, 1, 6, 8, 149)]
        jobs: list[dict[str, Any]] = [
            {"way": "search", "where": path, "id": name, "k": 130} for name in names
        ]
        fine = [{**job, "codes": "look-fine"} for job in jobs]
        wanted = [
            [[hit.id, hit.distance] for hit in archive.search(name, 130, codes=codes, compare=0)]
            for codes in ("auto", "look-fine")
            for name in names
        ]
    found = [value_of(result) for result in run_jobs([*jobs, *fine])]
    assert [[[hit["id"], hit["distance"]] for hit in hits] for hits in found] == wanted


def test_what_cannot_be_searched_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wide.kin"
    shutil.copytree(GOLDEN / "wide.kin", path)
    (codes,) = (path / "codes").iterdir()
    data = bytearray(codes.read_bytes())
    data[0] ^= 1
    codes.write_bytes(data)
    job = {"way": "search", "where": path, "id": "0", "k": 3}
    unknown = {**job, "codes": "other"}
    missing = {**job, "id": "none"}
    damaged, other, none = run_jobs([job, unknown, missing])
    assert damaged["error"] == "ArchiveError"
    assert "SHA-256" in damaged["message"]
    assert other["error"] == none["error"] == "NotFoundError"
    (describer,) = (path / "describers").iterdir()
    describer.write_bytes(describer.read_bytes()[:-1])
    assert run_jobs([job])[0]["error"] == "ArchiveError"


def with_describer(path: Path, data: bytes) -> Path:
    """A copy of an archive under another describer file, its sums right."""
    shutil.copytree(GOLDEN / "wide.kin", path)
    (former,) = (path / "describers").iterdir()
    former.unlink()
    (manifest,) = (path / "manifests").iterdir()
    body = json.loads(manifest.read_bytes())
    del body["checksum"]
    body["describers"][0].update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (path / "describers" / f"{body['describers'][0]['sha256']}.kine").write_bytes(data)
    manifest.write_bytes(sealed(body))
    return path


def test_describers_that_lie_are_refused(tmp_path: Path) -> None:
    """Describer files of strangers, whose sums hold."""
    books = np.zeros((3, 20, 2), np.float32)
    endless = books.copy()
    endless[0, 0, 0] = np.inf
    lies = {
        "no books": {},
        "shape": {"codebooks": books[0]},
        "type": {"codebooks": books.astype(np.int32)},
        "inf": {"codebooks": endless},
        "few": {"codebooks": books[:, :2]},
        "other": {"codebooks": books[:2]},
        "weights": {"codebooks": books, "weights": np.zeros(3, np.float32)},
        "weights shape": {"codebooks": books, "weights": np.ones(2, np.float32)},
    }
    jobs = []
    for name, arrays in lies.items():
        data = Container({"name": "x"}, {}, arrays, DESCRIBER_FILE).to_bytes()
        path = with_describer(tmp_path / name, data)
        jobs.append({"way": "search", "where": path, "id": "0", "k": 3})
    for result, name in zip(run_jobs(jobs), lies, strict=True):
        assert result.get("error") == "ArchiveError", name


def test_placeholders_are_drawn_from_codes_alone(tmp_path: Path) -> None:
    """Within a level: networks of describers compute in floating point, whatever runs them."""
    path = make(tmp_path / "a.kin", pictures(12), describer="look")
    jobs: list[dict[str, Any]]
    with reopened(path) as archive:
        names = list(archive.ids)
        wanted = [archive.placeholder(name).astype(int) for name in names]
    jobs = [{"way": "placeholder", "where": path, "id": name} for name in names]
    for result, picture in zip(run_jobs(jobs), wanted, strict=True):
        found = np.array(value_of(result)).reshape(16, 16, 3)
        assert np.abs(found - picture).max() <= 1
    assert np.abs(wanted[0] - wanted[1]).max() > 8
    (none,) = run_jobs([{**jobs[0], "where": GOLDEN / "wide.kin", "id": "0"}])
    assert none["error"] == "NotFoundError"
    assert "draws no placeholders" in none["message"]


def test_decoders_of_strangers_draw_or_are_refused(tmp_path: Path) -> None:
    """Bytes of a graph changed under sums that hold: it ends in one of two ways."""
    content = read_container(Describer.load("look").to_bytes(), where="look", kind=DESCRIBER_FILE)
    graph = content.blobs["decoder"]
    arrays = {"codebooks": np.zeros((3, 20, 2), np.float32)}
    weights = graph.index(b"w0")
    rng = np.random.default_rng(2)
    places = {*rng.integers(0, 500, 40).tolist(), *range(weights - 20, weights + 10)}
    places |= set(range(len(graph) - 60, len(graph)))
    jobs = []
    for place in sorted(places):
        changed = bytearray(graph)
        changed[place] = rng.integers(0, 256)
        blobs = {"decoder": bytes(changed[: place + 1] if place % 3 == 0 else changed)}
        data = Container({"name": "x"}, blobs, arrays, DESCRIBER_FILE).to_bytes()
        path = with_describer(tmp_path / str(place), data)
        jobs.append({"way": "placeholder", "where": path, "id": "0"})
    refused = [result.get("error") for result in run_jobs(jobs)]
    assert set(refused) <= {"ArchiveError", None}
    assert "ArchiveError" in refused
