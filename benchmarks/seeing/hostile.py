"""Hostile archives in page and server: nothing of them runs, and each ends in one clear message.

    python -m benchmarks.seeing.hostile [--minutes N] [--seed N] [--results FILE]

Ids, labels and values of columns are made as HTML and scripts. Of such archives files are damaged:
bytes changed, cut, or swapped, some with sums made right again (manifests that lie); sealed ones
are opened in a Chromium, which scrolls, opens an image and searches; folders are served by the
server's application, which is asked at random, without sockets. A case is a failure where a script
ran, an error was not caught, another host was asked, a path of this machine was told, or the page
said nothing for a minute.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from benchmarks.measuring.machine import run_head
from benchmarks.measuring.result_file import save_results
from benchmarks.seeing.browser import Opened, browser_version, opened
from fakes.manifest_files import sealed as summed
from kinpack.archive.archive import Archive
from kinpack.demo.pictures import Drawings
from kinpack.errors import KinpackError
from kinpack.web.served import Served
from kinpack.web.server import make_app
from kinpack.web.site import view
from kinpack.web.static_server import serving_folder
from kinpack.web.views import View

RESULTS = Path("benchmarks/results/hostile.json")
SCRIPTS = (
    '<img src=x onerror="window.ran=1">',
    '"><script>window.ran=1</script>',
    "javascript:window.ran=1//",
    "';window.ran=1;'",
    "<svg onload=window.ran=1>",
    "\u202e\u0007</title><script>window.ran=1</script>",
    "{{constructor.constructor('window.ran=1')()}}",
    "../../../etc/passwd\\..\\?#%00%2f",
)
WAITED = 60.0
SETTLED = "document.querySelector('.cell img, .cell .fault, #told.bad') !== null"


def hostile_archive(path: Path) -> None:
    """Pack drawings under names, labels and values that are scripts."""
    items = []
    for n, item in enumerate(Drawings(each=3)):
        script = SCRIPTS[n % len(SCRIPTS)]
        columns = {
            "note": script,
            f"<b>{SCRIPTS[0][:60]}": n,
            "at": datetime(2024, 1, 1, tzinfo=UTC),
        }
        items.append(replace(item, id=f"{script}/{n}", label=script, columns=columns))
    with Archive.create(path, "classic", describer="look") as archive:
        archive.add(items)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A file changed by chance."""
    kind = rng.randrange(5)
    if kind == 0 and data:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    if kind == 1:
        at, other = rng.randrange(len(changed) + 1), rng.randrange(len(changed) + 1)
        return bytes(changed[min(at, other) : max(at, other)] + changed[: min(at, other)])
    for _ in range(rng.choice((1, 1, 3, 20))):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def lying(data: bytes, rng: random.Random) -> bytes:
    """A manifest some number or text of which is another, its sum right."""
    body = json.loads(data)
    body.pop("checksum", None)
    try:
        return summed(changed_values(body, rng))
    except (UnicodeEncodeError, ValueError, TypeError):
        return data


def lying_data(data: bytes, rng: random.Random) -> bytes:
    """Data of a view some value of which is another, for the revision that the page shows."""
    body = json.loads(data)
    kept = {name: body[name] for name in ("revision", "images")}
    return json.dumps({**changed_values(body, rng), **kept}).encode()


def changed_values(body: Any, rng: random.Random) -> Any:
    """JSON values of which one is another."""
    values: list[tuple[Any, Any]] = []

    def collect(value: Any) -> None:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(pairs):
            values.append((value, key))
            if isinstance(inner, (dict, list)):
                collect(inner)

    collect(body)
    holder, key = rng.choice(values)
    lies = [
        0,
        -1,
        1 << 31,
        1 << 53,
        "x",
        SCRIPTS[0],
        [],
        {},
        None,
        True,
        0.5,
        "\ud83d" * 3,
        "y" * 9999,
    ]
    holder[key] = rng.choice(lies)
    return body


def change(folder: Path, rng: random.Random) -> str:
    """Damage one or two files of an archive's folder; what was done."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    told = []
    for path in rng.sample(files, rng.choice((1, 1, 2))):
        is_manifest = path.parent.name == "manifests"
        way: Callable[[bytes, random.Random], bytes] = (
            lying if is_manifest and rng.random() < 0.7 else damaged
        )
        path.write_bytes(way(path.read_bytes(), rng))
        told.append(f"{way.__name__} {path.parent.name}/{path.name[-12:]}")
    return ", ".join(told)


def zipped(folder: Path, target: Path) -> None:
    """A sealed archive of a folder, damaged as it is."""
    with zipfile.ZipFile(target, "w") as made:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                made.write(path, path.relative_to(folder).as_posix())


def tried_in_page(one: Opened, address: str) -> str | None:
    """Open the page, and do what people do; what went wrong, ``None`` for nothing."""
    one.said.clear()
    one.answers.clear()
    one.page.goto(address)
    try:
        one.until(SETTLED, WAITED)
        cells = one.page.locator("#grid .cell")
        if cells.count():
            cells.first.click(timeout=5000)
            one.page.wait_for_timeout(150)
            one.page.keyboard.press("ArrowRight")
            one.page.keyboard.press("Escape")
            one.page.wait_for_timeout(250)
            one.page.evaluate("document.querySelector('#detail').close()")
            for name in one.page.locator("#views button").all_inner_texts()[1:]:
                one.page.get_by_role("button", name=name, exact=True).click(timeout=5000)
                one.page.wait_for_timeout(250)
            one.page.fill("#text", "<")
            one.page.wait_for_timeout(250)
    except Exception as error:
        return f"it stood still: {str(error)[:200]}"
    if one.page.evaluate("window.ran") is not None:
        return "a script ran"
    if loud := [line for line in one.said if "status of 404" not in line]:
        return f"its console: {loud[0][:200]}"
    if len(one.hosts()) > 1:
        return f"hosts: {one.hosts()}"
    line = one.page.inner_text("#status")
    return f"its message: {line[:200]!r}" if "\n" in line or not line else None


async def asked_of(
    app: Any, method: str, path: str, query: str, body: bytes, kind: str
) -> tuple[int, bytes]:
    """One request of an application, without a socket."""
    headers = [(b"host", b"127.0.0.1"), (b"content-type", kind.encode())]
    scope = {
        "type": "http", "http_version": "1.1", "method": method, "path": path, "scheme": "http",
        "raw_path": quote(path).encode(), "query_string": query.encode("utf-8", "replace"),
        "headers": headers, "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 1),
        "root_path": "",
    }  # fmt: skip
    sent = [{"type": "http.request", "body": body, "more_body": False}]
    found: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return sent.pop() if sent else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        found.append(message)

    await app(scope, receive, send)
    return found[0]["status"], b"".join(one.get("body", b"") for one in found[1:])


def request(rng: random.Random, ids: list[str]) -> tuple[str, str, str, bytes, str]:
    """A request by chance: method, path, query, body and its type."""
    name = (
        rng.choice([*ids, *SCRIPTS, "", "x" * 3000, "\ud7ff\x00", "../" * 9]) if ids else SCRIPTS[0]
    )
    places = (
        f"images/{name}", f"kin/{name}", f"placeholder/{name}", f"iiif/{name}/info.json", "stats",
        f"iiif/{name}/full/max/0/default.jpg", "files/", f"files/{name}", "files/segments/" + name,
        "search", "", "map.json", name,
    )  # fmt: skip
    values = ["1", "-1", "999999999999999999999", "webp", "look", "", "\u0000", "NaN", "1e9", name]
    keys = ["w", "format", "k", "codes", "v", "token", "x"]
    query = "&".join(
        f"{rng.choice(keys)}={quote(rng.choice(values))}" for _ in range(rng.randrange(3))
    )
    fields = ["like", "unlike", "words", "vector", "labels", "filters", "k", "offset",
              "within", "codes", "mode", "distinct", "compare", "min_width", "id_prefix",
              "where"]  # fmt: skip
    inner: list[Any] = [name, [name], 1, -1, 1e308, None, True, {}, [], [[1]], {"look": 1}, "look",
                        [["note", "contains", name]], [["note", "=", 1]], [[name, ">", name]],
                        [0.5] * 64, ["a"] * 3000]  # fmt: skip
    asked = {rng.choice(fields): rng.choice(inner) for _ in range(rng.randrange(1, 4))}
    body = json.dumps(asked).encode()
    if rng.random() < 0.2:
        body = damaged(body, rng)
    method = "POST" if rng.random() < 0.4 else rng.choice(("GET", "GET", "GET", "HEAD", "PUT"))
    kind = rng.choice(("application/json", "application/json", "image/png", "", "text/x;;"))
    place = "search" if method == "POST" else rng.choice(places)
    return method, f"/a/{place}", query, body, kind


def tried_in_server(path: Path, rng: random.Random, count: int) -> tuple[Counter[str], list[str]]:
    """Serve an archive, and ask at random; statuses, and what went wrong."""
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    try:
        archive = Archive.open(path)
    except KinpackError:
        seen["refused"] += 1
        return seen, wrong
    with archive:
        app = make_app({"a": Served(archive, "a")}, hosts={"127.0.0.1"}, views=("map", "cost"))
        try:
            ids = list(archive.ids[:40])
        except KinpackError:
            ids = []

        async def ask_all() -> None:
            for _ in range(count):
                asked = request(rng, ids)
                try:
                    status, body = await asked_of(app, *asked)
                except Exception as error:
                    wrong.append(f"{asked[:4]!r:.300}: {type(error).__name__}: {error!s:.200}")
                    continue
                seen[str(status)] += 1
                if str(path.parent).encode() in body:
                    wrong.append(f"{asked[:3]!r:.300}: it tells a path: {body[:200]!r}")

        # In a thread: Playwright has a loop of its own in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, ask_all()).result()
    return seen, wrong


def copied(source: Path, target: Path) -> None:
    """A copy of a folder."""
    for path in source.rglob("*"):
        if path.is_file():
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(path.read_bytes())


def main() -> None:
    """Try until the time is over, and write the result file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun = time.monotonic()
    rng = random.Random(options.seed)  # noqa: S311 (damage by chance, no secrets)
    statuses: Counter[str] = Counter()
    wrong: list[str] = []
    pages = archives = 0
    with TemporaryDirectory() as place:
        root = Path(place)
        hostile_archive(root / "whole.kin")
        computed: tuple[View, ...] = ("map", "clusters", "cost")
        view(root / "whole.kin", root / "site", title=SCRIPTS[1], views=computed)
        data = {name: (root / "site" / f"{name}.json").read_bytes() for name in computed}
        while time.monotonic() - begun < 60 * options.minutes:
            # A browser lives for some cases, so that none of its own memory adds up.
            with serving_folder(root / "site") as address, opened() as one:
                for _ in range(25):
                    copy = root / f"case-{archives}.kin"
                    copied(root / "whole.kin", copy)
                    done = change(copy, rng) if archives % 10 else "nothing"
                    zipped(copy, root / "site" / "archive.kin.zip")
                    if archives % 3 == 1:
                        name = rng.choice(computed)
                        change_data = rng.choice((damaged, lying_data))
                        file = root / "site" / f"{name}.json"
                        file.write_bytes(change_data(data[name], rng))
                    found = tried_in_page(one, address)
                    if found:
                        wrong.append(f"page, case {archives}, {done}: {found}")
                    seen, faults = tried_in_server(copy, rng, 60)
                    statuses += seen
                    wrong += [f"server, case {archives}, {done}: {fault}" for fault in faults]
                    for path in sorted(copy.rglob("*"), reverse=True):
                        path.rmdir() if path.is_dir() else path.unlink()
                    copy.rmdir()
                    pages, archives = pages + 1, archives + 1
            minutes = (time.monotonic() - begun) / 60
            told = {
                "browser": browser_version(),
                "minutes": round(minutes, 1),
                "pages": pages,
                "requests": sum(statuses.values()) - statuses["refused"],
                "statuses": dict(sorted(statuses.items())),
                "failures": len(wrong),
                "first_failures": wrong[:20],
            }
            save_results(options.results, {**run_head(seed=options.seed), **told})
            print(f"{minutes:.1f} min, {pages} archives, {len(wrong)} failures", flush=True)


if __name__ == "__main__":
    main()
