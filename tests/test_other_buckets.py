"""What ``gs://`` and ``az://`` ask of their stores: the same condition, in each one's own words.

There is no server of either kind to test against (the one package that has one for Google's lacks
the interface that obstore uses), so this is a stub of a few lines, which knows no more than puts,
gets and deletions.
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

import pytest

from kinpack.archive.stores.buckets import Address
from kinpack.archive.stores.objects import Objects
from kinpack.errors import ArchiveError

CONDITION = {"gs": ("x-goog-if-generation-match", "0", 412), "az": ("If-None-Match", "*", 409)}


class Stub:
    """Objects by path, with the conditions under which they were put."""

    def __init__(self, scheme: str) -> None:
        self.objects: dict[str, tuple[bytes, dict[str, str]]] = {}
        self.unconditional = 0
        header, value, self.taken = CONDITION[scheme]
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                conditional = self.headers.get(header) == value
                stub.unconditional += not conditional
                if conditional and self.path in stub.objects:
                    self.answer(stub.taken, b"<Error><Code>BlobAlreadyExists</Code></Error>")
                    return
                meta = {
                    name: text
                    for name, text in self.headers.items()
                    if name.lower().startswith(("x-goog-meta-", "x-ms-meta-"))
                }
                stub.objects[self.path] = body, meta
                self.answer(201 if scheme == "az" else 200, b"", {"ETag": '"1"'})

            def do_GET(self) -> None:
                if self.path not in stub.objects:
                    self.answer(404, b"")
                    return
                body, meta = stub.objects[self.path]
                asked = self.headers.get("Range") or self.headers.get("x-ms-range")
                headers = {
                    "ETag": '"1"',
                    "Last-Modified": "Sun, 22 Nov 2026 05:00:00 GMT",
                    "x-goog-generation": "1",
                    **meta,
                }
                if not asked:
                    self.answer(200, body, headers)
                    return
                first, last = map(int, asked.removeprefix("bytes=").split("-"))
                part = body[first : last + 1]
                headers["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(body)}"
                self.answer(206, part, headers)

            do_HEAD = do_GET  # noqa: N815

            def do_DELETE(self) -> None:
                there = stub.objects.pop(self.path, None)
                self.answer((202 if scheme == "az" else 204) if there else 404, b"")

            def answer(
                self, status: int, body: bytes, headers: dict[str, str] | None = None
            ) -> None:
                self.send_response(status)
                for name, text in {**(headers or {}), "Content-Length": str(len(body))}.items():
                    self.send_header(name, text)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self.http.server_port}"


@pytest.fixture(params=["gs", "az"])
def bucket(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Stub, Objects]]:
    pytest.importorskip("obstore", reason="pip install 'kinpack[object-stores]'")
    stub = Stub(request.param)
    key = {"gcs_base_url": stub.endpoint, "disable_oauth": True}
    key |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    for name, value in {
        "GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(key),
        "GOOGLE_ALLOW_HTTP": "true",
        "AZURE_STORAGE_ACCOUNT_NAME": "kin",
        "AZURE_STORAGE_ACCOUNT_KEY": base64.b64encode(b"secret").decode(),
        "AZURE_STORAGE_ENDPOINT": stub.endpoint,
        "AZURE_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    thread = threading.Thread(target=stub.http.serve_forever, args=(0.01,))
    thread.start()
    yield stub, Objects(Address.parse(f"{request.param}://bucket/a b.kin"))
    stub.http.shutdown()
    thread.join()
    stub.http.server_close()


def test_a_put_is_made_on_the_condition_that_there_is_none(bucket: tuple[Stub, Objects]) -> None:
    stub, objects = bucket
    assert objects.create("manifests/0000000001.json", b"the first")
    assert not objects.create("manifests/0000000001.json", b"a second")
    assert not objects.create("manifests/0000000001.json", b"the first")  # a twin
    assert stub.unconditional == 0
    ((path, (data, meta)),) = stub.objects.items()
    assert unquote(path) == "/bucket/a b.kin/manifests/0000000001.json"
    assert data == b"the first"
    assert [name.lower().endswith("-meta-kinpackwrite") for name in meta] == [True]
    assert objects.get("manifests/0000000001.json") == (b"the first", 9)
    assert objects.get("manifests/0000000001.json", 4, 7) == (b"fir", 9)
    assert objects.find("manifests/0000000001.json") == 9
    assert objects.find("manifests/0000000002.json") is None
    assert objects.honours_conditions("manifests/0000000001.json", b"the first")
    with pytest.raises(ArchiveError, match="is missing"):
        objects.get("manifests/0000000002.json")


# Azure's are deleted in batches, which the stub does not know.
@pytest.mark.parametrize("bucket", ["gs"], indirect=True)
def test_what_is_not_there_is_deleted_without_an_error(bucket: tuple[Stub, Objects]) -> None:
    _, objects = bucket
    objects.delete(["segments/nothing.parquet"])
    objects.create("segments/a.parquet", b"x")
    objects.delete(["segments/a.parquet"])
    assert objects.find("segments/a.parquet") is None
