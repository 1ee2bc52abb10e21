"""How fast an archive is asked: the table of what search must reach, every row in one run.

    python -m benchmarks.scale.asking --cifar DIR --photograph FILE --folder DIR \
        -o benchmarks/results/asking.json

Codes are those of ``benchmarks.scale.multiplied``: 16 words of 4 bits, real ones in part replaced.
Queries are test pictures of CIFAR-10, described by ``classic`` beforehand. The rival is faiss's
fast scan as it is, on one thread; it does not rank exactly. Rivals take turns, each with a few
queries; a figure is the median of the rounds, and so is a ratio, which is taken within a round.
Milliseconds are those of the processor. Each part runs in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring.data import Folders, load_pictures
from benchmarks.measuring.machine import run_head
from benchmarks.measuring.places import module_of
from benchmarks.measuring.result_file import load_results, save_results
from benchmarks.scale.multiplied import Unvaried, multiply
from benchmarks.scale.rows import make_packets

SIZES = (1_000_000, 10_000_000)
MEMORY = 20_000_000
QUERIES, BATCH = 100, 100
ROUNDS = 15
FILTERED = 100
"""One row in so many passes the filter."""
COLD = 9
FORK = multiprocessing.get_context("fork")

Act = Callable[[NDArray[np.float32]], object]


def in_turns(
    acts: Mapping[str, Act], queries: NDArray[np.float32], calls: int, rounds: int
) -> dict[str, list[float]]:
    """Milliseconds of the processor that a call of each takes, round by round.

    Args:
        acts: by name; each is called once before.
        queries: (q, D), of which each call gets one, in turn.
        calls: of each, a round.
        rounds: of all of them.
    """
    for act in acts.values():
        act(queries[0])
    took: dict[str, list[float]] = {name: [] for name in acts}
    for number in range(rounds):
        some = queries[np.arange(number * calls, (number + 1) * calls) % len(queries)]
        for name, act in acts.items():
            gc.collect()
            began = time.process_time()
            for query in some:
                act(query)
            took[name].append(1000 * (time.process_time() - began) / calls)
    return took


def told(took: Mapping[str, Sequence[float]], rival: str) -> dict[str, Any]:
    """Median milliseconds of each, and the median of its ratios to a rival."""
    base = np.array(took[rival])
    return {
        name: {
            "ms": round(float(np.median(some)), 3),
            "ratio": round(float(np.median(np.array(some) / base)), 3),
        }
        for name, some in took.items()
    }


def of_scans(path: Path, queries: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """Codes scanned: alone, in batches, k = 1,000, filtered, beside fast scan as it is."""
    import faiss

    from kinpack.archive.archive import Archive
    from kinpack.search.distances.distance import asymmetric_table
    from kinpack.search.index import Index

    faiss.omp_set_num_threads(1)
    with Archive.open(path) as archive:
        describer = archive.describers["classic"]
        codes = np.asarray(archive.codes_of("classic")[0])
        quantiser = describer.quantiser
        raw: Any = faiss.IndexPQ(quantiser.D, quantiser.M, 4)
        faiss.copy_array_to_vector(quantiser.codebooks.ravel(), raw.pq.centroids)
        raw.is_trained = True
        raw.add_sa_codes(codes)
        raw = faiss.IndexPQFastScan(raw)
        index = Index(codes, quantiser)
        mask = np.random.default_rng(seed).random(len(codes)) * FILTERED < 1
        mask.setflags(write=False)  # as an archive keeps those of a filter that is asked again
        slow = 1 if len(codes) > 5_000_000 else 4

        def ours(engine: str, k: int, **more: Any) -> Act:
            return lambda query: index.search(query, k, engine=engine, **more)

        def rival(k: int, query: NDArray[np.float32]) -> object:
            return raw.search(query[None], k)

        rows: dict[str, Any] = {}
        for k in (10, 1000):
            acts = {
                "fast scan": partial(rival, k),
                "kinpack, faiss": ours("faiss", k),
                "kinpack, numpy": ours("numpy", k),
            }
            rows[f"k={k}"] = told(in_turns(acts, queries, 2 * slow, ROUNDS), "fast scan")
        acts = {
            "unfiltered": ours("faiss", 10),
            "filtered": ours("faiss", 10, mask=mask),
            "unfiltered, numpy": ours("numpy", 10),
        }
        rows["1 % passes"] = told(in_turns(acts, queries, 2 * slow, ROUNDS), "unfiltered")

        def one_by_one(_: object) -> None:
            for query in queries[:BATCH]:
                index.search(query, 10, engine="faiss")

        def together(_: object) -> None:
            many = getattr(index, "search_many", None)
            if many is None:
                one_by_one(None)
            else:
                many(
                    [asymmetric_table(quantiser, one) for one in queries[:BATCH]],
                    10,
                    engine="faiss",
                )

        acts = {
            "fast scan": lambda _: raw.search(queries[:BATCH], 10),
            "kinpack, faiss": together,
            "one by one": one_by_one,
        }
        rounds = 5 if len(codes) > 5_000_000 else ROUNDS
        rows["batch of 100"] = told(in_turns(acts, queries[:1], 1, rounds), "fast scan")
    return {"codes": len(codes), **rows}


def of_keeping(path: Path, queries: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """What it takes to make faiss's index, beside reading it from a file and checking its bytes."""
    from kinpack.archive.archive import Archive
    from kinpack.search.engines.fast_scan import FastScan, import_faiss

    began = time.process_time()
    import_faiss()
    imported = time.process_time() - began
    with Archive.open(path) as archive:
        quantiser = archive.describers["classic"].quantiser
        began = time.process_time()
        codes, _ = archive.snapshot.codes_of("classic")
        opened = time.process_time() - began
        kept = path.parent / "index.kept"
        kept.write_bytes(codes.whole().tobytes())
        took: dict[str, list[float]] = {"made_ms": [], "read_ms": [], "checked_ms": []}
        for _ in range(5):
            began = time.process_time()
            index = FastScan(codes, quantiser)
            took["made_ms"].append(time.process_time() - began)
            del index
            began = time.process_time()
            data = kept.read_bytes()
            took["read_ms"].append(time.process_time() - began)
            began = time.process_time()
            hashlib.sha256(data).hexdigest()
            took["checked_ms"].append(time.process_time() - began)
        kept.unlink()
    first = {"import_ms": imported, "codes_mapped_and_checked_ms": opened}
    medians = {name: float(np.median(some)) for name, some in took.items()}
    return {
        "codes": len(codes),
        **{name: round(1000 * value, 1) for name, value in {**first, **medians}.items()},
    }


def of_cells(path: Path, queries: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """What an inverted file would find: of the ten nearest, and of how many codes looked at.

    Cells are faiss's k-means of what 100,000 codes stand for. The share of the ten nearest codes
    that lie in the cells nearest to a query, and that of all codes which these cells hold.
    """
    import faiss

    from kinpack.archive.archive import Archive
    from kinpack.search.index import Index

    with Archive.open(path) as archive:
        quantiser = archive.describers["classic"].quantiser
        codes, _ = archive.snapshot.codes_of("classic")
        index = Index(codes, quantiser)
        rows = np.sort(np.random.default_rng(seed).integers(0, len(codes), 100_000))
        vectors = quantiser.decode(quantiser.unpack(codes.rows(rows)))
        found = index.search_many(list(queries), 10, engine="faiss")
        nearest = np.array([positions for positions, _ in found])
        hits = quantiser.decode(quantiser.unpack(codes.rows(nearest.ravel())))
        told = []
        for cells in (1024, 4096):
            means = faiss.Kmeans(quantiser.D, cells, niter=8, seed=seed, max_points_per_centroid=99)
            means.train(vectors)
            order = means.index.search(queries, cells)[1]
            sizes = np.bincount(means.index.search(vectors, 1)[1][:, 0], minlength=cells)
            of_hits = means.index.search(hits, 1)[1].reshape(nearest.shape)
            for looked in (1, 4, 16, 64):
                near = order[:, :looked]
                inside = (of_hits[:, :, None] == near[:, None]).any(axis=2)
                told.append(
                    {
                        "cells": cells,
                        "looked_at": looked,
                        "recall": round(float(inside.mean()), 3),
                        "share_of_codes": round(float(sizes[near].sum(axis=1).mean() / 1e5), 4),
                    }
                )
    return {"codes": len(codes), "rows": told}


def of_threads(path: Path, queries: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """Searches of a second that two threads do beside one, and beside two processes, by the clock.

    What other programs leave of the second core two processes share with them as two threads do.
    """
    from kinpack.archive.archive import Archive

    rows: dict[str, Any] = {}
    with Archive.open(path) as archive:
        for engine in ("faiss", "numpy"):

            def work(number: int, engine: str = engine) -> None:
                for query in np.roll(queries, number, axis=0)[: 60 if engine == "faiss" else 20]:
                    archive.search(vector=query, engine=engine)

            def done(threads: int, work: Callable[[int], None] = work) -> float:
                some = [threading.Thread(target=work, args=(at,)) for at in range(threads)]
                began = time.perf_counter()
                for one in some:
                    one.start()
                for one in some:
                    one.join()
                return threads / (time.perf_counter() - began)

            def apart(work: Callable[[int], None] = work) -> float:
                some = [FORK.Process(target=work, args=(at,)) for at in range(2)]
                began = time.perf_counter()
                for one in some:
                    one.start()
                for one in some:
                    one.join()
                return 2 / (time.perf_counter() - began)

            work(0)
            trials = [(done(1), done(2), apart()) for _ in range(ROUNDS)]
            rows[engine] = {
                "of_one_thread": round(float(np.median([two / one for one, two, _ in trials])), 3),
                "of_two_processes": round(float(np.median([b / c for _, b, c in trials])), 3),
            }
    return {"load": round(os.getloadavg()[0], 2), **rows}


def of_archive(path: Path, queries: NDArray[np.float32], seed: int) -> dict[str, Any]:
    """The archive asked: hits with ids and labels, few and many, filtered, by several columns."""
    from kinpack.archive.archive import Archive

    with Archive.open(path) as archive:
        images = len(archive)

        def ask(**asked: Any) -> Act:
            return lambda query: archive.search(vector=query, **asked)

        acts: dict[str, Act] = {}
        for engine in ("faiss", "numpy"):
            acts[f"k=10, {engine}"] = ask(k=10, engine=engine)
            acts[f"k=1000, {engine}"] = ask(k=1000, engine=engine)
            acts[f"1 % passes, {engine}"] = ask(k=10, engine=engine, id_prefix="class-3/00")
        took: dict[str, list[float]] = {}
        for name, act in acts.items():  # a filter is made at its first use, and then kept
            took |= in_turns({name: act}, queries, 4, ROUNDS)
        rows = {name: round(float(np.median(some)), 3) for name, some in took.items()}
    return {"images": images, "ms": rows}


def resident() -> dict[str, int]:
    """Bytes that this process holds: of its own, of files, and the most that it has held."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    names = {"own": "RssAnon", "files": "RssFile", "most": "VmHWM"}
    return {name: 1024 * int(lines[key].split()[0]) for name, key in names.items()}


def of_memory(path: Path, queries: NDArray[np.float32], engine: str) -> dict[str, Any]:
    """Memory that searching the codes takes, in units of the codes, without what hits are called.

    Bytes of files are pages that the system takes back when it needs them.
    """
    import faiss  # noqa: F401

    from kinpack.archive.archive import Archive

    def work(archive: Archive, queries: NDArray[np.float32]) -> None:
        column = archive._searcher()._column("classic")
        for query in queries:
            column.index.search(query, 10, engine=engine)

    with Archive.open(path) as archive:
        small = sorted(path.parent.glob("*.small"))
        if small:
            with Archive.open(small[0]) as other:
                work(other, queries[:1])
        archive.describers["classic"].describe([np.zeros((32, 32, 3), np.uint8)])
        gc.collect()
        before = resident()
        size = 8 * len(archive)
        work(archive, queries[:20])
        gc.collect()
        after = resident()
    return {
        "codes": size // 8,
        "own": round((after["own"] - before["own"]) / size, 3),
        "of_files": round((after["files"] - before["files"]) / size, 3),
        "at_most": round((after["most"] - before["own"] - before["files"]) / size, 3),
    }


def of_command(path: Path, photograph: Path) -> dict[str, Any]:
    """Seconds of the processor that the command search takes, in a process that begins with it."""
    ways = {
        "search": [],
        "search, nothing compared": ["--compare", "0"],
    }
    commands = {
        name: ["kinpack", "search", str(path), str(photograph), *more]
        for name, more in ways.items()
    }
    commands["--version"] = ["kinpack", "--version"]
    took: dict[str, list[float]] = {name: [] for name in commands}
    # Compiled once, as an installed package is.
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(path.parent / "compiled")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    for turn in range(COLD + 1):
        for name, words in commands.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run = [sys.executable, "-m", *words]
            subprocess.run(run, stdout=subprocess.DEVNULL, check=True, env=env)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if turn:
                took[name].append(
                    after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                )
    return {
        name: {"s": round(float(np.median(some)), 3), "least": round(min(some), 3)}
        for name, some in took.items()
    }


def made(folder: Path, images: int, cifar: Path, seed: int) -> Path:
    """The archive of so many images, made where it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    packets = folder / "packets.npz"
    if not packets.exists():
        make_packets(packets, count=2000, cifar=cifar)
    path = folder / f"{images}.kin"
    if not path.exists():
        multiply(path, Unvaried(packets), images, seed)
    return path


def described(cifar: Path) -> NDArray[np.float32]:
    """What ``classic`` makes of test pictures."""
    from kinpack.describers.describer import Describer

    pictures = load_pictures("cifar10-test", Folders(cifar=cifar)).images[-QUERIES:]
    return Describer.load("classic").describe(pictures)


PARTS: dict[str, Callable[[Path, NDArray[np.float32], int], dict[str, Any]]] = {
    "scan": of_scans,
    "threads": of_threads,
    "keeping": of_keeping,
    "cells": of_cells,
    "archive": of_archive,
    "memory-faiss": lambda path, queries, _: of_memory(path, queries, "faiss"),
    "memory-numpy": lambda path, queries, _: of_memory(path, queries, "numpy"),
}


def main() -> None:
    """Measure every part in a process of its own, and write all of them together."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cifar", type=Path, required=True, help="CIFAR-10 as Parquet files")
    parser.add_argument("--photograph", type=Path, required=True, help="what the command asks by")
    parser.add_argument("--folder", type=Path, required=True, help="where archives are made")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--only", nargs="*", help="parts, as scan:1000000 or command")
    parser.add_argument("--name", default="now", help="of this run in the result file")
    parser.add_argument("--here", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    folder, cifar, seed = arguments.folder, arguments.cifar, arguments.seed
    if arguments.here is not None:
        part, images = arguments.here
        values = PARTS[part](folder / f"{images}.kin", np.load(folder / "queries.npy"), seed)
        print(json.dumps(values))
        return
    asked = [f"scan:{n}" for n in SIZES]
    asked += [f"{part}:{SIZES[0]}" for part in ("threads", "archive")]
    asked += [f"keeping:{n}" for n in SIZES] + [f"cells:{SIZES[-1]}"]
    asked += [f"{part}:{MEMORY}" for part in ("memory-faiss", "memory-numpy")]
    asked += ["command"]
    results = load_results(arguments.output)
    run: dict[str, Any] = dict(results.get(arguments.name, {}))
    for one in arguments.only or asked:
        part, _, images = one.partition(":")
        path = made(folder, int(images or SIZES[0]), cifar, seed)
        if not (folder / "queries.npy").exists():
            np.save(folder / "queries.npy", described(cifar))
        if part == "command":
            values = of_command(path, arguments.photograph)
        else:
            words = [argument for pair in pairwise(sys.argv) for argument in pair[1:]]
            command = [sys.executable, "-m", module_of(__file__), *words, "--here", part, images]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            values = json.loads(done.stdout)
        print(one, json.dumps(values), flush=True)
        run[one] = values
        results = {**results, arguments.name: {**run, "machine": run_head(seed=seed)}}
        save_results(arguments.output, results)


if __name__ == "__main__":
    main()
